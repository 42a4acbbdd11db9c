"""Lists of words: a path and a class a line, and what other toolkits write between them.

A path may have blanks and a class, too: which words are which is what fits the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from interlace.data.labels.labels import Labels, Line, SplitName, split_of
from interlace.data.video.below import Below
from interlace.data.video.info import VideoError
from interlace.data.video.sources import VIDEOS

_LOOKED_AT = 16  # videos whose frames are counted
_TRIED = 500  # lines that a path is looked for in
_WIDEST = 12  # words beside a path
_WRITE = "write a table (.csv) with a header that says what each column is: path,label,..."


class _Row(NamedTuple):
    """A line: its number, its text, and, once it is known which words are which, these."""

    number: int
    text: str
    name: str = ""
    rest: tuple[str, ...] = ()


def word_list(path: Path, rows: Sequence[tuple[int, str]], below: Below) -> Labels:
    """What a list says: `path label`, `path frames label`, `path split label`, or `path` alone.

    Args:
        path: of the list, for errors.
        rows: its lines that are not empty, and their numbers.
        below: the videos, which tell where a path ends.

    Raises:
        ValueError: a line has no label, or words whose meaning nothing tells.
        VideoError: none of the videos is there.
    """
    _not_hmdb(path, rows)
    found, first = _apart(path, [_Row(*row) for row in rows], below)
    names = [row.name for row in found]
    if looks_like_header(names, [" ".join(row.rest) for row in found], below):
        raise ValueError(
            f"{path}, line {found[0].number}, {found[0].text!r}, is neither a video of "
            f"{below.root} nor a known header; take it out, or name its columns path and label"
        )
    widths = {len(row.rest) for row in found}
    if widths == {0}:
        return _by_folder(path, found)
    for row in found:
        if not row.rest:
            raise ValueError(
                f"{path}, line {row.number}, must have a path and a label, got {row.text!r}; mend "
                "it, or take it out"
            )
    if widths == {1}:
        taken = "" if first else "class, path"
        lines = tuple(Line(row.name, _bare(row.rest[0])) for row in found)
        return Labels(lines, taken=_shown(found[0], taken))
    return _Meaning(path, found, below, first).labels()


def _shown(row: _Row, columns: str) -> str:
    return f"{row.text!r} is read as {columns}" if columns else ""


# --- where a path ends ----------------------------------------------------------------------------


def _apart(path: Path, rows: list[_Row], below: Below) -> tuple[list[_Row], bool]:
    """The path and the other words of each line, and whether the path comes first."""

    def at_first(text: str, count: int) -> tuple[str, ...]:
        sep = "\t" if "\t" in text else None
        return tuple(word.strip() for word in text.rsplit(sep, count))

    def at_last(text: str, count: int) -> tuple[str, ...]:
        sep = "\t" if "\t" in text else None
        *rest, name = (word.strip() for word in text.split(sep, count))
        return (name, *rest)

    counts = [len(at_first(row.text, -1)) for row in rows]
    most = min(_WIDEST, max(counts) - 1)
    best: list[_Row | None] = []
    first: _Split = at_first
    for split in (at_first, at_last):
        for way in (_constant, _varied):
            read = way(rows, split, most, below) if not best or not all(best) else best
            if sum(map(bool, read)) > sum(map(bool, best)):
                best, first = read, split
    if best:
        width = len(next(row for row in best if row).rest)
        whole = [row or _cut(rows[k], first, width) for k, row in enumerate(best)]
        return whole, first is at_first
    bare = [row._replace(name=_bare(row.text)) for row in rows]
    if any(below.has(row.name) for row in bare):
        return bare, True
    if min(counts) > 2:
        raise VideoError(
            f"none of the {len(rows):,} videos of {path} is below {below.root}: its first line is "
            f"{rows[0].text!r}; {below.hint([_cut(rows[0], at_first, most).name])}"
        )
    return [_cut(row, at_first, 1) for row in rows], True


_Split = Callable[[str, int], tuple[str, ...]]


def _cut(row: _Row, split: _Split, count: int) -> _Row:
    name, *rest = split(row.text, count)
    return row._replace(name=_bare(name), rest=tuple(rest))


def _bare(name: str) -> str:
    """A path without quotes around it."""
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name


def _constant(rows: Sequence[_Row], split: _Split, most: int, below: Below) -> list[_Row | None]:
    """Lines with as many other words each, of the count that finds most videos."""
    best: list[_Row | None] = [None] * len(rows)
    some = rows[:: max(1, len(rows) // _TRIED)]
    for count in range(1, most + 1):  # of a long list, a look at some of it will do
        if all(below.has(_cut(row, split, count).name) for row in some):
            cut = [_cut(row, split, count) for row in rows]
            if all(len(row.rest) == count for row in cut):
                return [*cut]
    for count in range(1, most + 1):
        cut = [_cut(row, split, count) for row in rows]
        fit = [row if len(row.rest) == count and below.has(row.name) else None for row in cut]
        if sum(map(bool, fit)) > sum(map(bool, best)):
            best = fit
        if all(best):
            break
    return best


def _varied(rows: Sequence[_Row], split: _Split, most: int, below: Below) -> list[_Row | None]:
    """Lines with the longest path that is there, each."""
    cuts = ([_cut(row, split, count) for count in range(1, most + 1)] for row in rows)
    return [next((row for row in cut if row.rest and below.has(row.name)), None) for cut in cuts]


def _by_folder(path: Path, rows: Sequence[_Row]) -> Labels:
    """A list of paths alone, whose folders are their classes, as UCF101's of its test."""
    for row in rows:
        if len(PurePosixPath(row.name.replace("\\", "/")).parts) < 2:
            raise ValueError(
                f"{path}, line {row.number}, must have a path and a label, got {row.text!r}, which "
                "is in no folder of a class either; write the label behind it"
            )
    lines = (Line(row.name, PurePosixPath(row.name.replace("\\", "/")).parts[-2]) for row in rows)
    return Labels(tuple(lines), taken=_shown(rows[0], "path alone, its folder as the class"))


