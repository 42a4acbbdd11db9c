"""Something-Something as its owners list it: numbers of videos, and templates of what is done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from interlace.data.labels.class_names import read_classes, read_json
from interlace.data.labels.labels import Labels, Line


def is_something(first: Sequence[str]) -> bool:
    """Whether a table without a header, with this first row, is one of Something-Something's."""
    return first[0].isdecimal() and (len(first) == 1 or (len(first) == 2 and " " in first[1]))


def something_table(path: Path, rows: Sequence[tuple[int, Sequence[str]]]) -> Labels:
    """Version 1, and the answers to version 2's test: `number;template`, or numbers alone.

    Args:
        path: of the table; the classes are in `...-labels.csv` or `labels.json` beside it.
        rows: its lines and their numbers.
    """
    lines = [Line(row[0], _plain(row[1]) if len(row) > 1 else None) for _, row in rows]
    return Labels(tuple(lines), _classes(path, lines))


def something_json(path: Path) -> Labels:
    """Version 2: train.json, validation.json and test.json, with labels.json beside them.

    Args:
        path: of a list of objects with "id" and, but for the test, "template".

    Raises:
        ValueError: it is none, or is called as the owners' are and labels.json is not there.
    """
    try:
        said = read_json(path)
        lines = [
            Line(str(video["id"]), _plain(video["template"]) if "template" in video else None)
            for video in said
        ]
    except (TypeError, KeyError) as error:
        raise ValueError(
            f'{path} must be a list of {{"id": "78687", "template": "Holding [something]"}}, as '
            "train.json of Something-Something v2; write other labels as a .csv file"
        ) from error
    if not lines:
        raise ValueError(f"{path} is empty; write an object for each video")
    strange = sorted({key for video in said for key in video} - _KEYS)
    if strange:
        raise ValueError(
            f"{path} has {strange[0]!r}, which may change what is meant, and which no list of "
            "Something-Something has; take it out, or write a table (.csv) with a header"
        )
    classes = _classes(path, lines)
    if classes is not None:
        return Labels(tuple(lines), classes)
    if _SPLIT.search(path.stem):
        raise ValueError(f"there is no labels.json beside {path}, which names the classes; copy it")
    return Labels(
        tuple(lines),
        taken="no labels.json beside it names the classes, which are the templates that it has",
    )


def _plain(template: str) -> str:
    """As the list of classes has it, without brackets."""
    return re.sub(r"[\[\]]", "", template).strip()


_KEYS = {"id", "label", "template", "placeholders"}
_SPLIT = re.compile(r"(train|validation|test|test-answers)$")


def _classes(path: Path, lines: Sequence[Line]) -> tuple[str, ...] | None:
    """Those of the list beside a file, which is called as it is but for the split.

    A file that somebody made of these has another name: then of any list that has its templates,
    and only these.
    """
    stem = _SPLIT.sub("labels", path.stem)
    if stem != path.stem:
        for table in (path.with_name(f"{stem}.json"), path.with_name(f"{stem}.csv")):
            if table.is_file():
                return tuple(_plain(name) for name in read_classes(table))
    said = {line.label for line in lines if line.label is not None}
    beside = (path.parent.glob(f"*labels{suffix}") for suffix in (".json", ".csv"))
    for table in (table for tables in beside for table in sorted(tables) if table != path):
        try:
            classes = tuple(_plain(name) for name in read_classes(table))
        except ValueError:
            continue  # another data set's
        if said <= {*classes}:
            return tuple(name for name in classes if name in said)
    return None
