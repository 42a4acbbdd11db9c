"""Train and evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from interlace.commands import Precision, ProtocolName, say, say_result
from interlace.training.clip_options import (
    ClipDataOptions,
    ClipModelOptions,
    ClipRecipeOptions,
    ClipTrainerOptions,
)
from interlace.training.options import DataOptions, ModelOptions, RecipeOptions, TrainerOptions


def train(
    model: ModelOptions = ModelOptions(),  # noqa: B008, frozen
    data: DataOptions = DataOptions(),  # noqa: B008
    recipe: RecipeOptions = RecipeOptions(),  # noqa: B008
    trainer: TrainerOptions = TrainerOptions(),  # noqa: B008
) -> None:
    """Train a model on synthetic videos, evaluate it on held-out ones, write a report.

    The same command goes on where a killed run stopped. For your own videos, say where they are:
    `interlace train --data.path DIR --help` lists what that takes.

    Args:
        model: which network.
        data: which videos.
        recipe: how to learn.
        trainer: where and how to run.
    """
    from interlace.training.tasks.digits import train

    _report(train(model, data, recipe, trainer), trainer.precision, shown=4)


def train_files(
    model: ClipModelOptions = ClipModelOptions(),  # noqa: B008
    data: ClipDataOptions = ClipDataOptions(),  # noqa: B008
    recipe: ClipRecipeOptions = ClipRecipeOptions(),  # noqa: B008
    trainer: ClipTrainerOptions = ClipTrainerOptions(),  # noqa: B008
) -> None:
    """Train a model on video files, evaluate it on those held out, write a report.

    The same command goes on where a killed run stopped.

    Args:
        model: which network; `--model NAME` will do.
        data: which videos.
        recipe: how to learn.
        trainer: where and how to run.
    """
    from interlace.reports.trained import ClipChoice
    from interlace.training.tasks.clips import is_first, train_clips

    weights = train_clips(model, data, recipe, trainer)
    if is_first():
        clips = ClipChoice(skip_bad=True, batch_size=recipe.batch_size, workers=data.workers)
        _report(weights, trainer.precision, shown=6, clips=clips)


def _report(weights: Path, precision: Precision, *, shown: int, clips: Any = None) -> None:
    """Evaluates what a run has learnt, and writes its JSON and its page beside it."""
    from interlace.reports.run import write_page
    from interlace.reports.trained import ClipChoice, open_trained, write_evaluation

    bf16, path = precision == "bf16", weights.parent / "evaluation.json"
    trained = open_trained(weights, clips=clips or ClipChoice(), bf16=bf16)
    result = write_evaluation(trained, path, bf16=bf16)
    say_result(result, trained.called, path)
    say(str(write_page(trained, path.with_name("report.html"), result, clips=shown)))


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
    from interlace.reports.trained import (
        ClipChoice,
        DigitChoice,
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
    say_result(result, trained.called, json_file, held_out=path is None)
