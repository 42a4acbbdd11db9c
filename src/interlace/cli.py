"""The command line: functions whose arguments are options.

What is slow to import is imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from jsonargparse import auto_cli

from interlace.options import DataOptions, ModelOptions, RecipeOptions, TrainerOptions
from interlace.parser import Parser

if TYPE_CHECKING:
    from interlace.data.module import Videos
    from interlace.evaluate import Evaluation
    from interlace.models.classifier import VideoClassifier

Precision = Literal["bf16", "fp32"]


def train(
    model: ModelOptions = ModelOptions(),  # noqa: B008, frozen
    data: DataOptions = DataOptions(),  # noqa: B008
    recipe: RecipeOptions = RecipeOptions(),  # noqa: B008
    trainer: TrainerOptions = TrainerOptions(),  # noqa: B008
) -> None:
    """Train a model on synthetic videos, evaluate it on held-out ones, write a report.

    The same command goes on where a killed run stopped.

    Args:
        model: which network.
        data: which videos.
        recipe: how to learn.
        trainer: where and how to run.
    """
    from interlace.train import train

    weights = train(model, data, recipe, trainer)
    seconds = json.loads((Path(trainer.out) / "run.json").read_text())["seconds"]
    _report(
        weights,
        Path(trainer.out),
        bf16=trainer.precision == "bf16",
        title=f"{model.name} on {data.dataset}",
        clips=4,
        logs=Path(trainer.out) / "logs/csv",
        summary={"Training time": f"{seconds / 60:.1f} min"},
    )


def evaluate(
    weights: str,
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int | None = None,
    out: str | None = None,
    precision: Precision = "bf16",
) -> None:
    """Evaluate weights on the held-out videos they were trained for; write one JSON.

    Args:
        weights: a safetensors file with a card, e.g. best.safetensors of a run.
        digits: "mnist", "embedded" or a folder, instead of what the card says.
        num_digits: on screen, instead of what the card says.
        videos: how many, instead of what the card says.
        out: the JSON file; next to the weights if left out.
        precision: "bf16" is autocast to bfloat16.
    """
    model, data, card = _open(weights, digits, num_digits, videos)
    path = Path(out) if out else Path(weights).with_suffix(".evaluation.json")
    _evaluate(model, data, card, weights, path, bf16=precision == "bf16")


def explain(
    weights: str,
    out: str = "runs/explain",
    clips: int = 6,
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int = 500,
    precision: Precision = "bf16",
) -> None:
    """Show what a trained model looked at: frames, graph, attention, prediction, in one page.

    Args:
        weights: a safetensors file with a card, e.g. best.safetensors of a run.
        out: folder for report.html.
        clips: how many held-out videos to explain.
        digits: "mnist", "embedded" or a folder, instead of what the card says.
        num_digits: on screen, instead of what the card says.
        videos: how many held-out videos the accuracy on the page is of.
        precision: "bf16" is autocast to bfloat16.
    """
    _report(
        weights,
        Path(out),
        bf16=precision == "bf16",
        title=f"What {Path(weights).stem} looks at",
        clips=clips,
        logs=None,
        summary={},
        digits=digits,
        num_digits=num_digits,
        videos=videos,
    )


def generate(
    out: str = "runs/videos",
    data: DataOptions = DataOptions(),  # noqa: B008
    split: Literal["train", "validation", "test"] = "test",
    count: int = 8,
    format: Literal["mp4", "gif", "npz"] = "mp4",
) -> None:
    """Write synthetic videos for people to look at, with labels and boxes.

    Args:
        out: folder; labels.json there names every video's label, digits and boxes.
        data: which videos.
        split: of the data set.
        count: how many, from the first.
        format: mp4 or gif, enlarged and with boxes drawn; npz, the arrays themselves.
    """
    from interlace.generate import write_videos

    folder = write_videos(Path(out), data, split=split, count=count, format=format)
    _say(f"{count} videos in {folder}")


def list_(pattern: str = "*") -> None:
    """List the registered models.

    Args:
        pattern: shell-style, e.g. "rstg_*".
    """
    from interlace.models.registry import describe_model, list_models

    for name in list_models(pattern):
        _say(f"{name:28} {describe_model(name)}")


def bench(
    model: ModelOptions = ModelOptions(),  # noqa: B008
    data: DataOptions = DataOptions(digits="embedded"),  # noqa: B008
    batch_size: int = 64,
    precision: Precision = "bf16",
    repeats: int = 5,
) -> None:
    """Time the data, the model and a training step on this machine, in videos a second.

    Args:
        model: which network.
        data: which videos.
        batch_size: videos a step.
        precision: "bf16" is autocast to bfloat16.
        repeats: of each timing; the median counts.
    """
    from interlace.bench import bench

    for line in bench(model, data, batch_size=batch_size, precision=precision, repeats=repeats):
        _say(line)


def main(argv: list[str] | None = None) -> int:
    """Runs a command; what a user can mend ends in one sentence and exit code 1."""
    notes = logging.StreamHandler()
    logger = logging.getLogger("interlace")
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    try:
        auto_cli(_COMMANDS, args=argv, prog="interlace", parser_class=Parser, allow_abbrev=False)
    except KeyboardInterrupt:
        _say("stopped; the same command goes on", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        _say(f"interlace: {text}", file=sys.stderr)
        return 1
    finally:
        logger.removeHandler(notes)
    return 0


_COMMANDS: dict[str, Any] = {
    "train": train,
    "evaluate": evaluate,
    "explain": explain,
    "generate": generate,
    "list": list_,
    "bench": bench,
}


def _say(text: str, file: TextIO | None = None) -> None:
    print(text, file=file or sys.stdout)


def _open(
    weights: str | Path, digits: str | None, num_digits: int | None, videos: int | None
) -> tuple[VideoClassifier, Videos, dict[str, Any]]:
    """The model of a weights file, its held-out videos and its card."""
    from dataclasses import replace

    from interlace.data.module import load_split
    from interlace.models.registry import open_weights

    model, card = open_weights(weights)
    try:
        options = DataOptions(**card["data"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the card of {weights} does not describe videos ({error}): take weights that "
            "`interlace train` wrote, or a newer interlace"
        ) from error
    chosen: dict[str, Any] = {"digits": digits, "num_digits": num_digits, "test_size": videos}
    options = replace(options, **{key: v for key, v in chosen.items() if v is not None})
    return model, load_split(options, "test"), card | {"data": options}


def _evaluate(
    model: VideoClassifier,
    videos: Videos,
    card: dict[str, Any],
    weights: str | Path,
    path: Path,
    *,
    bf16: bool,
) -> Evaluation:
    from dataclasses import asdict

    import torch

    from interlace.data.module import batches
    from interlace.evaluate import evaluate
    from interlace.explain import class_names
    from interlace.record import environment, write_json

    device = "cuda" if torch.cuda.is_available() else "cpu"
    shown = batches(videos, 100, device)
    result = evaluate(model.to(device), shown, card["num_classes"], bf16=bf16)
    model.cpu()
    record = {
        "model": card["model"],
        "weights": Path(weights).name,
        "data": asdict(card["data"]),
        "seed": card["data"].seed,
        "bf16": bf16,
        **result.as_dict(class_names(videos)),
        "environment": environment(),
    }
    write_json(path, record)
    _say(
        f"held-out accuracy {result.top1:.1%} (top-5 {result.top5:.1%}) on {result.count:,} videos"
        f"\n{path}"
    )
    return result


def _report(
    weights: str | Path,
    folder: Path,
    *,
    bf16: bool,
    title: str,
    clips: int,
    logs: Path | None,
    summary: dict[str, str],
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int | None = None,
) -> None:
    from interlace.explain import run_report
    from interlace.record import environment

    model, data, card = _open(weights, digits, num_digits, videos)
    result = _evaluate(model, data, card, weights, folder / "evaluation.json", bf16=bf16)
    about = environment()
    page = run_report(
        folder / "report.html",
        title=title,
        model=model,
        videos=data,
        result=result,
        clips=clips,
        logs=logs,
        summary=summary
        | {
            "Parameters": f"{sum(p.numel() for p in model.parameters()):,}",
            "Model": card["model"],
            "Videos": f"{card['data'].dataset} of {card['data'].digits} digits, "
            f"{data.num_digits} on screen, {data.classes} classes, {data.num_frames} frames of "
            f"{data.frame} x {data.frame}",
            "Weights": str(weights),
            "Commit": str(about["commit"]),
            "Hardware": about["hardware"],
        },
    )
    _say(str(page))


if __name__ == "__main__":
    sys.exit(main())
