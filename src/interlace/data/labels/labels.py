"""What a file of labels says, whatever its format: which video shows which class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from interlace.data.video.excerpt import Span

SplitName = Literal["train", "validation", "test"]


class Line(NamedTuple):
    """What is said of one video.

    Args:
        name: of the video, as the file has it.
        label: of its class, as the file has it: a name or a number; None where it is not said.
        split: that it belongs to; None where nothing is said.
        span: the stretch of the video that is meant; None: all of it.
    """

    name: str
    label: str | None = None
    split: SplitName | None = None
    span: Span | None = None


@dataclass(frozen=True)
class Labels:
    """What a file says of all its videos.

    Args:
        lines: one of each video, in the order of the file.
        classes: all that there are, in their order; None where only the lines tell.
        anywhere: names are those of files without suffix, in any folder, and many videos cannot be
            had any more: those are left out.
        taken: how its lines were read, in words for people; empty where that is plain.
    """

    lines: tuple[Line, ...]
    classes: tuple[str, ...] | None = None
    anywhere: bool = False
    taken: str = ""


# the word of a folder or of a file -> the split that it means
_WORDS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": (
        *("val", "valid", "validate", "validation", "dev", "devel", "development"),
        *("eval", "evaluation", "held_out", "heldout", "holdout"),
    ),
    "test": ("test", "testing"),
}
_SPLITS = {word: split for split, words in _WORDS.items() for word in words}


def split_of(word: str) -> SplitName | None:
    """The split that a word means: train, validation or test; None where it means none.

    Example:
        >>> split_of("Dev"), split_of("train_set"), split_of("fold 3")
        ('validation', 'train', None)
    """
    plain = word.strip().lower().replace("-", "_").replace(" ", "_")
    return _SPLITS.get(plain) or _SPLITS.get(plain.removesuffix("set").removesuffix("_"))


def need_split(word: str, where: str) -> SplitName:
    """The split that a word means, or a ValueError that lists what it may be."""
    split = split_of(word)
    if split is None:
        raise ValueError(
            f"{where}, is marked {word!r}, which is no split that is known: write train, "
            "validation (val, dev) or test, or leave the column out"
        )
    return split


def without_quotes(name: str) -> str:
    """A path or a class without quotes around it."""
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name


def check_splits(path: Path, lines: Sequence[Line], numbers: Sequence[int]) -> None:
    """Raises a ValueError where some lines of a file are of a split, and others are not.

    Args:
        path: of the file.
        lines: all that it says.
        numbers: of these lines.
    """
    unmarked = [number for line, number in zip(lines, numbers, strict=True) if line.split is None]
    if 0 < len(unmarked) < len(lines):
        some = ", ".join(map(str, unmarked[:3])) + (", ..." if len(unmarked) > 3 else "")
        raise ValueError(
            f"{path} has {len(unmarked):,} of {len(lines):,} lines without a split (line {some}), "
            "which nothing would use; mark or remove them"
        )
