"""Which videos a user names: one, or several in a folder or on a list."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
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


def find_sources(source: Source | Sequence[Any], *, root: str | None = None) -> list[Any]:
    """All videos of a source, see `Predictor.__call__`.

    Args:
        source: one video, or several.
        root: another folder that paths on a list may be below.

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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise VideoError(f"{path} is no text in UTF-8 ({error.reason}); save it as such") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise VideoError(f"{path} names no videos; write a path a line")
    roots = [path.parent, Path(), *([] if root is None else [Path(root)])]
    table = path.suffix.lower() in TABLES
    found = _in_table(roots, lines) if table else [_on_list(roots, line) for line in lines]
    if not any(one.exists() for one in found):
        raise VideoError(
            f"none of the {len(found):,} paths in {path} is there, such as {found[0]}; write them "
            f"as seen from {path.parent} or from here, or in full"
        )
    return found


def _on_list(roots: Sequence[Path], line: str) -> Path:
    """The path that a line of a list names: as much of it as is there, without a label."""
    words = len(line.split())
    fewer = (_below(roots, line.rsplit(None, count)[0]) for count in range(words))
    return next((path for path in fewer if path.exists()), _below(roots, line))


def _in_table(roots: Sequence[Path], lines: Sequence[str]) -> list[Path]:
    """The paths of a table: its column with most of what is there, without its header."""
    separator = max(",;\t", key=lines[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    columns = [
        [_below(roots, row[at]) for row in rows if at < len(row) and row[at]]
        for at in range(len(rows[0]))
    ]
    best = max(columns, key=lambda column: sum(path.exists() for path in column))
    return best[1:] if len(best) > 1 and not best[0].exists() else best


def _below(roots: Sequence[Path], name: str) -> Path:
    """The path below the first folder in which it is there; else below the first."""
    return next((root / name for root in roots if (root / name).exists()), roots[0] / name)


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
