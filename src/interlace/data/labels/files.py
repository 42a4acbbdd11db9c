"""Files of labels: lines of paths and classes, and those of data sets with their own ways."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from interlace.data.labels.columns import has_header
from interlace.data.labels.kinetics import is_kinetics, kinetics_labels
from interlace.data.labels.labels import Labels
from interlace.data.labels.something import is_something, something_json, something_table
from interlace.data.labels.tables import read_table
from interlace.data.labels.words import word_list
from interlace.data.video.below import Below


def read_labels(path: Path, below: Below) -> Labels:
    """What a file of labels says.

    Args:
        path: lines of words (.txt, .lst), with # before notes; a table (.csv, .tsv) with or
            without a header, also of Kinetics or Something-Something v1; or a .json file of
            Something-Something v2.
        below: the videos, which tell what in a line is a path.

    Raises:
        ValueError: it is missing, empty, or has a line without a label, or whose meaning nothing
            tells.
    """
    if not path.is_file():
        raise ValueError(f"there is no file of labels {path}; check its name")
    if path.suffix.lower() == ".json":
        return something_json(path)
    text = read_text(path)
    lines = [(k, line.strip()) for k, line in enumerate(text.split("\n"), 1) if line.strip()]
    separator = _separator(path, lines, below) if lines else None
    if separator is None:
        lines = [line for line in lines if line[1][0] != "#" or below.has(line[1].split()[0])]
        if not lines:
            raise ValueError(f"{path} is empty; write a line `path label` for each video")
        words = [(number, cells_of(line)) for number, line in lines]
        if has_header(words[0][1]):
            return read_table(path, words, below)
        return word_list(path, lines, below)
    rows = table_rows(text, separator)
    if not rows:
        raise ValueError(f"{path} is empty; write a line `path label` for each video")
    if is_something(rows[0][1]):
        return something_table(path, rows)
    if is_kinetics(rows[0][1]):
        return kinetics_labels(path, rows, below)
    return read_table(path, rows, below)


def read_text(path: Path) -> str:
    """What a text holds; a ValueError where it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error.reason}); save it as such") from error


def cells_of(line: str) -> list[str]:
    """The words of a line, between tabs where it has any."""
    return line.split("\t" if "\t" in line else None)


def separator_of(first: str) -> str:
    """What stands between the cells of a table with this first line; Excel may say it there."""
    said = _SAID.fullmatch(first)
    return said[1] if said else max(",;\t", key=first.count)


def table_rows(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, and the lines they end in."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    return rows[1:] if _SAID.fullmatch(text.split("\n", 1)[0].strip()) else rows


_SAID = re.compile(r"sep=([,;\t])")


def _separator(path: Path, lines: list[tuple[int, str]], below: Below) -> str | None:
    """What stands between the columns of a table; None of a list of words."""
    first = lines[0][1]
    if re.match(r"\d+;", first):  # Something-Something, whose templates may have commas
        return ";"
    best = separator_of(first)
    if path.suffix.lower() in (".csv", ".tsv"):
        words = not first.count(best) and any(re.search(r"\s", line) for _, line in lines)
        return None if words else best
    if best == "\t" or not all(best in line for _, line in lines):
        return None
    names = (line.split(best, 1)[0].strip() for _, line in lines)
    return best if any(map(below.has, names)) or has_header(first.split(best)) else None
