"""Labels that are numbers: whether they count from 0 or 1, and the names that a file gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interlace.data.labels.class_names import numbered_classes
from interlace.data.labels.labels import Labels, Line

# files of names that lie beside a list: UCF101's, MMAction2's, TSM's, and plain ones
_NAMES = ("classInd.txt", "classes.txt", "class_names.txt", "categories.txt", "category.txt")


def name_numbers(
    labels: Labels, file: Path, folders: Sequence[Path], given: Sequence[str] | None
) -> Labels:
    """The same labels, numbers among them made into names of classes where their names are known.

    Args:
        labels: as the file has them.
        file: that they come from, for errors and notes.
        folders: where a file of names may lie.
        given: classes of a model, which numbers may be indices of.

    Returns:
        Labels whose numbers are those of `given`, or names; the note says what was done.

    Raises:
        ValueError: numbers are none of classes: fractions, or negative.
    """
    told = [line.label for line in labels.lines if line.label is not None]
    if not told or not all(re.fullmatch(r"-?\d+(\.\d*)?", label) for label in told):
        return labels
    wrong = next((t for t in told if not re.fullmatch(r"\d+(\.0*)?", t)), None)
    if wrong is not None:
        raise ValueError(
            f"{file} has the label {wrong}, and numbers of classes are whole and not negative: see "
            "which column is the class, or take those lines out"
        )
    numbers = sorted({int(float(label)) for label in told})
    if given is not None and all(name.isdecimal() for name in given):
        called = {int(name): name for name in given}
        return _renamed(labels, {n: called.get(n, str(n)) for n in numbers}, "")
    for table in _tables(file, folders):
        names = _fitting(numbers, numbered_classes(table))
        if names is not None:
            note = f"{table} names its classes: {numbers[0]} is {names[numbers[0]]!r}"
            renamed = _renamed(labels, names, note)
            if given is not None:
                return renamed
            return replace(renamed, classes=tuple(names[n] for n in numbers))
    if given is not None:
        first = 1 if numbers[0] and numbers[-1] == len(given) else 0
        named = {n: given[n - first] for n in numbers if n - first < len(given)}
        note = f"its classes are numbers that count from {first}: {numbers[0]} is {{!r}}"
        note = note.format(named[numbers[0]]) if numbers[0] and named else ""
        return _renamed(labels, {n: named.get(n, str(n)) for n in numbers}, note)
    note = ""
    if numbers != list(range(len(numbers))):
        note = f"all of its lines are of the class {numbers[0]}"
        if len(numbers) > 1:
            note = (
                f"its classes are {len(numbers):,} numbers from {numbers[0]} to {numbers[-1]}, "
                f"which become classes 0 to {len(numbers) - 1}, called as they are"
            )
    renamed = _renamed(labels, {n: str(n) for n in numbers}, note)
    return replace(renamed, classes=tuple(map(str, numbers)))


def _renamed(labels: Labels, names: dict[int, str], note: str) -> Labels:
    def rename(line: Line) -> Line:
        return line if line.label is None else line._replace(label=names[int(float(line.label))])

    taken = "; ".join(filter(None, (labels.taken, note)))
    return replace(labels, lines=tuple(map(rename, labels.lines)), taken=taken)


def _tables(file: Path, folders: Sequence[Path]) -> list[Path]:
    """Files of names beside a list, which is none itself."""
    found = []
    for folder in dict.fromkeys(folders):
        found += [folder / name for name in _NAMES]
        found += sorted(folder.glob("label_map*.txt"))
    return [path for path in found if path.is_file() and not path.samefile(file)]


def _fitting(numbers: Sequence[int], table: dict[int, str]) -> dict[int, str] | None:
    """The name of each number; None where a table is of others.

    Lists of TSN and TSM count from 0 where classInd.txt counts from 1; some count the other way.
    """
    for shift in (0, 1, -1):
        whole = shift == 0 or (0 in numbers if shift == 1 else numbers[-1] == len(table))
        if whole and all(number + shift in table for number in numbers):
            return {number: table[number + shift] for number in numbers}
    return None
