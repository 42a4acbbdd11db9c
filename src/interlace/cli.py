"""The command line: functions whose arguments are options.

What is slow to import is imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TextIO

from jsonargparse import auto_cli

from interlace.clip_options import (
    ClipDataOptions,
    ClipModelOptions,
    ClipRecipeOptions,
    ClipTrainerOptions,
)
from interlace.options import DataOptions, ModelName, ModelOptions, RecipeOptions, TrainerOptions
from interlace.parser import Parser

Precision = Literal["bf16", "fp32"]
ProtocolName = Literal["central", "3x2", "11x2"]


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
    from interlace.results import open_trained, write_page
    from interlace.train import train

    folder = Path(trainer.out)
    trained = open_trained(train(model, data, recipe, trainer))
    result = _evaluate(trained, folder / "evaluation.json", trainer.precision)
    seconds = json.loads((folder / "run.json").read_text())["seconds"]
    page = write_page(
        trained,
        folder / "report.html",
        result,
        title=f"{model.name} on {data.dataset}",
        clips=4,
        summary={"Training time": f"{seconds / 60:.1f} min"},
        logs=folder / "logs/csv",
    )
    _say(str(page))


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
    from interlace.clip_results import evaluate_weights, write_clip_page
    from interlace.clip_training import is_first, train_clips

    weights = train_clips(model, data, recipe, trainer)
    if not is_first():
        return
    folder = Path(trainer.out)
    clips, scores = evaluate_weights(
        weights,
        folder / "evaluation.json",
        batch_size=recipe.batch_size,
        workers=data.workers,
        skip_bad=True,
        bf16=trainer.precision == "bf16",
    )
    _say_result(scores.result, "clips", folder / "evaluation.json")
    bf16 = trainer.precision == "bf16"
    _say(str(write_clip_page(weights, folder / "report.html", clips, scores, bf16=bf16)))


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
        from interlace.clip_results import evaluate_weights

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
        _say_result(scores.result, "clips", json_file, held_out=path is None)
        return
    from interlace.results import open_trained

    trained = open_trained(weights, digits=digits, num_digits=num_digits, videos=videos)
    json_file = Path(out) if out else Path(weights).with_suffix(".evaluation.json")
    _evaluate(trained, json_file, precision)


def explain(
    source: str,
    weights: str | None = None,
    out: str = "runs/explain",
    clips: int = 6,
    digits: str | None = None,
    num_digits: int | None = None,
    videos: int = 500,
    classes: str | None = None,
    precision: Precision = "bf16",
) -> None:
    """Show what a trained model looked at: frames, graph, attention, prediction, in one page.

    Of a video: the film with every node's region, and pictures of each node; of a folder or a list
    the first few on one page. Of weights for digits: held-out videos, those first in which digits
    move together, rightly and wrongly classified ones in turn.

    Args:
        source: a video, a folder of them, a .txt file with a path a line; or a weights file.
        weights: for videos, a safetensors file with a card, e.g. best.safetensors of a run.
        out: folder for report.html, and for pictures/ of regions: png or jpg, gif and mp4.
        clips: how many videos of several to explain.
        digits: "mnist", "embedded" or a folder, instead of what the card says.
        num_digits: on screen, instead of what the card says.
        videos: how many held-out videos the accuracy on the page is of.
        classes: file of their names, one a line or labels.json, where the card has none.
        precision: "bf16" is autocast to bfloat16.
    """
    if not source.endswith(".safetensors"):
        weights = _needed(weights, "explain")
        _explain_videos(source, weights, Path(out), clips, classes, precision)
        return
    from interlace.results import open_trained, write_page

    if weights not in (None, source):
        raise ValueError(f"{source} and {weights} are both weights: name a video and one of them")
    weights = source
    trained = open_trained(weights, digits=digits, num_digits=num_digits, videos=videos)
    result = _evaluate(trained, Path(out) / "evaluation.json", precision)
    title = f"What {Path(weights).stem} looks at"
    page = write_page(
        trained, Path(out) / "report.html", result, title=title, clips=clips, summary={}
    )
    _say(str(page))


def predict(
    source: str,
    weights: str | None = None,
    top: int = 5,
    out: str | None = None,
    protocol: ProtocolName = "central",
    format: Literal["text", "json"] = "text",
    classes: str | None = None,
    precision: Precision = "bf16",
) -> None:
    """Classify video files: a line for each, or JSON with where the nodes of graphs looked.

    What cannot be read is named, stops nothing, and ends in exit code 1.

    Args:
        source: a video, a folder of them, or a .txt file with a path a line.
        weights: a safetensors file with a card, e.g. best.safetensors of a run.
        top: how many classes of each.
        out: a JSON file to write, too.
        protocol: what is averaged: one central square; 3x2 or 11x2 squares and samplings.
        format: of what is printed.
        classes: file of their names, one a line or labels.json, where the card has none.
        precision: "bf16" is autocast to bfloat16.
    """
    from interlace.predict import Predictor, find_sources
    from interlace.record import write_json

    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    sources = find_sources(source)
    predictor = Predictor(
        _needed(weights, "predict"), classes=classes, protocol=protocol, bf16=precision == "bf16"
    )
    said, broken = [], 0
    for prediction in predictor.each(sources):
        said.append(prediction.as_dict(top))
        broken += bool(prediction.error)
        if format == "text":
            _say(prediction.as_text(top))
    record = {"weights": weights, "protocol": protocol, "videos": said}
    if format == "json":
        _say(json.dumps(record))
    if out is not None:
        write_json(out, record)
    if broken:
        raise ValueError(f"{broken:,} of {len(sources):,} videos cannot be read")


def generate_digits(
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


def generate_motion(
    out: str = "runs/motion_clips", per_class: int = 60, seed: int = 0, frames: int = 24
) -> None:
    """Write a small data set of clips whose classes differ only by motion, to try training on.

    Two shapes move left, right, together or apart; no frame by itself tells which.

    Args:
        out: folder; a folder of mp4 and webm files for each class comes into it.
        per_class: how many clips of each.
        seed: another one makes others.
        frames: of a clip, 12 a second.
    """
    from interlace.data.motion import write_motion_clips

    files = write_motion_clips(out, per_class=per_class, seed=seed, frames=frames)
    _say(f"{len(files)} clips in {out}")


def list_(pattern: str = "*") -> None:
    """List the registered models.

    Args:
        pattern: shell-style, e.g. "rstg_*".
    """
    from interlace.models.registry import describe_model, list_models

    for name in list_models(pattern):
        _say(f"{name:28} {describe_model(name)}")


def info(
    model: str,
    num_frames: int = 16,
    size: int = 224,
    batch: int = 1,
    num_classes: int = 174,
    repeats: int = 3,
) -> None:
    """Show what a model is and costs: parameters, operations, stages, time and memory.

    Args:
        model: a registered name, timm/<name>, or a safetensors file with a card.
        num_frames: of a clip.
        size: pixels a side.
        batch: clips.
        num_classes: of the logits; a file knows its own.
        repeats: of the timing; the median counts.
    """
    from interlace.info import info

    lines = info(
        model,
        num_frames=num_frames,
        size=size,
        batch=batch,
        num_classes=num_classes,
        repeats=repeats,
    )
    for line in lines:
        _say(line)


def bench_model(
    model: ModelOptions = ModelOptions(),  # noqa: B008
    data: DataOptions = DataOptions(digits="embedded"),  # noqa: B008
    batch_size: int = 64,
    precision: Precision = "bf16",
    repeats: int = 5,
) -> None:
    """Time synthetic videos, a model and a training step on this machine, in videos a second.

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


