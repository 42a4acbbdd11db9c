"""Videos to hold out, and the file that says which they were."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interlace.data.clips.clip_list import ClipList, Item
from interlace.data.video.folder import natural
from interlace.files import writing

Root = str | os.PathLike[str]


def split_clips(
    clips: ClipList, *, fraction: float = 0.2, seed: int = 0
) -> tuple[ClipList, ClipList]:
    """Some videos of each class to learn from, and some to hold out.

    Which is which depends on names and seed alone, not on their order or on the machine. A class
    of two videos or more is in both parts, unless nothing is to be held out.

    Args:
        clips: all of them.
        fraction: to hold out, of each class, rounded; 0: none.
        seed: another one holds out others.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction to hold out must be from 0 to below 1, got {fraction}")
    by_class: dict[int, list[Item]] = {}
    for item in sorted(clips.items, key=lambda item: _shuffled(item.name, seed)):
        by_class.setdefault(item.label, []).append(item)
    held_out = set()
    for items in by_class.values() if fraction else ():
        count = max(1, round(fraction * len(items)))
        held_out.update(items[: min(count, len(items) - 1)])
    if fraction and not held_out:
        raise ValueError(
            f"no class of {clips.root} has two videos, so that none can be held out; add some, or "
            "hold out 0 to learn from all"
        )
    ordered = sorted(clips.items, key=lambda item: natural(item.name))
    kept = tuple(item for item in ordered if item not in held_out)
    held = tuple(item for item in ordered if item in held_out)
    return replace(clips, items=kept), replace(clips, items=held)


def _shuffled(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def write_list(path: Root, clips: ClipList) -> Path:
    """Writes which videos a list has, and their classes: a CSV file, path and label, by name."""
    with (
        writing(path) as whole,
        whole.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        names = [*clips.classes, ""]  # the last of label -1
        lines = [(name, names[label]) for name, label in clips.items]
        csv.writer(file, lineterminator="\n").writerows([("path", "label"), *lines])
    return Path(path)


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
        rows = list(csv.reader(file))
    numbers = {"": -1} | {name: label for label, name in enumerate(classes)}
    wrong = [row for row in rows[1:] if len(row) != 2 or row[1] not in numbers]
    if rows[:1] != [["path", "label"]] or wrong:
        reason = f"such as {wrong[0]}" if wrong else "or another header"
        raise ValueError(
            f"{path} is no list of videos of these {len(classes)} classes: it has lines "
            f"{reason}; give the classes it was written with"
        )
    items = tuple(Item(name, numbers[label]) for name, label in rows[1:])
    return ClipList(Path(root), items, tuple(classes))
