"""The same file twice, under two names or on two lists: equal checksums say so."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from interlace.data.clips.clip_list import ClipList
from interlace.data.clips.manifest import Entry
from interlace.data.labels.labels import split_of


class Listed(NamedTuple):
    """One video as it is listed.

    Args:
        name: its path.
        content: equal where what is shown is equal.
        label: of its class; None where it is not known.
        part: of the split; None where there is none.
    """

    name: str
    content: Hashable
    label: str | None = None
    part: str | None = None


def copies_in_words(listed: Iterable[Listed]) -> list[str]:
    """How many videos are there more than once, across classes, across the split; a line each.

    Example:
        >>> same = [Listed("a.mp4", 1, "left", "train"), Listed("b.mp4", 1, "left", "held out")]
        >>> for line in copies_in_words([*same, Listed("c.mp4", 2, "left", "train")]):
        ...     print(line)
        2 of 3 videos are the same as another (equal checksums): a.mp4 = b.mp4
        of these, 2 are in train and in held out: a.mp4 = b.mp4
    """
    groups: dict[Hashable, list[Listed]] = {}
    total = 0
    for video in listed:
        groups.setdefault(video.content, []).append(video)
        total += 1
    same = [group for group in groups.values() if len(group) > 1]
    if not same:
        return []
    lines = [f"{_many(same)} of {total:,} videos are the same as another (equal checksums): "]
    lines[0] += _shown(same)
    labels = [group for group in same if len({video.label for video in group}) > 1]
    if labels:
        first = " and ".join(dict.fromkeys(str(video.label) for video in labels[0]))
        lines.append(f"of these, {_many(labels)} are of two classes, {first}: {_shown(labels)}")
    parts = [group for group in same if len({video.part for video in group}) > 1]
    if parts:
        first = " and in ".join(dict.fromkeys(str(video.part) for video in parts[0]))
        lines.append(f"of these, {_many(parts)} are in {first}: {_shown(parts)}")
    return lines


def listed_below(entries: Iterable[Entry]) -> list[Listed]:
    """What a scan found, with classes and splits as folders say them."""
    found = []
    for entry in entries:
        *folders, _ = PurePosixPath(entry.path).parts
        split = split_of(folders[0]) if len(folders) > 1 else None
        label = folders[split is not None] if folders else None
        found += [] if entry.error else [Listed(entry.path, entry.checksum, label, split)]
    return found


def listed_on(parts: dict[str, ClipList], entries: Iterable[Entry]) -> list[Listed]:
    """What several lists have, each of them a part of the split."""
    checksums = {entry.path: entry.checksum for entry in entries}
    return [
        Listed(
            str(item),
            (checksums.get(item.name) or item.name, item.span),
            clips.classes[item.label] if item.label >= 0 else None,
            part,
        )
        for part, clips in parts.items()
        for item in clips.items
    ]


def _many(groups: list[list[Listed]]) -> str:
    return f"{sum(map(len, groups)):,}"


def _shown(groups: list[list[Listed]]) -> str:
    few = [" = ".join([*(v.name for v in group[:3]), "..."][: len(group)]) for group in groups[:3]]
    return ", ".join(few) + (", ..." if len(groups) > 3 else "")
