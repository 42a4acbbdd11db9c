"""Files of labels: lines of paths and classes, and those of data sets with their own ways."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from interlace.data.labels.kinetics import is_kinetics, kinetics_labels
from interlace.data.labels.labels import SPLITS, Labels, Line
from interlace.data.labels.something import is_something, something_json, something_table

_PATHS = ("path", "file", "filename", "file_name", "video", "video_path", "name", "id", "video_id")
_LABELS = ("label", "class", "category", "template", "action", "target", "label_id", "class_name")
_SPLITS = ("split", "subset", "set", "partition")


def read_labels(path: Path) -> Labels:
    """What a file of labels says.

    Args:
        path: `path label` lines (.txt, .lst); a table (.csv, .tsv) with or without a header, also
            of Kinetics or Something-Something v1; or a .json file of Something-Something v2.

    Raises:
        ValueError: it is missing, empty, or has a line without a label.
    """
    if not path.is_file():
        raise ValueError(f"there is no file of labels {path}; check its name")
    if path.suffix.lower() == ".json":
        return something_json(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error.reason}); save it as such") from error
    table = path.suffix.lower() in (".csv", ".tsv")
    rows = _table(text) if table else _blanks(text)
    if not rows:
        raise ValueError(f"{path} is empty; write a line `path label` for each video")
    first = rows[0][1]
    if table and is_something(first):
        return something_table(path, rows)
    if table and is_kinetics(first):
        return kinetics_labels(path, rows)
    columns = _columns(first)
    lines = [
        _line(path, number, row, columns or _POSITIONS)
        for number, row in (rows if columns is None else rows[1:])
    ]
    if not lines:
        raise ValueError(f"{path} has a header and nothing below it; write a line for each video")
    return Labels(tuple(lines))


Columns = tuple[int, int, int | None]  # where the path, the label and the split are
_POSITIONS: Columns = (0, 1, None)


def _table(text: str) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, and the lines they end in."""
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    if re.match(r"\d+;", first):  # Something-Something, whose templates may have commas
        separator = ";"
    reader = csv.reader(text.splitlines(), delimiter=separator)
    return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]


def _blanks(text: str) -> list[tuple[int, list[str]]]:
    """The last word of a line is its label, as paths may have blanks; unless there are tabs."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("\t") if "\t" in line else line.rsplit(None, 1)
        if line.strip():
            rows.append((number, [word.strip() for word in words]))
    return rows


def _columns(first: Sequence[str]) -> Columns | None:
    """What the columns are called, if the first row is a header."""
    words = [word.lower() for word in first]

    def find(known: Sequence[str]) -> int | None:
        return next((words.index(word) for word in known if word in words), None)

    name, label = find(_PATHS), find(_LABELS)
    return None if name is None or label is None else (name, label, find(_SPLITS))


def _line(path: Path, number: int, row: Sequence[str], columns: Columns) -> Line:
    name, label, split = columns
    if len(row) <= max(name, label) or not row[name] or not row[label]:
        raise ValueError(
            f"{path}, line {number}, must have a path and a label, got {' '.join(row)!r}; mend it, "
            "or take it out"
        )
    said = row[split].lower() if split is not None and split < len(row) else None
    return Line(row[name], row[label], SPLITS.get(said, said) if said else None)
