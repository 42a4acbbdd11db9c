"""What a file of labels says, whatever its format: which video shows which class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Line(NamedTuple):
    """What is said of one video.

    Args:
        name: of the video, as the file has it.
        label: of its class, as the file has it: a name or a number; None where it is not said.
        split: that it belongs to; None where nothing is said.
    """

    name: str
    label: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Labels:
    """What a file says of all its videos.

    Args:
        lines: one of each video, in the order of the file.
        classes: all that there are, in their order; None where only the lines tell.
        anywhere: names are those of files without suffix, in any folder, and many videos cannot be
            had any more: those are left out.
    """

    lines: tuple[Line, ...]
    classes: tuple[str, ...] | None = None
    anywhere: bool = False


# the word of a folder or of a file -> the split that it means
SPLITS = dict.fromkeys(("train", "training"), "train")
SPLITS |= dict.fromkeys(("val", "valid", "validate", "validation"), "validation")
SPLITS |= dict.fromkeys(("test", "testing"), "test")
