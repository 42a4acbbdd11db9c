"""A trained model with the videos that it was not shown, and what it is worth on them: one JSON."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from interlace.data.clips.opening import SplitName
from interlace.data.clips.shape import ProtocolName
from interlace.evaluation.evaluate import Evaluation
from interlace.models.classifier import VideoClassifier
from interlace.models.detector import WithDetector
from interlace.models.registry import input_channels
from interlace.models.weights import read_card
from interlace.record import environment, write_json
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
    """

    weights: Path
    model: VideoClassifier | WithDetector
    card: dict[str, Any]
    classes: list[str]
    called: str
    about: str
    shown: str

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


def open_trained(
    weights: Path_,
    *,
    clips: ClipChoice = ClipChoice(),
    digits: DigitChoice = DigitChoice(),
    bf16: bool = False,
) -> Trained:
    """Opens weights with held-out videos: those that the card or the run names, or others.

    Args:
        weights: a safetensors file with a card.
        clips: for a model of video files; another takes none of its options.
        digits: for a model of synthetic videos, likewise.
        bf16: whether to autocast to bfloat16 where video files are explained.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: the file is damaged, its card describes no videos, or an option is not for it.
        VideoError: a video cannot be read, or the manifest is of others.
    """
    weights = Path(weights)
    on_files = takes_files(read_card(weights))
    other: ClipChoice | DigitChoice = digits if on_files else clips
    for field in fields(other):
        if getattr(other, field.name) != field.default:
            takes = "video files" if on_files else "videos of digits"
            raise ValueError(f"--{field.name} is not for {weights}, whose model takes {takes}")
    if on_files:
        from interlace.reports.held_out_clips import HeldOutClips

        return HeldOutClips(weights, clips, bf16=bf16)
    from interlace.reports.digits import HeldOutDigits

    return HeldOutDigits(weights, digits)


def takes_files(card: dict[str, Any]) -> bool:
    """Whether the model of a card is for video files, and not for videos of digits."""
    if "clips" in card or "made_from" in card:
        return True
    return "model" in card and input_channels(card["model"]) == 3


def write_evaluation(trained: Trained, path: Path_, *, bf16: bool) -> Evaluation:
    """Classifies all the videos, and writes one JSON with all that made the numbers.

    Args:
        trained: a model and its videos.
        path: of the JSON.
        bf16: whether to autocast to bfloat16.
    """
    result, about = trained.evaluate(bf16=bf16)
    record = {
        "model": trained.card["model"],
        "weights": trained.weights.name,
        "seed": weights_seed(trained.weights, trained.card),
        "bf16": bf16,
        **result.as_dict(trained.classes),
        **about,
        "environment": environment(),
    }
    write_json(path, record)
    return result


def weights_seed(weights: Path, card: dict[str, Any]) -> int | None:
    """The seed of the first values of weights: as the card says, else the run that they lie in."""
    config = weights.parent / "config.json"
    if "seed" in card or not config.exists():
        return card.get("seed")
    return json.loads(config.read_text()).get("trainer", {}).get("seed")
