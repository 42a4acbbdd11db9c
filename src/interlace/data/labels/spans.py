"""Columns of a table that say which stretch of a video a line means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from interlace.data.labels.columns import SPANS, places, plain
from interlace.data.video.excerpt import Span, Unit


class SpanColumns(NamedTuple):
    """Where a table says the stretches of videos, and in what.

    Args:
        start: number of the column of their starts.
        end: likewise.
        unit: of both.
    """

    start: int
    end: int
    unit: Unit

    def span(self, cells: Sequence[str], where: str) -> Span | None:
        """The stretch that a line means; None where both of its cells are empty.

        Raises:
            ValueError: they are no times or frames, or none comes before the other.
        """
        said = [cells[k] if k < len(cells) else "" for k in (self.start, self.end)]
        if not any(said):
            return None
        start, end = (_number(cell, self.unit) for cell in said)
        if start is None or end is None or not start < end:
            unit = "whole numbers" if self.unit == "frames" else "seconds, or as 1:02.5"
            raise ValueError(
                f"{where}, says that its clip is from {said[0]!r} and {said[1]!r}, which must be "
                f"two {unit}, the first the smaller; mend it, or leave both empty for the whole "
                "video"
            )
        return Span(start, end, self.unit)


def span_columns(
    path: Path, first: Sequence[str], folders: Callable[[], bool]
) -> SpanColumns | None:
    """Which columns say the stretches of videos, if any: frames of folders, else seconds.

    Args:
        path: of the table, for errors.
        first: its header.
        folders: whether any of its videos is a folder of frames; asked where it has both units.

    Raises:
        ValueError: there is a start without an end, or an end without a start.
    """
    words = plain(first)
    found: dict[Unit, SpanColumns] = {}
    for unit, (starts, ends) in SPANS.items():
        start, end = places(words, starts), places(words, ends)
        if start and end:
            found[unit] = SpanColumns(start[0], end[0], unit)
        elif start or end:
            one, other = (start, ends[0]) if start else (end, starts[0])
            raise ValueError(
                f"{path} has a column {first[one[0]]!r}, and none that is called {other}; a "
                "stretch of a video needs both"
            )
    if "frames" in found and (len(found) < 2 or folders()):
        return found["frames"]
    return found.get("seconds")


def _number(cell: str, unit: Unit) -> float | None:
    """Seconds, also as 0:01:02.5, or a frame; None where a cell is none."""
    pattern = r"\d+(\.0*)?" if unit == "frames" else r"(\d+:){0,2}\d+(\.\d*)?"
    if not re.fullmatch(pattern, cell):
        return None
    seconds = 0.0
    for part in cell.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
