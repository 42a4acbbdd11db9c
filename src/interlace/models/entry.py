"""What the registry knows of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from interlace.models.classifier import VideoClassifier


@dataclass(frozen=True)
class Entry:
    """How to build a named model, and where it comes from.

    Attributes:
        build: number of classes -> a fresh model.
        about: one line.
        channels: of the video it takes; 1 for digits, 3 for real videos.
    """

    build: Callable[[int], VideoClassifier]
    about: str
    channels: int
