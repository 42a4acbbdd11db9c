"""Which videos a user names: one, or several in a folder or on a list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from interlace.data.video.excerpt import Excerpt
from interlace.data.video.folder import PICTURES, list_pictures, natural
from interlace.data.video.info import VideoError
from interlace.data.video.read import Source

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv", ".avi", ".gif"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".asf", ".flv", ".ogv"),
)
LISTS = (".txt", ".lst")


def is_one(source: Any) -> bool:
    """Whether a source is one video: an array, a file that is no list, or a folder of frames."""
    if isinstance(source, np.ndarray | Tensor | Excerpt):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source).expanduser()
    if path.is_dir():
        return bool(list_pictures(path)) and find_videos(path) == ["."]
    return path.suffix.lower() not in LISTS


def find_sources(source: Source | Sequence[Any]) -> list[Any]:
    """All videos of a source, see `Predictor.__call__`.

    Raises:
        VideoError: a folder or a list names none.
    """
    if isinstance(source, Excerpt) or is_one(source):
        return [source]
    if not isinstance(source, str | os.PathLike):
        return list(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return [path / name for name in find_videos(path)]
    if not path.is_file():
        raise VideoError(f"{path} does not exist; name a list of paths, a folder or a video")
    named = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    found = [_on_list(path.parent, line) for line in named if line]
    if not found:
        raise VideoError(f"{path} names no videos; write a path a line")
    return found


def _on_list(folder: Path, line: str) -> Path:
    """The path that a line of a list names: as much of it as is there, without a label."""
    words = len(line.split())
    fewer = (folder / line.rsplit(None, count)[0] for count in range(words))
    return next((path for path in fewer if path.exists()), folder / line)


def source_name(source: Source) -> str:
    """What it is called, for people."""
    return "array" if isinstance(source, np.ndarray | Tensor) else str(source)


def find_videos(root: Path) -> list[str]:
    """Paths below `root` of what looks like videos, hidden ones left out.

    These are files by their suffix, and folders that hold pictures, no videos and no folders.
    """
    if root.is_file():
        return [root.name]
    if not root.is_dir():
        raise VideoError(f"{root} does not exist; name a folder of videos, or a video")
    found: list[str] = []
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and real not in seen]
        if real in seen:  # a link that leads back
            continue
        seen.add(real)
        shown = [name for name in files if not name.startswith(".")]
        below = Path(folder).relative_to(root)
        videos = [name for name in shown if name.lower().endswith(VIDEOS)]
        found += [(below / name).as_posix() for name in videos]
        if not videos and not folders and any(name.lower().endswith(PICTURES) for name in shown):
            found.append(below.as_posix())
    if not found:
        raise VideoError(
            f"{root} holds no videos: no files {', '.join(VIDEOS)}, and no folders of "
            f"{', '.join(PICTURES)}"
        )
    return sorted(found, key=natural)