def bench_data(
    path: str,
    model: ModelName = ModelName(),  # noqa: B008
    clips: int = 60,
    num_frames: int = 16,
    size: int = 224,
    short_side: int = 256,
    batch_size: int = 4,
    workers: int = 2,
    precision: Precision = "bf16",
    repeats: int = 3,
) -> None:
    """Time how fast clips are read and learned from, and say which of the two is the bound.

    Args:
        path: a folder of videos, at any depth; labels do not matter.
        model: which network.
        clips: the first so many are read.
        num_frames: that the model is shown of a clip.
        size: of the square it is shown, in pixels.
        short_side: that frames are resized to before, in pixels.
        batch_size: clips a step.
        workers: processes that read.
        precision: "bf16" is autocast to bfloat16.
        repeats: of each timing, in turn; the median counts.
    """
    from interlace.bench_data import bench_data
    from interlace.data.clip_shape import ClipShape

    for line in bench_data(
        path,
        model.name,
        ClipShape(num_frames, size, short_side),
        clips=clips,
        batch_size=batch_size,
        workers=workers,
        precision=precision,
        repeats=repeats,
    ):
        _say(line)


def reproduce(
    name: str,
    setting: Literal["small", "paper"] = "small",
    seeds: list[int] = [0],  # noqa: B006, only read
    budget_videos: int | None = None,
    digits: str = "mnist",
    folder: str = "reproduce",
    runs: str = "runs/reproduce",
    threads: int | None = None,
    only: str | None = None,
    train: bool = True,
    force: bool = False,
) -> None:
    """Put our numbers beside a published table, and train what is missing; in a clone.

    The same command goes on where a killed one stopped. RESULTS.md is written anew.

    Args:
        name: dyreg-5, -6, -7, -9, -10, -11 or -E6; rstg-1, which is never trained here; or all.
        setting: options and sizes of that name in dyreg.yaml.
        seeds: of the weights' first values, each is a training; such as [0,1].
        budget_videos: instead of the setting's; results say so and are kept apart.
        digits: "mnist" (downloaded), "embedded", or a folder with MNIST's files.
        folder: of dyreg.yaml and the results.
        runs: folder to train in.
        threads: of the CPU; torch's own choice if left out.
        only: one model of the table, such as dyreg_fixed.
        train: what is missing; or only write the tables of what is there, with --no_train.
        force: to make results again that other options made than those in dyreg.yaml now.
    """
    from interlace.reproduce import reproduce

    for line in reproduce(
        name,
        setting=setting,
        seeds=seeds,
        budget_videos=budget_videos,
        digits=digits,
        folder=folder,
        runs=runs,
        threads=threads,
        only=only,
        train_missing=train,
        force=force,
    ):
        _say(line)


