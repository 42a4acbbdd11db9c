"""Tables: what their columns are called, and what each of them means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from interlace.data.labels.beside import one_to_one
from interlace.data.labels.columns import (
    KNOWN,
    LABELS,
    PATHS,
    SPAN_WORDS,
    SPANS,
    SPLITS,
    UNUSED,
    has_header,
    looks_like_header,
    places,
    plain,
)
from interlace.data.labels.labels import Labels, Line, need_split
from interlace.data.video.below import Below
from interlace.data.video.excerpt import Span, Unit

Rows = Sequence[tuple[int, Sequence[str]]]  # lines and their numbers


def read_table(path: Path, rows: Rows, below: Below) -> Labels:
    """What a table says whose lines are a path and a label, or whose header says what they are.

    Args:
        path: of the table, for errors.
        rows: its lines.
        below: the videos, which tell what is a path.

    Raises:
        ValueError: a column is not known, or a line lacks a cell.
    """
    columns = _columns(path, rows, below)
    if columns is None:
        return _without_header(path, rows, below)
    rows = rows[1:]
    if not rows:
        raise ValueError(f"{path} has a header and nothing below it; write a line for each video")
    return Labels(tuple(_lines(path, rows, columns)), taken=columns.taken)


@dataclass(frozen=True)
class _Columns:
    """Where a table has what."""

    width: int
    name: int
    label: int
    split: int | None = None
    span: tuple[int, int] | None = None
    unit: Unit = "seconds"
    taken: str = ""


def _lines(path: Path, rows: Rows, columns: _Columns) -> list[Line]:
    lines, unmarked = [], []
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
        if not word:
            unmarked.append(number)
        split = need_split(word, where) if word else None
        lines.append(Line(name, label, split, _span(cells, columns, where)))
    if unmarked and len(unmarked) < len(lines) and columns.split is not None:
        numbers = ", ".join(map(str, unmarked[:3])) + (", ..." if len(unmarked) > 3 else "")
        raise ValueError(
            f"{path} has {len(unmarked):,} of {len(lines):,} lines without a split (line "
            f"{numbers}), which nothing would use; mark or remove them"
        )
    return lines


def _span(cells: Sequence[str], columns: _Columns, where: str) -> Span | None:
    """The stretch that a line means; None where both of its cells are empty."""
    if columns.span is None or not any(cells[k] for k in columns.span):
        return None
    start, end = (_number(cells[k], columns.unit) for k in columns.span)
    if start is None or end is None or not start < end:
        unit = "whole numbers" if columns.unit == "frames" else "seconds, or as 1:02.5"
        said = " and ".join(repr(cells[k]) for k in columns.span)
        raise ValueError(
            f"{where}, says that its clip is from {said}, which must be two {unit}, the first the "
            "smaller; mend it, or leave both empty for the whole video"
        )
    return Span(start, end, columns.unit)


def _number(cell: str, unit: str) -> float | None:
    """Seconds, also as 0:01:02.5, or a frame; None where a cell is none."""
    pattern = r"\d+(\.0*)?" if unit == "frames" else r"(\d+:){0,2}\d+(\.\d*)?"
    if not re.fullmatch(pattern, cell):
        return None
    seconds = 0.0
    for part in cell.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


# --- with a header --------------------------------------------------------------------------------


def _columns(path: Path, rows: Rows, below: Below) -> _Columns | None:
    """What a header says; None where the first line is none."""
    first = rows[0][1]
    words = plain(first)
    names, labels = places(words, PATHS), places(words, LABELS)
    if not has_header(first):
        return None
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
    span, unit = _span_columns(path, first, words, lambda: _folders(column(name), below))
    known = {*names, *labels, *splits[:1], *(span or ())}
    unused = [
        k
        for k, word in enumerate(words)
        if k not in known and (_says_nothing(word, column(k)) or (span and word in SPAN_WORDS))
    ]
    strange = [first[k] for k in range(len(first)) if k not in known and k not in unused]
    if strange:
        called = f"columns {_joined(strange)!r}" if len(strange) > 1 else f"a column {strange[0]!r}"
        raise ValueError(
            f"{path} has {called}, not known, which may change what a line means; take it out, or "
            f"rename it to what it is ({KNOWN})"
        )
    left = [
        first[k] for k in range(len(first)) if k in unused or k in {*names, *labels} - {name, label}
    ]
    left = [word for word in left if word]
    notes = []
    if left:
        notes.append(f"paths are in its column {first[name]!r}, classes in {first[label]!r}; ")
        notes[0] += f"{', '.join(left)} not used"
    if span is not None:
        start, end = (first[k] for k in span)
        notes.append(f"a clip is from {start!r} to {end!r} of its video, in {unit}")
    split = splits[0] if splits else None
    return _Columns(len(first), name, label, split, span, unit, "; ".join(notes))


def _span_columns(
    path: Path, first: Sequence[str], words: Sequence[str], folders: Callable[[], bool]
) -> tuple[tuple[int, int] | None, Unit]:
    """Where the stretch of a video is said, and in what; frames of folders, else seconds."""
    found: dict[Unit, tuple[int, int]] = {}
    for unit, (starts, ends) in SPANS.items():
        start, end = places(words, starts), places(words, ends)
        if start and end:
            found[unit] = start[0], end[0]
        elif start or end:
            one, other = (start, ends[0]) if start else (end, starts[0])
            raise ValueError(
                f"{path} has a column {first[one[0]]!r}, and none that is called {other}; a "
                "stretch of a video needs both"
            )
    if "frames" in found and (len(found) < 2 or folders()):
        return found["frames"], "frames"
    return found.get("seconds"), "seconds"


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


def _says_nothing(word: str, cells: Sequence[str]) -> bool:
    """Whether a column may be left aside: known so, empty, or numbers of lines without a name."""
    if word in UNUSED or not any(cells):
        return True
    return not word and all(c.isdecimal() for c in cells) and len({*cells}) == len(cells)


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
