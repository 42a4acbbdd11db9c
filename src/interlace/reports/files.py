"""The pictures of a clip as files: png, gif and mp4."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from interlace.reports.explained import ClipReport
from interlace.visualize.frames import save_gif, save_mp4, writing

log = logging.getLogger(__name__)


def save_pictures(
    folder: str | os.PathLike[str],
    clip: ClipReport,
    *,
    prefix: str = "",
    photographs: bool = False,
) -> list[Path]:
    """Writes `clip.files`: each figure as a png, each film as a gif and an mp4.

    Without PyAV there is no mp4, and a warning says how to install it.

    Args:
        folder: made where there is something to write.
        prefix: of the names of the files.
        photographs: whether figures become jpg, which is a fifth of a png then.

    Returns:
        The files.
    """
    folder = Path(folder)
    written: list[Path] = []
    for name, picture in clip.files.items():
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{prefix}{name}"
        if isinstance(picture, bytes):
            kind = "gif" if picture.startswith(b"GIF8") else "mp4"
            path = path.with_name(f"{path.name}.{kind}")
            with writing(path):
                path.write_bytes(picture)
            written.append(path)
            continue
        if not isinstance(picture, np.ndarray):
            path = path.with_name(f"{path.name}.{'jpg' if photographs else 'png'}")
            with writing(path):
                picture.savefig(path, dpi=150 if photographs else 200, facecolor="white")
            written.append(path)
            continue
        written.append(save_gif(path.with_name(f"{path.name}.gif"), picture))
        try:
            written.append(save_mp4(path.with_name(f"{path.name}.mp4"), picture))
        except ImportError as error:
            log.warning("no mp4 was written: %s", error)
    return written
