"""Lists of words: a path and a class a line, and what other toolkits write between them.

A path may have blanks and a class, too: which words are which is what fits the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from interlace.data.labels.beside import Beside, Row, shown_as
from interlace.data.labels.columns import looks_like_header
from interlace.data.labels.labels import Labels, Line, without_quotes
from interlace.data.video.below import Below
from interlace.data.video.info import VideoError

_TRIED = 500  # lines that a path is looked for in
_WIDEST = 12  # words beside a path


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
    found, first = _apart(path, [Row(*row) for row in rows], below)
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
        lines = tuple(Line(row.name, without_quotes(row.rest[0])) for row in found)
        return Labels(lines, taken=shown_as(found[0], taken))
    return Beside(path, found, below, first).labels()


# --- where a path ends ----------------------------------------------------------------------------


def _apart(path: Path, rows: list[Row], below: Below) -> tuple[list[Row], bool]:
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
    best: list[Row | None] = []
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
    bare = [row._replace(name=without_quotes(row.text)) for row in rows]
    if any(below.has(row.name) for row in bare):
        return bare, True
    if min(counts) > 2:
        raise VideoError(
            f"none of the {len(rows):,} videos of {path} is below {below.root}: its first line is "
            f"{rows[0].text!r}; {below.hint([_cut(rows[0], at_first, most).name])}"
        )
    return [_cut(row, at_first, 1) for row in rows], True


_Split = Callable[[str, int], tuple[str, ...]]


def _cut(row: Row, split: _Split, count: int) -> Row:
    name, *rest = split(row.text, count)
    return row._replace(name=without_quotes(name), rest=tuple(rest))


def _constant(rows: Sequence[Row], split: _Split, most: int, below: Below) -> list[Row | None]:
    """Lines with as many other words each, of the count that finds most videos."""
    some = rows[:: max(1, len(rows) // _TRIED)]  # of a long list, a look at some of it will do
    hits = {
        count: sum(below.has(_cut(row, split, count).name) for row in some)
        for count in range(1, most + 1)
    }
    count = max(hits, key=hits.__getitem__, default=0)
    if not count or not hits[count]:
        return [None] * len(rows)
    cut = [_cut(row, split, count) for row in rows]
    if hits[count] == len(some) and all(len(row.rest) == count for row in cut):
        return [*cut]
    return [row if len(row.rest) == count and below.has(row.name) else None for row in cut]


def _varied(rows: Sequence[Row], split: _Split, most: int, below: Below) -> list[Row | None]:
    """Lines with the longest path that is there, each."""
    cuts = ([_cut(row, split, count) for count in range(1, most + 1)] for row in rows)
    return [next((row for row in cut if row.rest and below.has(row.name)), None) for cut in cuts]


def _by_folder(path: Path, rows: Sequence[Row]) -> Labels:
    """A list of paths alone, whose folders are their classes, as UCF101's of its test."""
    for row in rows:
        if len(PurePosixPath(row.name.replace("\\", "/")).parts) < 2:
            raise ValueError(
                f"{path}, line {row.number}, must have a path and a label, got {row.text!r}, which "
                "is in no folder of a class either; write the label behind it"
            )
    lines = (Line(row.name, PurePosixPath(row.name.replace("\\", "/")).parts[-2]) for row in rows)
    return Labels(tuple(lines), taken=shown_as(rows[0], "path alone, its folder as the class"))


def _not_hmdb(path: Path, rows: Sequence[tuple[int, str]]) -> None:
    """HMDB51's own lists say with a number for what a video is used, not what it shows."""
    if re.search(r"_test_split\d$", path.stem) and all(t.split()[-1] in "012" for _, t in rows):
        raise ValueError(
            f"{path} is a list of HMDB51, whose numbers say 1 for training, 2 for a test and 0 for "
            "neither, and its name the class: write all of them as one table (.csv), path,label,"
            "split"
        )