def convert(source: str, target: str, num_frames: int | None = None) -> None:
    """Turn weights that others released into weights of ours; say what went where.

    Known are the files of DyReg-GNN and of TSM on a ResNet, and ResNets of torchvision and timm.

    Args:
        source: PyTorch or safetensors; nothing in it is executed.
        target: the file to write, ends in .safetensors.
        num_frames: of a clip; if left out, as the file's name says, else as its authors trained.
    """
    from interlace.models.convert.files import convert_file

    for line in convert_file(source, target, num_frames=num_frames):
        _say(line)


def scan(data: str, out: str = "manifest.csv", workers: int | None = None) -> None:
    """Decode every video of a folder once; list what each is, and which are broken, and why.

    Args:
        data: a folder of videos, or of folders of frames, at any depth; or one video.
        out: a CSV file, written anew: path, frames, rate, width, height, codec, checksum, error.
        workers: processes side by side, one per core if left out; 0 for none.
    """
    from interlace.data.manifest import fingerprint, write_manifest
    from interlace.data.scan import scan

    rows = scan(data, workers=workers)
    path = write_manifest(out, rows)
    broken = [row for row in rows if row.error]
    frames = sum(row.frames for row in rows)
    _say(f"{len(rows) - len(broken):,} videos with {frames:,} frames, listed in {path}")
    if broken:
        _say(f"{len(broken):,} cannot be read, and are listed with their errors, such as")
        for row in broken[:3]:
            _say(f"  {row.error}")
    _say(f"fingerprint {fingerprint(rows)}")


