"""Kinetics as its owners list it: a table of stretches of YouTube videos, many of them gone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interlace.data.labels.columns import Rows, plain, rows_below
from interlace.data.labels.labels import Labels, Line, check_splits, need_split
from interlace.data.video.below import Below
from interlace.data.video.excerpt import Span

_COLUMNS = ("youtube_id", "time_start", "time_end")
_OTHERS = ("label", "split", "is_cc", "")  # the third says nothing of what is shown


def is_kinetics(header: Sequence[str]) -> bool:
    """Whether a table with these columns is one of Kinetics."""
    return set(_COLUMNS) <= set(plain(header))


def kinetics_labels(path: Path, rows: Rows, below: Below) -> Labels:
    """What a table of Kinetics says: `label,youtube_id,time_start,time_end,split`.

    Args:
        path: of the table, for errors.
        rows: its lines and their numbers, the first is the header; the label, as in test.csv, and
            the split may be left out.
        below: the videos.

    Returns:
        Names such as "dQw4w9WgXcQ_000012_000022", of files in any folder; "dQw4w9WgXcQ" and the
        stretch where the whole video is there instead.
    """
    header = plain(rows[0][1])
    strange = [column for column in header if column not in (*_COLUMNS, *_OTHERS)]
    if strange:
        raise ValueError(
            f"{path} has a column {strange[0]!r}, which no table of Kinetics has, and which may "
            "change what a line means; take it out"
        )
    lines = []
    for number, row in rows_below(path, rows):
        said = dict(zip(header, row, strict=False))
        try:
            start, end = (float(said[column]) for column in _COLUMNS[1:])
            if not start < end:
                raise ValueError
            whole = said["youtube_id"]
            name = f"{whole}_{round(start):06d}_{round(end):06d}"
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path}, line {number}, must have {', '.join(header)}, with a start before "
                f"its end, got {','.join(row)!r}; mend it, or take it out"
            ) from error
        word = said.get("split", "")
        split = need_split(word, f"{path}, line {number}") if word else None
        label = said.get("label") or None
        if below.find_anywhere(whole) and not below.find_anywhere(name):
            lines.append(Line(whole, label, split, Span(start, end, "seconds")))
        else:
            lines.append(Line(name, label, split))
    check_splits(path, lines, [number for number, _ in rows[1:]])
    return Labels(tuple(lines), anywhere=True)
