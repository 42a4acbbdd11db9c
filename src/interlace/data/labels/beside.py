"""The words beside a path on a line of a list: which is the class, and what the others are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from interlace.data.labels.labels import Labels, Line, SplitName, split_of, without_quotes
from interlace.data.video.below import Below

_LOOKED_AT = 16  # videos whose frames are counted
_WRITE = "write a table (.csv) with a header that says what each column is: path,label,..."


class Row(NamedTuple):
    """A line: its number, its text, and, once it is known which words are which, these."""

    number: int
    text: str
    name: str = ""
    rest: tuple[str, ...] = ()


def shown_as(row: Row, columns: str) -> str:
    return f"{row.text!r} is read as {columns}" if columns else ""


class Beside:
    """Finds out which of the words beside a path is the class, and what the others are.

    Args:
        path: of the list, for errors.
        rows: with their words apart.
        below: the videos, whose frames are counted.
        first: whether paths come first.
    """

    def __init__(self, path: Path, rows: Sequence[Row], below: Below, first: bool):
        self.path, self.below, self.first = path, below, first
        self.rows, self.splits, self.split_at = _without_split(path, rows)
        self.least = min(len(row.rest) for row in self.rows)
        self.fixed = self.least == max(len(row.rest) for row in self.rows)

    def labels(self) -> Labels:
        """The lines, by words that are numbers in all of them, and those that are none."""
        lead = self._numbers([row.rest for row in self.rows])
        if lead == self.least and self.fixed:
            return self._of_numbers()
        trail = self._numbers([row.rest[lead:][::-1] for row in self.rows])
        if lead + trail >= self.least:
            raise self._unclear("lines have different numbers of words, and numbers among them")
        words = [" ".join(row.rest[lead : len(row.rest) - trail]) for row in self.rows]
        roles = [self._beside(words, k) for k in (*range(lead), *range(-trail, 0))]
        return self._with(words, [*roles[:lead], "class", *roles[lead:]])

    def _of_numbers(self) -> Labels:
        """`path frames label`, or `path 0 frames label`, as TSN, TSM and MMAction2 write them."""
        columns = list(zip(*(row.rest for row in self.rows), strict=True))
        if len(columns) == 1:
            return self._with(columns[0], ["class"])
        if len(columns) == 2:
            fits = [self._are_frames(column) for column in columns]
            # nothing is known of either where no video can be read
            place = 1 if fits[1] and not fits[0] else 0
            if fits[place] is not False:
                roles = ["frames", "class"] if place == 0 else ["class", "frames"]
                return self._with(columns[1 - place], roles)
            raise self._unclear(self._wrong_number(columns[0]))
        whole = len(columns) == 3 and set(columns[0]) in ({"0"}, {"1"})
        if whole and self._are_frames(columns[1]) is not False:
            return self._with(columns[2], ["first frame", "frames", "class"])
        raise self._unclear(f"nothing tells which of its {len(columns)} numbers is the class")

    def _beside(self, words: Sequence[str], place: int) -> str:
        """What a number beside a class in words is."""
        column = [row.rest[place] for row in self.rows]
        frames = self._are_frames(column)
        if frames:
            return "frames"
        if _numbers_of(words, column):
            return "its number"
        if frames is None:  # nobody can tell otherwise
            return "frames"
        raise self._unclear(self._wrong_number(column))

    def _with(self, labels: Sequence[str], roles: list[str]) -> Labels:
        if self.split_at is not None:
            roles.insert(len(roles) if self.split_at < 0 else self.split_at, "split")
        lines = zip(self.rows, labels, self.splits, strict=True)
        return Labels(
            tuple(Line(row.name, without_quotes(label), split) for row, label, split in lines),
            taken=shown_as(
                self.rows[0], ", ".join(["path", *roles] if self.first else [*roles, "path"])
            ),
        )

    def _unclear(self, why: str) -> ValueError:
        row = self.rows[0]
        return ValueError(
            f"{self.path}, line {row.number}, has more than a path and a class, {row.text!r}, and "
            f"{why}; {_WRITE}"
        )

    def _numbers(self, words: Sequence[Sequence[str]]) -> int:
        """How many words are numbers in every line, counted from the first."""
        count = 0
        while count < self.least and all(count < len(w) and _is_number(w[count]) for w in words):
            count += 1
        return count

    def _looked_at(self) -> range:
        """Lines evenly through the list."""
        return range(0, len(self.rows), max(1, len(self.rows) // _LOOKED_AT))

    def _are_frames(self, column: Sequence[str]) -> bool | None:
        """Whether numbers are how many frames the videos have, about; None: nobody knows."""
        told = False
        for k in self._looked_at():
            if not column[k].isdecimal():
                return False
            frames = self.below.frames(self.rows[k].name)
            told |= frames is not None
            if frames is not None and not _about(int(column[k]), frames):
                return False
        return True if told else None

    def _wrong_number(self, column: Sequence[str]) -> str:
        for k in self._looked_at():
            frames = self.below.frames(self.rows[k].name)
            if frames is not None and not (
                column[k].isdecimal() and _about(int(column[k]), frames)
            ):
                return f"{column[k]} is not how many frames {self.rows[k].name} has, {frames}"
        return f"nothing tells what {column[0]} is"


def _about(said: int, frames: int) -> bool:
    """Whether a count is right but for what programs that take videos apart differ by."""
    return abs(said - frames) <= max(1, frames // 20)


def _without_split(
    path: Path, rows: Sequence[Row]
) -> tuple[Sequence[Row], list[SplitName | None], int | None]:
    """Lines without the word that marks a split in all of them, these, and where they stood."""
    for place in (0, 1, -1):
        if min(len(row.rest) for row in rows) <= max(1, place):
            continue
        found = [split_of(row.rest[place]) for row in rows]
        cut = [row._replace(rest=_but(row.rest, place)) for row in rows]
        if all(found):
            return cut, found, place
        if any(found) and not any(all(map(_is_number, row.rest)) for row in cut):
            wrong = rows[found.index(None)]
            known = next(row.rest[place] for row in rows if split_of(row.rest[place]))
            raise ValueError(
                f"{path}, line {wrong.number}, has {wrong.rest[place]!r} where others have "
                f"{known!r}: if that is a split, write train, validation or test; if it is part of "
                f"a class, {_WRITE}"
            )
    return rows, [None] * len(rows), None


def _but(words: Sequence[str], place: int) -> tuple[str, ...]:
    left = list(words)
    del left[place]
    return tuple(left)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d*)?", word) is not None


def _numbers_of(words: Sequence[str], column: Sequence[str]) -> bool:
    """Whether a column numbers classes: one number a class, as no times or frames would.

    Either a class comes again with its number, or numbers run from 0 or 1 without a gap.
    """
    if not one_to_one(words, column) or not all(number.isdecimal() for number in column):
        return False
    numbers = sorted({int(number) for number in column})
    in_a_row = numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1
    return in_a_row or len(numbers) < len(column)


def one_to_one(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two columns say the same in other words, and not all the same."""
    pairs = set(zip(first, second, strict=True))
    return len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs) > 1
