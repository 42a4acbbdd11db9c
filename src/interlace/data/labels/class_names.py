"""Names of classes: as somebody gives them, or from a file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interlace.data.labels.labels import without_quotes


def class_names(
    classes: str | os.PathLike[str] | Sequence[str] | None, num_classes: int
) -> list[str]:
    """The names of a model's classes; their numbers where nothing tells them.

    Raises:
        ValueError: there are more or fewer names than classes.
    """
    if classes is None:
        return [str(label) for label in range(num_classes)]
    is_file = isinstance(classes, str | os.PathLike)
    names = read_classes(classes) if is_file else list(classes)  # type: ignore[arg-type]
    if len(names) != num_classes:
        where = f" in {classes}" if is_file else ""
        raise ValueError(
            f"classes must be {num_classes} names, as many as the model has, got {len(names)}"
            f"{where}: take the names that it was trained with"
        )
    return names


def read_classes(path: str | os.PathLike[str]) -> list[str]:
    """Names of classes from a file, in the order of their labels.

    Args:
        path: text with a name a line, or a number and a name, counted from 0 or 1, as UCF101's
            classInd.txt; or JSON: a list of names, or name -> label as the labels.json of
            Something-Something, or label -> name.

    Raises:
        ValueError: there is no such file, or labels are not 0 to C - 1, each once.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file of classes {path}; check its name")
    if path.suffix.lower() != ".json":
        return [name for _, name in sorted(numbered_classes(path).items())]
    held = read_json(path)
    if isinstance(held, dict):
        if not all(str(key).isdecimal() for key in held):
            held = {label: name for name, label in held.items()}
        numbers = sorted(int(key) for key in held if str(key).isdecimal())
        if numbers == list(range(len(held))):
            return [str(name) for _, name in sorted(held.items(), key=lambda item: int(item[0]))]
    elif isinstance(held, list) and all(isinstance(name, str) for name in held):
        return held
    raise ValueError(
        f'{path} must number the classes from 0, each once, as {{"Holding something": "0"}}, or be '
        "a list of names; copy it again"
    )


def numbered_classes(path: Path) -> dict[int, str]:
    """Names of classes by their numbers, from a text; from 0 where it has a name a line."""
    text = path.read_text(encoding="utf-8-sig")
    lines = [line.strip() for line in text.split("\n") if line.strip() and line[0] != "#"]
    for pattern in (
        r"(?P<number>\d+)[\s,;:.)]+(?P<name>.+)",
        r"(?P<name>.+?)[\s,;:]+(?P<number>\d+)",
    ):
        for body in (lines, lines[1:]):  # with a header, `id,name`
            found = [re.fullmatch(pattern, line) for line in body]
            named = {int(m["number"]): without_quotes(m["name"]) for m in found if m}
            first = min(named, default=0)
            in_a_row = sorted(named) == list(range(first, first + len(body)))
            differ = len({*named.values()}) == len(body)  # "class 1" is a name with a number
            if in_a_row and differ and first in (0, 1) and (len(body) > 1 or len(lines) == 1):
                return named
    return dict(enumerate(lines))


def read_json(path: Path) -> Any:
    """What a JSON file holds; a ValueError that names it where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); copy it again") from error
