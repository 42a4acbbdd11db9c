"""Videos to hold out, and the file that says which they were."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interlace.data.clips.clip_list import ClipList, Item
from interlace.data.labels.columns import SPANS
from interlace.data.video.excerpt import Span, Unit
from interlace.data.video.folder import natural
from interlace.files import write_rows

Root = str | os.PathLike[str]

log = logging.getLogger(__name__)

_SPANS = {unit: (starts[0], ends[0]) for unit, (starts, ends) in SPANS.items()}


def split_clips(
    clips: ClipList, *, fraction: float = 0.2, seed: int = 0
) -> tuple[ClipList, ClipList]:
    """Some videos of each class to learn from, and some to hold out.

    Which is which depends on names and seed alone, not on their order or on the machine. A class
    of two videos or more is in both parts, unless nothing is to be held out. Stretches of one video
    are in one part, if the videos are enough for that.

    Args:
        clips: all of them.
        fraction: to hold out, of each class, rounded; 0: none.
        seed: another one holds out others.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction to hold out must be from 0 to below 1, got {fraction}")
    held_out: set[Item] = set()
    if fraction:
        held_out = _whole_videos(clips, fraction, seed) or _of_each_class(clips, fraction, seed)
        if not held_out:
            raise ValueError(
                f"no class of {clips.root} has two videos, so that none can be held out; add some, "
                "or hold out 0 to learn from all"
            )
    ordered = sorted(clips.items, key=_in_order)
    kept = tuple(item for item in ordered if item not in held_out)
    held = tuple(item for item in ordered if item in held_out)
    return replace(clips, items=kept), replace(clips, items=held)


def _in_order(item: Item) -> tuple[object, ...]:
    return natural(item.name), item.span or ()


def _of_each_class(clips: ClipList, fraction: float, seed: int) -> set[Item]:
    """The share of each class, whatever videos its clips are of."""
    by_class: dict[int, list[Item]] = {}
    for item in sorted(clips.items, key=lambda item: _shuffled(str(item), seed)):
        by_class.setdefault(item.label, []).append(item)
    held_out = set()
    for items in by_class.values():
        count = max(1, round(fraction * len(items)))
        held_out.update(items[: min(count, len(items) - 1)])
    return held_out


def _whole_videos(clips: ClipList, fraction: float, seed: int) -> set[Item]:
    """All stretches of some videos, of each class about its share; none if that cannot be."""
    if len({item.name for item in clips.items}) == len(clips):
        return set()
    by_video: dict[str, list[Item]] = {}
    for item in clips.items:
        by_video.setdefault(item.name, []).append(item)
    total = Counter(item.label for item in clips.items)
    held: Counter[int] = Counter()
    held_out: set[Item] = set()
    for name in sorted(by_video, key=lambda name: _shuffled(name, seed)):
        more = Counter(item.label for item in by_video[name])
        at_most = {k: min(max(1, round(fraction * total[k])), total[k] - 1) for k in more}
        if all(held[k] + more[k] <= at_most[k] for k in more):
            held.update(more)
            held_out.update(by_video[name])
    if not held_out:
        log.warning(
            f"clips of one video of {clips.root} are both learned from and held out, as there are "
            "too few videos to hold out whole ones: what is held out may look alike"
        )
    return held_out


def _shuffled(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def write_list(path: Root, clips: ClipList) -> Path:
    """Writes which videos a list has, and their classes: a CSV file of paths and labels.

    Where a video is a stretch of another, this has two columns more.
    """
    units = {item.span.unit for item in clips.items if item.span is not None}
    if len(units) > 1:
        raise ValueError(f"{path} cannot have stretches in seconds and in frames; take one unit")
    more = _SPANS[units.pop()] if units else ()
    names = [*clips.classes, ""]  # the last of label -1
    lines = ((i.name, names[i.label], *_cells(i.span)[: len(more)]) for i in clips.items)
    return write_rows(path, [("path", "label", *more), *lines])


def read_list(path: Root, *, root: Root, classes: Sequence[str]) -> ClipList:
    """Reads what `write_list` wrote.

    Args:
        path: the CSV file.
        root: the folder that the videos are below.
        classes: of the list that was written.

    Raises:
        ValueError: it is no such file, or has a label of no class.
    """
    with Path(path).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        header, *rows = [tuple(row) for row in csv.reader(file)] or [()]
    numbers = {"": -1} | {name: label for label, name in enumerate(classes)}
    wrong = [row for row in rows if len(row) != len(header) or row[1] not in numbers]
    unit = next((unit for unit, more in _SPANS.items() if header[2:] == more), None)
    if header[:2] != ("path", "label") or (header[2:] and unit is None) or wrong:
        reason = f"such as {list(wrong[0])}" if wrong else "or another header"
        raise ValueError(
            f"{path} is no list of videos of these {len(classes)} classes: it has lines "
            f"{reason}; give the classes it was written with"
        )
    items = tuple(Item(name, numbers[label], _span(more, unit)) for name, label, *more in rows)
    return ClipList(Path(root), items, tuple(classes))


def _cells(span: Span | None) -> tuple[object, object]:
    if span is None:
        return "", ""
    whole = span.unit == "frames"
    return (int(span.start), int(span.end)) if whole else (span.start, span.end)


def _span(cells: Sequence[str], unit: Unit | None) -> Span | None:
    if unit is None or not any(cells):
        return None
    start, end = map(float, cells)
    return Span(start, end, unit)