def main(argv: list[str] | None = None) -> int:
    """Runs a command; what a user can mend ends in one sentence and exit code 1."""
    notes = logging.StreamHandler()
    logger = logging.getLogger("interlace")
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    try:
        argv = _named(sys.argv[1:] if argv is None else argv)
        auto_cli(
            _commands(argv), args=argv, prog="interlace", parser_class=Parser, allow_abbrev=False
        )
    except KeyboardInterrupt:
        _say("stopped; the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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
    "generate": {
        "_help": "Write videos of digits to look at, or clips of motions to train on.",
        "digits": generate_digits,
        "motion": generate_motion,
    },
    "list": list_,
    "info": info,
    "bench": {
        "_help": "Time synthetic videos and a model, or how fast clips are read.",
        "model": bench_model,
        "data": bench_data,
    },
    "predict": predict,
    "reproduce": reproduce,
    "scan": scan,
    "convert": convert,
}


def _named(argv: list[str]) -> list[str]:
    """`--model NAME` is short for `--model.name NAME`."""
    return [re.sub(r"^--model(?==|$)", "--model.name", word) for word in argv]


def _commands(argv: list[str]) -> dict[str, Any]:
    """All commands; `train` is that on video files if its options name a folder of them."""
    on_files = any(word.split("=")[0] == "--data.path" for word in argv)
    for word, value in pairwise([*argv, ""]):
        if word.split("=")[0] == "--config":
            on_files |= _names_files(Path(word.partition("=")[2] or value))
    return _COMMANDS | {"train": train_files} if on_files else _COMMANDS


def _names_files(config: Path) -> bool:
    """Whether a config has data.path; what is wrong with it the parser will say."""
    import yaml

    try:
        told = yaml.safe_load(config.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False
    data = told.get("data") if isinstance(told, dict) else None
    return isinstance(data, dict) and "path" in data


def _say(text: str, file: TextIO | None = None) -> None:
    print(text, file=file or sys.stdout)


def _needed(weights: str | None, command: str) -> str:
    if weights is None:
        raise ValueError(f"{command} needs --weights, a safetensors file such as a run writes")
    return weights


def _explain_videos(
    source: str, weights: str, out: Path, clips: int, classes: str | None, precision: Precision
) -> None:
    from interlace.explain_clips import explain_clips, explain_video
    from interlace.predict import Predictor, find_sources, is_one

    if clips < 1:
        raise ValueError(f"clips must be at least 1, got {clips}")
    sources = find_sources(source)
    predictor = Predictor(weights, classes=classes, bf16=precision == "bf16")
    if is_one(source):
        page = explain_video(predictor, source, out)
    else:
        title = f"What {Path(weights).stem} looks at in {Path(source).name}"
        page = explain_clips(predictor, sources[:clips], None, out / "report.html", title=title)
    _say(str(page))


def _evaluate(trained: Any, path: Path, precision: Precision) -> Any:
    from interlace.results import write_evaluation

    result = write_evaluation(trained, path, bf16=precision == "bf16")
    _say_result(result, "videos", path)
    return result


def _say_result(result: Any, what: str, path: Path, *, held_out: bool = True) -> None:
    top1, top5 = f"{result.top1:.1%}", f"{result.top5:.1%}"
    kind = "held-out accuracy" if held_out else "accuracy"
    _say(f"{kind} {top1} (top-5 {top5}) on {result.count:,} {what}")
    if result.regions is not None:
        dist, recall = result.regions.dist, result.regions.recall
        _say(f"regions: Dist {dist:.3f} of the frame, recall {recall:.1%} of the digits")
    _say(str(path))


if __name__ == "__main__":
    sys.exit(main())
