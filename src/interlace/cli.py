"""The command line: functions whose arguments are options.

What is slow to import is imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import difflib
import re
import sys
import time
from pathlib import Path
from typing import Literal, NoReturn

from jsonargparse import ArgumentParser, auto_cli

from interlace.options import DataOptions, ModelOptions, RecipeOptions, TrainerOptions

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

    start = time.monotonic()
    weights = train(model, data, recipe, trainer)
    minutes = (time.monotonic() - start) / 60
    _report(
        weights,
        Path(trainer.out),
        bf16=trainer.precision == "bf16",
        title=f"{model.name} on {data.dataset}",
        clips=4,
        logs=Path(trainer.out) / "logs/csv",
        summary={"Training time": f"{minutes:.1f} min"},
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
    try:
        auto_cli(_COMMANDS, args=argv, prog="interlace", parser_class=_Parser, allow_abbrev=False)
    except KeyboardInterrupt:
        _say("stopped; the same command goes on", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        _say(f"interlace: {text}", file=sys.stderr)
        return 1
    return 0


_COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "explain": explain,
    "generate": generate,
    "list": list_,
    "bench": bench,
}


class _Parser(ArgumentParser):
    """Answers a wrong option with one sentence and the nearest right one, not with all of them."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        text = re.sub(r"\s+", " ", message).strip().rstrip(".")
        known = [option.removeprefix("--") for option in self._option_string_actions]
        for word in re.findall(r"(?:--|option '|key '|choice: ')([\w.]+)", message):
            near = difflib.get_close_matches(word, [*known, *_COMMANDS], n=1)
            if near and near[0] != word:
                text += f"; did you mean {near[0]!r}?"
        _say(f"interlace: {text}; `{self.prog.split(' [')[0]} --help` lists all", file=sys.stderr)
        raise SystemExit(2)


def _say(text: str, file=None) -> None:
    print(text, file=file or sys.stdout)


def _open(weights, digits, num_digits, videos):
    """The model of a weights file, its held-out videos and its card."""
    from dataclasses import replace

    from interlace.data.module import load_split
    from interlace.models.registry import open_weights

    model, card = open_weights(weights)
    options = DataOptions(**card["data"])
    chosen = {"digits": digits, "num_digits": num_digits, "test_size": videos}
    options = replace(options, **{key: v for key, v in chosen.items() if v is not None})
    return model, load_split(options, "test"), card | {"data": options}


def _evaluate(model, videos, card, weights, path, *, bf16: bool):
    from dataclasses import asdict

    from interlace.data.module import batches
    from interlace.evaluate import evaluate
    from interlace.explain import class_names
    from interlace.record import environment, write_json

    result = evaluate(model, batches(videos, 100, "cpu"), card["num_classes"], bf16=bf16)
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
    weights, folder, *, bf16, title, clips, logs, summary, digits=None, num_digits=None, videos=None
):
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
