"""What a weights file is worth: its evaluation as JSON, its report as a page."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from interlace.data.digits.datasets import VideoOptions, batches, load_split, video_options
from interlace.data.digits.moving import MovingDigits as Videos
from interlace.evaluation.evaluate import Evaluation, evaluate
from interlace.models.classifier import VideoClassifier
from interlace.models.registry import open_weights
from interlace.record import environment, write_json
from interlace.reports.digits import class_names, run_report
from interlace.training.renamed import upgraded


class Trained(NamedTuple):
    """A trained model and the held-out videos of its data set."""

    weights: Path
    model: VideoClassifier
    card: dict[str, Any]
    options: VideoOptions
    videos: Videos


def open_trained(
    weights: str | Path,
    *,
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int | None = None,
) -> Trained:
    """Opens a weights file with the test videos that its card describes.

    Args:
        weights: a safetensors file with a card.
        digits, num_digits: instead of what the card says.
        videos: how many, instead of what the card says.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a damaged file, or a card that describes no videos.
    """
    model, card = open_weights(weights)
    chosen: dict[str, Any] = {"digits": digits, "num_digits": num_digits, "test_size": videos}
    try:
        data = upgraded({"data": card["data"]})["data"]
        options = video_options(data["name"])(**data)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the card of {weights} does not describe videos ({error}): take weights that "
            "`interlace train` wrote, or a newer interlace"
        ) from error
    options = replace(options, **{key: v for key, v in chosen.items() if v is not None})
    return Trained(Path(weights), model, card, options, load_split(options, "test"))


def write_evaluation(trained: Trained, path: Path, *, bf16: bool) -> Evaluation:
    """Classifies all the videos, on a GPU where there is one, and writes one JSON.

    Of a model with a graph it also says how well its regions sit on the digits.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shown = batches(trained.videos, 100, device)
    classes = trained.card["num_classes"]
    result = evaluate(trained.model.to(device), shown, classes, bf16=bf16, regions=True)
    trained.model.cpu()
    record = {
        "model": trained.card["model"],
        "weights": trained.weights.name,
        "data": asdict(trained.options),
        "seed": trained.options.seed,
        "bf16": bf16,
        **result.as_dict(class_names(trained.videos)),
        "environment": environment(),
    }
    write_json(path, record)
    return result


def write_page(
    trained: Trained,
    path: Path,
    result: Evaluation,
    *,
    title: str,
    clips: int,
    summary: dict[str, str],
    logs: Path | None = None,
) -> Path:
    """The report of `run_report`, with a summary of the model and of what it saw."""
    videos, about = trained.videos, environment()
    return run_report(
        path,
        title=title,
        model=trained.model,
        videos=videos,
        result=result,
        clips=clips,
        logs=logs,
        summary=summary
        | {
            "Parameters": f"{sum(p.numel() for p in trained.model.parameters()):,}",
            "Model": trained.card["model"],
            "Videos": f"{trained.options.name} of {trained.options.digits} digits, "
            f"{videos.num_digits} on screen, {videos.classes} classes, {videos.num_frames} frames "
            f"of {videos.frame} x {videos.frame}",
            "Weights": str(trained.weights),
            "Commit": str(about["commit"]),
            "Hardware": about["hardware"],
        },
    )
