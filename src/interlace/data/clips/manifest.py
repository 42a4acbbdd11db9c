"""The list of a data set's videos, with what is known of each: a CSV file that people can read."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_type_hints

from interlace.data.video.info import VideoError
from interlace.files import writing


@dataclass(frozen=True)
class Row:
    """One video of a data set.

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


def write_manifest(path: str | os.PathLike[str], rows: Iterable[Row]) -> Path:
    """Writes a manifest, whole or not at all.

    Args:
        path: a CSV file; its folder is made.
        rows: in the order of the file.
    """
    with (
        writing(path) as whole,
        whole.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, _columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    return Path(path)


def read_manifest(path: str | os.PathLike[str]) -> list[Row]:
    """Reads what `write_manifest` wrote.

    Raises:
        VideoError: it is missing, or no manifest.
    """
    path = Path(path)
    again = "make it with `interlace scan`"
    if not path.is_file():
        raise VideoError(f"there is no manifest {path}; {again}")
    kinds = get_type_hints(Row)
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.reader(file)
        if next(reader, None) != _columns():
            raise VideoError(f"{path} must have the columns {', '.join(_columns())}; {again}")
        rows = []
        for line in reader:
            try:
                if len(line) != len(_columns()):
                    raise ValueError(f"{len(line)} columns")
                values = {
                    key: kinds[key](value) for key, value in zip(_columns(), line, strict=True)
                }
            except ValueError as error:
                raise VideoError(f"{path}, line {reader.line_num}: {error}; {again}") from error
            rows.append(Row(**values))
    return rows


def fingerprint(rows: Iterable[Row]) -> str:
    """One number for a data set: the same where all videos are, whatever order they are listed in.

    Returns:
        64 hexadecimal digits, SHA-256 of paths, frame counts and checksums.
    """
    lines = sorted(f"{row.path}\0{row.frames}\0{row.checksum}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _columns() -> list[str]:
    return [field.name for field in fields(Row)]
