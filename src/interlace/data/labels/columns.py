"""What columns of tables are called, and whether a first line says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from interlace.data.video.below import Below
from interlace.data.video.excerpt import Unit
from interlace.data.video.sources import VIDEOS

Rows = Sequence[tuple[int, Sequence[str]]]  # lines of a table and their numbers

PATHS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "video", "video_path"),
    *("video_file", "video_name", "vid_name", "clip", "clip_path", "clip_name", "folder"),
    *("frame_dir", "name", "id", "video_id", "clip_id"),
)
LABELS = (
    *("label", "class", "category", "template", "action", "target", "label_name", "class_name"),
    *("label_id", "class_id", "class_index", "label_index"),
)
SPANS: dict[Unit, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "seconds": (
        ("start", "start_time", "time_start", "start_sec", "start_seconds", "t_start"),
        ("end", "end_time", "time_end", "end_sec", "end_seconds", "t_end", "stop", "stop_time"),
    ),
    "frames": (("start_frame", "frame_start"), ("end_frame", "frame_end", "stop_frame")),
}
SPAN_WORDS = tuple(word for starts, ends in SPANS.values() for word in (*starts, *ends))
SPLITS = ("split", "subset", "set", "partition")
# what may stand in a table and says nothing of what a line means
UNUSED = (
    *("frames", "num_frames", "n_frames", "frame_count", "total_frames", "length", "duration"),
    *("fps", "rate", "frame_rate", "width", "height", "codec", "error"),
    *("checksum", "md5", "sha256"),
    *("index", "idx", "unnamed:_0", "url", "license", "comment", "comments", "note", "notes"),
    *("is_cc", "shape", "format", "predicted"),
)
KNOWN = (
    f"the path: {', '.join(PATHS)}; the class: {', '.join(LABELS)}; "
    f"{', '.join(SPLITS)}; start and end in seconds, start_frame and end_frame"
)


def has_header(first: Sequence[str]) -> bool:
    """Whether a first line has two names of columns; one may be a video's, or a class's.

    Example:
        >>> has_header(["Video Path", "label"]), has_header(["file", "opening"])
        (True, False)
    """
    return len(places(plain(first), (*PATHS, *LABELS, *SPLITS, *SPAN_WORDS))) > 1


def plain(first: Sequence[str]) -> list[str]:
    return [re.sub(r"[\s-]+", "_", word.strip().lower()) for word in first]


def places(words: Sequence[str], known: Sequence[str]) -> list[int]:
    """Where one of the known words is, those that are known best first."""
    return [k for word in known for k in range(len(words)) if words[k] == word]


def says_nothing(word: str, cells: Sequence[str]) -> bool:
    """Whether a column may be left aside: known so, empty, or numbers of lines without a name."""
    if word in UNUSED or word.startswith("score_") or not any(cells):
        return True
    return not word and all(c.isdecimal() for c in cells) and len({*cells}) == len(cells)


def refuse_strange(path: Path, strange: Sequence[str]) -> None:
    """Raises a ValueError if a table has columns of which nothing is known."""
    if strange:
        joined = ",".join(strange)
        called = f"columns {joined!r}" if len(strange) > 1 else f"a column {joined!r}"
        raise ValueError(
            f"{path} has {called}, not known, which may change what a line means; take it out, or "
            f"rename it to what it is ({KNOWN})"
        )


def rows_below(path: Path, rows: Rows) -> Rows:
    """The lines of a table below its header; a ValueError where there are none."""
    if len(rows) < 2:
        raise ValueError(f"{path} has a header and nothing below it; write a line for each video")
    return rows[1:]


def looks_like_header(names: Sequence[str], labels: Sequence[str], below: Below) -> bool:
    """Whether the first line is no video, by its looks, and says a class that no other does."""
    name, label = names[0], labels[0]
    if len(names) < 2 or below.has(name) or name.lower().endswith(VIDEOS):
        return False
    if re.search(r"[/\\\d]", name) or label.isdecimal() or label in labels[1:]:
        return False
    return any(map(below.has, names[1:]))
