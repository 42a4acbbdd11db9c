"""Train and evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from interlace.commands import Precision, ProtocolName, say, say_result
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
    from interlace.reports.held_out import ClipChoice
    from interlace.reports.run import write_page
    from interlace.reports.trained import evaluation_files, open_trained, write_evaluation
    from interlace.training import train
    from interlace.training.loop import is_first

    weights = train(data, model=model, recipe=recipe, trainer=trainer)
    if not is_first():
        return
    if getattr(recipe, "videos", 1) == 0:  # a pre-training: nothing was learnt about videos
        say(str(weights))
        return
    run = json.loads((weights.parent / "run.json").read_text())
    if not run.get("clips", {}).get("held_out", 1):
        say(
            "all clips were learned from, and none held out to measure the weights on: say which "
            f"with interlace evaluate {weights} --path FOLDER"
        )
        say(str(weights))
        return
    bf16, path = trainer.precision == "bf16", weights.parent / "evaluation.json"
    on_files, clips = data.name == "clips", ClipChoice()
    if on_files:
        clips = ClipChoice(skip_bad=True, batch_size=recipe.batch_size, workers=data.workers)
    trained = open_trained(weights, clips=clips, bf16=bf16)
    result = write_evaluation(trained, path, bf16=bf16)
    say_result(result, trained.called, evaluation_files(trained, path))
    page = write_page(trained, path.with_name("report.html"), result, clips=6 if on_files else 4)
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

    Of video files, a CSV file beside it says what each was taken for, with all scores.
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
    from interlace.reports.held_out import ClipChoice, DigitChoice
    from interlace.reports.trained import (
        evaluation_files,
        open_trained,
        takes_files,
        write_evaluation,
    )

    bf16 = precision == "bf16"
    trained = open_trained(
        weights,
        clips=ClipChoice(
            path, labels, split, classes, protocol, manifest, skip_bad, boxes, batch_size, workers
        ),
        digits=DigitChoice(digits, num_digits, videos),
        bf16=bf16,
    )
    named = f".{protocol}.evaluation.json" if takes_files(trained.card) else ".evaluation.json"
    json_file = Path(out) if out else Path(weights).with_suffix(named)
    result = write_evaluation(trained, json_file, bf16=bf16)
    written = evaluation_files(trained, json_file)
    say_result(result, trained.called, written, held_out=path is None)
