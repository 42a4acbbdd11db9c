"""The list of a data set's videos, with what is known of each: a CSV file that people can read."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, get_type_hints

from interlace.data.clips.clip_list import ClipList, Item, few
from interlace.data.video.info import VideoError
from interlace.files import write_rows

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """What a manifest says of one video.

    Args:
        path: below the data set's folder, with / between its parts.
        frames: how many; 0 of a video that cannot be read, as all numbers below.
        rate: frames a second; 0 where nothing tells it.
        width: of a frame as it is read, in pixels.
        height: likewise.
        codec: "h264", "vp9", "mjpeg", ...
        checksum: SHA-256 of the file, or of the names and files of a folder of frames.
        error: why it cannot be read; empty of a good one.
    """

    path: str
    frames: int = 0
    rate: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""
    checksum: str = ""
    error: str = ""


_COLUMNS = list(Entry._fields)


def write_manifest(path: str | os.PathLike[str], entries: Iterable[Entry]) -> Path:
    """Writes a manifest, whole or not at all.

    Args:
        path: a CSV file; its folder is made.
        entries: in the order of the file.
    """
    return write_rows(path, [_COLUMNS, *entries])


def read_manifest(path: str | os.PathLike[str]) -> list[Entry]:
    """Reads what `write_manifest` wrote.

    Raises:
        VideoError: it is missing, or no manifest.
    """
    path = Path(path)
    again = "make it with `interlace scan`"
    if not path.is_file():
        raise VideoError(f"there is no manifest {path}; {again}")
    kinds = get_type_hints(Entry)
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.reader(file)
        if next(reader, None) != _COLUMNS:
            raise VideoError(f"{path} must have the columns {', '.join(_COLUMNS)}; {again}")
        entries = []
        for line in reader:
            try:
                if len(line) != len(_COLUMNS):
                    raise ValueError(f"{len(line)} columns")
                values = [kinds[key](value) for key, value in zip(_COLUMNS, line, strict=True)]
            except ValueError as error:
                raise VideoError(f"{path}, line {reader.line_num}: {error}; {again}") from error
            entries.append(Entry(*values))
    return entries


def fingerprint(entries: Iterable[Entry]) -> str:
    """One number for a data set: the same where all videos are, whatever order they are listed in.

    Returns:
        64 hexadecimal digits, SHA-256 of paths, frame counts and checksums.
    """
    lines = sorted(f"{entry.path}\0{entry.frames}\0{entry.checksum}\n" for entry in entries)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


# --- what it says of a list of videos ------------------------------------------------------------


def without_broken(clips: ClipList, entries: Iterable[Entry], *, skip: bool) -> ClipList:
    """The videos that can be read.

    Args:
        clips: a list whose root is the folder that was scanned.
        entries: of the manifest.
        skip: leave broken videos out, and say so in the log, as training does; else they are an
            error, as in an evaluation, whose result would be of other videos than it says.

    Raises:
        VideoError: a video is broken, or not in the manifest, or none is left.
    """
    errors = [
        entry.error or _span_error(item, entry)
        for item, entry in zip(clips.items, _entries_of(clips, entries), strict=True)
    ]
    good = [index for index, error in enumerate(errors) if not error]
    if len(good) == len(clips):
        return clips
    broken = len(clips) - len(good)
    found = f"{broken:,} of {len(clips):,} videos of {clips.root} cannot be read"
    such = f"such as: {next(filter(None, errors))}"
    if not skip:
        raise VideoError(f"{found}, {such}; mend them, or say that they may be skipped")
    if not good:
        raise VideoError(f"{found}, which leaves none, {such}")
    log.warning(f"{found} and are left out, {such}")
    return clips.select(good)


def clips_fingerprint(clips: ClipList, entries: Iterable[Entry]) -> str:
    """One number for the very videos of a list, as `fingerprint`.

    Args:
        clips: a list whose root is the folder that was scanned.
        entries: of the manifest, also of other videos.
    """
    return fingerprint(
        entry if item.span is None else entry._replace(path=f"{entry.path}\0{item.span}")
        for item, entry in zip(clips.items, _entries_of(clips, entries), strict=True)
    )


def _span_error(item: Item, entry: Entry) -> str:
    """Why a stretch cannot be read of a video that can; empty of a good one."""
    if item.span is None:
        return ""
    times = [k / entry.rate for k in range(entry.frames)] if entry.rate else None
    try:
        item.span.within(item.name, entry.frames, times)
    except VideoError as error:
        return str(error)
    return ""


def _entries_of(clips: ClipList, entries: Iterable[Entry]) -> list[Entry]:
    """What a manifest says of each video of a list."""
    by_name = {entry.path: entry for entry in entries}
    missing = [item.name for item in clips.items if item.name not in by_name]
    if missing:
        raise VideoError(
            f"{len(missing):,} of {len(clips):,} videos of {clips.root} are not in the manifest: "
            f"{few(missing)}; make it anew with `interlace scan {clips.root}`"
        )
    return [by_name[item.name] for item in clips.items]