def _not_hmdb(path: Path, rows: Sequence[tuple[int, str]]) -> None:
    """HMDB51's own lists say with a number for what a video is used, not what it shows."""
    if re.search(r"_test_split\d$", path.stem) and all(t.split()[-1] in "012" for _, t in rows):
        raise ValueError(
            f"{path} is a list of HMDB51, whose numbers say 1 for training, 2 for a test and 0 for "
            "neither, and its name the class: write all of them as one table (.csv), path,label,"
            "split"
        )


# --- what the other words mean --------------------------------------------------------------------


class _Meaning:
    """Finds out which of the words beside a path is the class, and what the others are.

    Args:
        path: of the list, for errors.
        rows: with their words apart.
        below: the videos, whose frames are counted.
        first: whether paths come first.
    """

    def __init__(self, path: Path, rows: Sequence[_Row], below: Below, first: bool):
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
        if one_to_one(words, column):
            return "its number"
        if frames is None:  # nobody can tell otherwise
            return "frames"
        raise self._unclear(self._wrong_number(column))

    def _with(self, labels: Sequence[str], roles: list[str]) -> Labels:
        if self.split_at is not None:
            roles.insert(len(roles) if self.split_at < 0 else self.split_at, "split")
        lines = zip(self.rows, labels, self.splits, strict=True)
        return Labels(
            tuple(Line(row.name, _bare(label), split) for row, label, split in lines),
            taken=_shown(
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
    path: Path, rows: Sequence[_Row]
) -> tuple[Sequence[_Row], list[SplitName | None], int | None]:
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


def looks_like_header(names: Sequence[str], labels: Sequence[str], below: Below) -> bool:
    """Whether the first line is no video, by its looks, and says a class that no other does."""
    name, label = names[0], labels[0]
    if len(names) < 2 or below.has(name) or name.lower().endswith(VIDEOS):
        return False
    if re.search(r"[/\\\d]", name) or label.isdecimal() or label in labels[1:]:
        return False
    return any(map(below.has, names[1:]))


def one_to_one(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two columns say the same in other words, and not all the same."""
    pairs = set(zip(first, second, strict=True))
    return len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs) > 1
