"""A list of videos, with what each shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from interlace.data.video.excerpt import Excerpt, Span


class Item(NamedTuple):
    """One video of a list.

    Args:
        name: path below the list's root, with / between its parts.
        label: index into the list's classes; -1 where it is not known.
        span: the stretch of the video that is meant; None: all of it.
    """

    name: str
    label: int
    span: Span | None = None

    def __str__(self) -> str:
        return self.name if self.span is None else f"{self.name} ({self.span})"


@dataclass(frozen=True)
class ClipList:
    """Which videos, and what they show.

    Args:
        root: the folder that names are below.
        items: the videos, each once, or stretches of them.
        classes: the name of each class.
    """

    root: Path
    items: tuple[Item, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.items)

    def path(self, index: int) -> Path:
        """Where a video is, or the one that it is a stretch of."""
        return self.root / self.items[index].name

    def source(self, index: int) -> Path | Excerpt:
        """A video as `read_frames` and `Predictor` take it."""
        span = self.items[index].span
        return self.path(index) if span is None else Excerpt(self.path(index), span)

    def counts(self) -> list[int]:
        """How many videos of each class there are."""
        seen = Counter(item.label for item in self.items)
        return [seen[label] for label in range(len(self.classes))]

    def select(self, indices: Iterable[int]) -> ClipList:
        """Some of the videos, in the order of `indices`."""
        return replace(self, items=tuple(self.items[index] for index in indices))


def check_classes(clips: ClipList, *, all_used: bool = True) -> None:
    """Raises a ValueError where a model cannot learn from these videos, or be tested on them.

    Args:
        clips: to check.
        all_used: whether each class must have a video, as for learning.
    """
    unknown = [item.name for item in clips.items if item.label < 0]
    if unknown:
        raise ValueError(f"{several(unknown, 'video')} no label; leave them out, or label them")
    empty = [name for name, n in zip(clips.classes, clips.counts(), strict=True) if not n]
    if empty and all_used:
        raise ValueError(
            f"{several(empty, 'class', 'classes')} no videos among the {len(clips):,} of "
            f"{clips.root}; add some, or take the class out"
        )


# --- how errors name them -------------------------------------------------------------------------


def few(names: Sequence[str]) -> str:
    """The first three."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def several(names: Sequence[str], one: str, more: str | None = None) -> str:
    """How many, and the first three: "2 videos (a, b) have"."""
    many = f"{len(names):,} {more or one + 's'}"
    return f"1 {one} ({names[0]}) has" if len(names) == 1 else f"{many} ({few(names)}) have"
