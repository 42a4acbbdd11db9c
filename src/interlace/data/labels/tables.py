"""Tables: what their columns are called, and what each of them means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from interlace.data.labels.beside import one_to_one
from interlace.data.labels.columns import (
    KNOWN,
    LABELS,
    PATHS,
    SPAN_WORDS,
    SPLITS,
    Rows,
    has_header,
    looks_like_header,
    places,
    plain,
    refuse_strange,
    rows_below,
    says_nothing,
)
from interlace.data.labels.labels import Labels, Line, check_splits, need_split
from interlace.data.labels.spans import SpanColumns, span_columns
from interlace.data.video.below import Below


def read_table(path: Path, rows: Rows, below: Below) -> Labels:
    """What a table says whose lines are a path and a label, or whose header says what they are.

    Args:
        path: of the table, for errors.
        rows: its lines.
        below: the videos, which tell what is a path.

    Raises:
        ValueError: a column is not known, or a line lacks a cell.
    """
    if not has_header(rows[0][1]):
        return _without_header(path, rows, below)
    columns = _columns(path, rows, below)
    return Labels(tuple(_lines(path, rows_below(path, rows), columns)), taken=columns.taken)


@dataclass(frozen=True)
class _Columns:
    """Where a table has what."""

    width: int
    name: int
    label: int
    split: int | None = None
    span: SpanColumns | None = None
    taken: str = ""


def _lines(path: Path, rows: Rows, columns: _Columns) -> list[Line]:
    lines = []
    for number, row in rows:
        where = f"{path}, line {number}"
        if any(row[columns.width :]):
            raise ValueError(
                f"{where}, has {len(row)} cells, and those above have {columns.width}: "
                f"{_joined(row)!r}; put cells with commas into quotes"
            )
        cells = [*row, *[""] * columns.width]
        name, label = cells[columns.name], cells[columns.label]
        if not name or not label:
            raise ValueError(
                f"{where}, must have a path and a label, got {' '.join(row)!r}; mend it, or take "
                "it out"
            )
        word = "" if columns.split is None else cells[columns.split]
        split = need_split(word, where) if word else None
        span = None if columns.span is None else columns.span.span(row, where)
        lines.append(Line(name, label, split, span))
    check_splits(path, lines, [number for number, _ in rows])
    return lines


# --- with a header --------------------------------------------------------------------------------


def _columns(path: Path, rows: Rows, below: Below) -> _Columns:
    """What a header says."""
    first = rows[0][1]
    words = plain(first)
    names, labels = places(words, PATHS), places(words, LABELS)
    body = [row for _, row in rows[1:]]

    def column(k: int) -> list[str]:
        return [row[k] if k < len(row) else "" for row in body]

    if not names or not labels:
        lacks = "path" if not names else "class"
        raise ValueError(
            f"{path} has the columns {_joined(first)!r}, and none of them is the {lacks}; call it "
            f"by a name that is known ({KNOWN})"
        )
    name = names[0]
    if len(names) > 1:
        name = max(names, key=lambda k: sum(map(below.has, filter(None, column(k)))))
    label = _one_label(path, first, [(k, column(k)) for k in labels])
    splits = places(words, SPLITS)
    if len(splits) > 1:
        both = " and ".join(repr(first[k]) for k in splits[:2])
        raise ValueError(f"{path} has two columns of splits, {both}; take one out")
    span = span_columns(path, first, lambda: _folders(column(name), below))
    known = {*names, *labels, *splits, *(span[:2] if span else ())}
    strange, left = [], []
    for k, word in enumerate(words):
        if k in known:
            if k in {*names, *labels} - {name, label}:
                left.append(first[k])
        elif says_nothing(word, column(k)) or (span and word in SPAN_WORDS):
            left.append(first[k])
        else:
            strange.append(first[k])
    refuse_strange(path, strange)
    left = [word for word in left if word]
    notes = []
    if left:
        notes.append(f"paths are in its column {first[name]!r}, classes in {first[label]!r}; ")
        notes[0] += f"{', '.join(left)} not used"
    if span is not None:
        start, end = first[span.start], first[span.end]
        notes.append(f"a clip is from {start!r} to {end!r} of its video, in {span.unit}")
    split = splits[0] if splits else None
    return _Columns(len(first), name, label, split, span, "; ".join(notes))


def _folders(names: Sequence[str], below: Below) -> bool:
    """Whether any video is a folder of frames."""
    return any((below.root / path).is_dir() for name in names for path in below.find(name))


def _one_label(path: Path, first: Sequence[str], columns: list[tuple[int, list[str]]]) -> int:
    """The column of classes; of several that say the same, one that has names."""
    (chosen, cells), *others = columns
    for k, other in others:
        if other == cells:
            continue
        if len({*zip(cells, other, strict=True)}) > 1 and not one_to_one(cells, other):
            raise ValueError(
                f"{path} has two columns of classes, {first[chosen]!r} and {first[k]!r}, which do "
                "not say the same; take one out, or rename it to note"
            )
        if all(cell.isdecimal() for cell in cells):
            chosen, cells = k, other
    return chosen


# --- without one ----------------------------------------------------------------------------------


def _without_header(path: Path, rows: Rows, below: Below) -> Labels:
    """`path,label`, or `label,path`, or paths alone in folders of classes."""
    number, first = rows[0]
    shown = f"{path}, line {number}, {_joined(first)!r}"
    mend = f"write a first line that says what each column is ({KNOWN})"
    width = max(len([*filter(None, row)]) for _, row in rows)
    if width > 2:
        raise ValueError(
            f"{shown}, is no header that is known, and has {len(first)} columns; {mend}"
        )
    if width == 1:
        return _alone(path, rows, below)
    swapped = not any(below.has(row[0]) for _, row in rows) and any(
        len(row) > 1 and below.has(row[1]) for _, row in rows
    )
    name, label = (1, 0) if swapped else (0, 1)
    names, labels = ([row[k] if k < len(row) else "" for _, row in rows] for k in (name, label))
    if looks_like_header(names, labels, below):
        raise ValueError(f"{shown}, is neither a video of {below.root} nor a known header; {mend}")
    taken = f"{_joined(first)!r} is read as class, path" if swapped else ""
    lines = _lines(path, rows, _Columns(max(2, len(first)), name, label))
    return Labels(tuple(lines), taken=taken)


def _alone(path: Path, rows: Rows, below: Below) -> Labels:
    names = [row[0].replace("\\", "/") for _, row in rows]
    for (number, row), name in zip(rows, names, strict=True):
        if len(PurePosixPath(name).parts) < 2 or not any(map(below.has, names)):
            raise ValueError(
                f"{path}, line {number}, must have a path and a label, got {_joined(row)!r}; mend "
                "it, or take it out"
            )
    lines = (Line(name, PurePosixPath(name).parts[-2]) for name in names)
    return Labels(tuple(lines), taken="a line is a path alone, its folder is the class")


def _joined(cells: Sequence[str]) -> str:
    return ",".join(cells)
