"""A trained model with videos that it was not shown, and which videos one may choose."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlace.data.clips.shape import ProtocolName
from interlace.data.labels.labels import SplitName
from interlace.evaluation.evaluate import Evaluation
from interlace.models.classifier import VideoClassifier
from interlace.models.detector import WithDetector
from interlace.reports.explained import ClipReport

Path_ = str | os.PathLike[str]


class Trained(ABC):
    """A trained model and held-out videos of its kind.

    Attributes:
        weights: the file that the model is from.
        model: what was trained.
        card: of the weights.
        classes: what they are called.
        called: what people call the videos, "videos" of digits or "clips".
        about: the videos, in a few words.
        shown: which of them `explain` takes, in a few words.
        names: of the videos, in their order, where they are files.
    """

    weights: Path
    model: VideoClassifier | WithDetector
    card: dict[str, Any]
    classes: list[str]
    called: str
    about: str
    shown: str
    names: Sequence[str] = ()

    @abstractmethod
    def evaluate(self, *, bf16: bool) -> tuple[Evaluation, dict[str, Any]]:
        """Classifies all the videos: the result, and what else goes into its JSON."""

    @abstractmethod
    def explain(self, result: Evaluation, count: int) -> list[ClipReport]:
        """Pictures and sentences for some of the videos, those that tell most."""


@dataclass(frozen=True)
class ClipChoice:
    """Which video files, and how they are shown to a model.

    Args:
        path: folder of the videos; None: those that the run of the weights held out.
        labels: what they show, see `open_clips`.
        split: of the folder or the labels.
        classes: a file of their names, in the order of the model's; None: as the weights say.
        protocol: how many views of each, and which.
        manifest: of the folder, from `interlace scan`; None: the run's, else all are decoded once.
        skip_bad: leave videos out that cannot be read; else they are an error.
        boxes: Something-Else's file of where objects are, to measure regions on.
        batch_size: videos at once, with all their views.
        workers: processes that read; None: one per core that is not busy.
    """

    path: Path_ | None = None
    labels: Path_ | None = None
    split: SplitName | None = None
    classes: Path_ | None = None
    protocol: ProtocolName = "central"
    manifest: Path_ | None = None
    skip_bad: bool = False
    boxes: Path_ | None = None
    batch_size: int = 4
    workers: int | None = None


@dataclass(frozen=True)
class DigitChoice:
    """Which synthetic videos, where these are not those that the card of the weights names.

    Args:
        digits: "mnist", "embedded" or a folder.
        num_digits: on screen.
        videos: how many.
    """

    digits: str | None = None
    num_digits: int | None = None
    videos: int | None = None
