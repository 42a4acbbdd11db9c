"""What weights are worth on videos that they were not shown: one JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from interlace.evaluation.evaluate import Evaluation
from interlace.models.registry import input_channels
from interlace.models.weights import read_card
from interlace.record import environment, write_json
from interlace.reports.digits import HeldOutDigits
from interlace.reports.held_out import ClipChoice, DigitChoice, Path_, Trained
from interlace.reports.held_out_clips import HeldOutClips
from interlace.reports.said import write_said


def open_trained(
    weights: Path_,
    *,
    clips: ClipChoice = ClipChoice(),  # noqa: B008, frozen
    digits: DigitChoice = DigitChoice(),  # noqa: B008
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
        return HeldOutClips(weights, clips, bf16=bf16)
    return HeldOutDigits(weights, digits)


def takes_files(card: dict[str, Any]) -> bool:
    """Whether the model of a card is for video files, and not for videos of digits."""
    if "clips" in card or "made_from" in card:
        return True
    return "model" in card and input_channels(card["model"]) == 3


def write_evaluation(trained: Trained, path: Path_, *, bf16: bool) -> Evaluation:
    """Classifies all the videos, and writes one JSON with all that made the numbers.

    Of video files, what was said of each goes into a CSV file beside it.

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
    for lines in evaluation_files(trained, path)[1:]:
        write_said(lines, trained.names, trained.classes, result)
    return result


def evaluation_files(trained: Trained, path: Path_) -> list[Path]:
    """What `write_evaluation` writes: the JSON and, of video files, the lines on each clip."""
    path = Path(path)
    lines = path.with_name(path.name.removesuffix(".json") + ".csv")
    return [path, lines] if trained.names else [path]


def weights_seed(weights: Path, card: dict[str, Any]) -> int | None:
    """The seed of the first values of weights: as the card says, else the run that they lie in."""
    config = weights.parent / "config.json"
    if "seed" in card or not config.exists():
        return card.get("seed")
    return json.loads(config.read_text()).get("trainer", {}).get("seed")
