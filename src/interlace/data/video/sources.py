"""What is one video, and which there are in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from interlace.data.video.excerpt import Excerpt
from interlace.data.video.folder import PICTURES, list_pictures, natural
from interlace.data.video.info import VideoError
from interlace.data.video.memory import memory_name
from interlace.data.video.read import Source

VIDEOS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv", ".avi", ".gif"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".asf", ".flv", ".ogv"),
)
TABLES = (".csv", ".tsv")
LISTS = (".txt", ".lst", *TABLES)


def is_one(source: Any) -> bool:
    """Whether a source is one video: in memory, a file that is no list, or a folder of frames."""
    if isinstance(source, Excerpt) or memory_name(source) is not None:
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source).expanduser()
    if path.is_dir():
        return bool(list_pictures(path)) and find_videos(path) == ["."]
    return path.suffix.lower() not in LISTS


def source_name(source: Source) -> str:
    """What it is called, for people."""
    return memory_name(source) or str(source)


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
