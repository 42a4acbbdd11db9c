"""The pictures of a clip as files: png, gif and mp4."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from interlace.files import writing
from interlace.reports.explained import ClipReport
from interlace.visualize.frames import save_gif, save_mp4

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
    written: list[Path] = []
    for name, picture in clip.files.items():
        path = Path(folder) / f"{prefix}{name}"
        if isinstance(picture, np.ndarray):
            written.append(save_gif(f"{path}.gif", picture))
            try:
                written.append(save_mp4(f"{path}.mp4", picture))
            except ImportError as error:
                log.warning("no mp4 was written: %s", error)
            continue
        if isinstance(picture, bytes):
            kind = "gif" if picture.startswith(b"GIF8") else "mp4"
        else:
            kind = "jpg" if photographs else "png"
        written.append(Path(f"{path}.{kind}"))
        with writing(written[-1]) as file:
            if isinstance(picture, bytes):
                file.write_bytes(picture)
            else:
                dpi = 150 if photographs else 200
                picture.savefig(file, format=kind, dpi=dpi, facecolor="white")
    return written
