"""Train and evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from interlace.commands import Precision, ProtocolName, say
from interlace.training.options import ModelOptions, RecipeOptions, TrainerOptions


def train(model: ModelOptions, data: Any, recipe: RecipeOptions, trainer: TrainerOptions) -> None:
    """Train a model, evaluate it on held-out videos, write a report.

    The same command goes on where a killed run stopped. Options depend on the data: `interlace
    train --data NAME --help` lists those of NAME, which is clips for video files, SyncMNIST if
    left out, another data set of synthetic videos, or module:name for one of your own.

    Args:
        model: which network; `--model NAME` will do.
        data: which videos; `--data NAME` will do.
        recipe: how to learn.
        trainer: where and how to run.
    """
    from interlace.training import train
    from interlace.training.loop import is_first

    weights = train(data, model=model, recipe=recipe, trainer=trainer)
    if not is_first():
        return
    folder, bf16 = weights.parent, trainer.precision == "bf16"
    evaluation, page = folder / "evaluation.json", folder / "report.html"
    if data.name == "clips":
        from interlace.reports.clip_results import evaluate_weights, write_clip_page

        clips, scores = evaluate_weights(
            weights,
            evaluation,
            batch_size=recipe.batch_size,
            workers=data.workers,
            skip_bad=True,
            bf16=bf16,
        )
        say_result(scores.result, "clips", evaluation)
        write_clip_page(weights, page, clips, scores, bf16=bf16)
    else:
        from interlace.reports.digit_results import open_trained, write_page

        trained = open_trained(weights)
        result = write_digits(trained, evaluation, trainer.precision)
        seconds = json.loads((folder / "run.json").read_text())["seconds"]
        write_page(
            trained,
            page,
            result,
            title=f"{model.name} on {data.name}",
            clips=4,
            summary={"Training time": f"{seconds / 60:.1f} min"},
            logs=folder / "logs/csv",
        )
    say(str(page))


def evaluate(
    weights: str,
    path: str | None = None,
    labels: str | None = None,
    split: Literal["train", "validation", "test"] | None = None,
    classes: str | None = None,
    protocol: ProtocolName = "central",
    manifest: str | None = None,
    skip_bad: bool = False,
    boxes: str | None = None,
    batch_size: int = 4,
    workers: int | None = None,
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int | None = None,
    out: str | None = None,
    precision: Precision = "bf16",
) -> None:
    """Evaluate weights on held-out videos, or on a folder of yours; write one JSON.

    Without `path`, on the videos that the run of the weights held out. From `path` to `workers`
    options are for weights that take video files, from `digits` to `videos` for those that take
    synthetic videos.

    Args:
        weights: a safetensors file with a card, e.g. best.safetensors of a run.
        path: folder of videos, by class, or as `labels` say.
        labels: a file that says what each video shows, see docs/data.md.
        split: of the folder or the labels.
        classes: file of their names, one a line or labels.json, where the card has none.
        protocol: what is averaged: one central square; 3x2 or 11x2 squares and samplings.
        manifest: of the folder, from `interlace scan`; else all videos are decoded once.
        skip_bad: leave out what cannot be read, instead of refusing.
        boxes: Something-Else's file of where objects are, to measure regions on.
        batch_size: videos at once, with all their views.
        workers: processes that read; one per core that is not busy, if left out.
        digits: "mnist", "embedded" or a folder, instead of what the card says.
        num_digits: on screen, instead of what the card says.
        videos: how many, instead of what the card says.
        out: the JSON file; next to the weights if left out.
        precision: "bf16" is autocast to bfloat16.
    """
    from interlace.models.registry import input_channels
    from interlace.models.weights import read_card

    of_files: dict[str, Any] = {
        "path": path, "labels": labels, "split": split, "classes": classes, "manifest": manifest,
        "skip_bad": skip_bad, "boxes": boxes, "workers": workers,
    }  # fmt: skip
    of_digits: dict[str, Any] = {"digits": digits, "num_digits": num_digits, "videos": videos}
    card = read_card(weights)
    on_files = "clips" in card or "made_from" in card
    on_files = on_files or ("model" in card and input_channels(card["model"]) == 3)
    for name, value in (of_digits if on_files else of_files).items():
        if value not in (None, False):
            takes = "video files" if on_files else "videos of digits"
            raise ValueError(f"--{name} is not for {weights}, whose model takes {takes}")
    if on_files:
        from interlace.reports.clip_results import evaluate_weights

        named = f".{protocol}.evaluation.json"
        json_file = Path(out) if out else Path(weights).with_suffix(named)
        _, scores = evaluate_weights(
            weights,
            json_file,
            protocol=protocol,
            batch_size=batch_size,
            bf16=precision == "bf16",
            **of_files,
        )
        say_result(scores.result, "clips", json_file, held_out=path is None)
        return
    from interlace.reports.digit_results import open_trained

    trained = open_trained(weights, digits=digits, num_digits=num_digits, videos=videos)
    json_file = Path(out) if out else Path(weights).with_suffix(".evaluation.json")
    write_digits(trained, json_file, precision)


def write_digits(trained: Any, path: Path, precision: Precision) -> Any:
    """Evaluates a model on its videos of digits, writes one JSON, and says how it did."""
    from interlace.reports.digit_results import write_evaluation

    result = write_evaluation(trained, path, bf16=precision == "bf16")
    say_result(result, "videos", path)
    return result


def say_result(result: Any, what: str, path: Path, *, held_out: bool = True) -> None:
    """One line on an evaluation, one on its regions, and where it is written."""
    top1, top5 = f"{result.top1:.1%}", f"{result.top5:.1%}"
    kind = "held-out accuracy" if held_out else "accuracy"
    say(f"{kind} {top1} (top-5 {top5}) on {result.count:,} {what}")
    if result.regions is not None:
        dist, recall = result.regions.dist, result.regions.recall
        say(f"regions: Dist {dist:.3f} of the frame, recall {recall:.1%} of the digits")
    say(str(path))
