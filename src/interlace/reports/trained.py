"""A trained model with the videos that it was not shown, and what it is worth on them: one JSON."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
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
        choice: which of them `explain` takes, in a few words.
    """

    weights: Path
    model: VideoClassifier | WithDetector
    card: dict[str, Any]
    classes: list[str]
    called: str
    about: str
    choice: str

    @abstractmethod
    def evaluate(self, *, bf16: bool) -> tuple[Evaluation, dict[str, Any]]:
        """Classifies all the videos: the result, and what else goes into its JSON."""

    @abstractmethod
    def explain(self, result: Evaluation, count: int) -> list[ClipReport]:
        """Pictures and sentences for some of the videos, those that tell most."""


def open_trained(
    weights: Path_,
    *,
    path: Path_ | None = None,
    labels: Path_ | None = None,
    split: SplitName | None = None,
    classes: Path_ | None = None,
    protocol: ProtocolName = "central",
    manifest: Path_ | None = None,
    skip_bad: bool = False,
    boxes: Path_ | None = None,
    batch_size: int = 4,
    workers: int | None = None,
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int | None = None,
    bf16: bool = False,
) -> Trained:
    """Opens weights with held-out videos: those that the card or the run names, or others.

    From `path` to `workers` options are for models of video files, see `HeldOutClips`; from
    `digits` to `videos` for models of synthetic videos, see `HeldOutDigits`.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: the file is damaged, its card describes no videos, or an option is not for it.
    """
    weights = Path(weights)
    of_files = {
        "path": path, "labels": labels, "split": split, "classes": classes,
        "protocol": protocol if protocol != "central" else None, "manifest": manifest,
        "skip_bad": skip_bad or None, "boxes": boxes, "workers": workers,
    }  # fmt: skip
    of_digits = {"digits": digits, "num_digits": num_digits, "videos": videos}
    on_files = takes_files(read_card(weights))
    for name, value in (of_digits if on_files else of_files).items():
        if value is not None:
            takes = "video files" if on_files else "videos of digits"
            raise ValueError(f"--{name} is not for {weights}, whose model takes {takes}")
    if not on_files:
        from interlace.reports.digits import HeldOutDigits

        return HeldOutDigits(weights, digits=digits, num_digits=num_digits, videos=videos)
    from interlace.reports.held_out_clips import HeldOutClips

    return HeldOutClips(
        weights, path=path, labels=labels, split=split, classes=classes, protocol=protocol,
        manifest=manifest, skip_bad=skip_bad, boxes=boxes, batch_size=batch_size, workers=workers,
        bf16=bf16,
    )  # fmt: skip


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
