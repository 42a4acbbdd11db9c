"""The pictures of a clip as files: png, gif and mp4."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from interlace.files import writing
from interlace.reports.explained import ClipReport
from interlace.visualize.frames import save_gif, save_mp4


def save_pictures(
    folder: str | os.PathLike[str],
    clip: ClipReport,
    *,
    prefix: str = "",
    photographs: bool = False,
) -> list[Path]:
    """Writes `clip.files`: each figure as a png, each film as a gif and an mp4.

    Args:
        folder: made where there is something to write.
        prefix: of the names of the files.
        photographs: whether figures become jpg, which is a fifth of a png then.

    Returns:
        The files.
    """
    written: list[Path] = []
    for name, picture in clip.files.items():
        stem = f"{folder}/{prefix}{name}"
        if isinstance(picture, np.ndarray):
            written += [save_gif(f"{stem}.gif", picture), save_mp4(f"{stem}.mp4", picture)]
            continue
        if isinstance(picture, bytes):
            path = Path(f"{stem}.{'gif' if picture.startswith(b'GIF8') else 'mp4'}")
            with writing(path) as file:
                file.write_bytes(picture)
        else:
            kind, dpi = ("jpg", 150) if photographs else ("png", 200)
            path = Path(f"{stem}.{kind}")
            with writing(path) as file:
                picture.savefig(file, format=kind, dpi=dpi, facecolor="white")
        written.append(path)
    return written
