"""Files that appear whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of a file to write, which takes the place of `path` once it is complete.

    An error, a full disk or a kill leaves what was there. The folder is made.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> with writing(getfixture("tmp_path") / "new" / "a.txt") as file:
        ...     _ = file.write_text("whole")
        >>> (getfixture("tmp_path") / "new" / "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _to_disk(partial)
        partial.replace(path)
        _to_disk(path.parent)
    except OSError as error:
        raise OSError(
            f"cannot write {path} ({error.strerror or error}): make room, or choose a folder that "
            "exists and may be written to"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def write_rows(path: str | os.PathLike[str], rows: Iterable[Iterable[Any]]) -> Path:
    """Writes a CSV file, whole or not at all; its folder is made.

    Args:
        path: of the file.
        rows: its lines, the first is its header.
    """
    with (
        writing(path) as whole,
        whole.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)
    return Path(path)


def _to_disk(path: Path) -> None:
    """Waits until the disk has a file, or the entries of a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
