"""What models there are and cost, what videos hold, what papers say."""

from __future__ import annotations

from typing import Any, Literal

from interlace.commands import Precision, say


def list_(pattern: str = "*") -> None:
    """List the registered models.

    Args:
        pattern: shell-style, e.g. "rstg_*".
    """
    from interlace.models.registry import describe_model, list_models

    for name in list_models(pattern):
        say(f"{name:28} {describe_model(name)}")


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
    from interlace.commands.info import info

    lines = info(
        model,
        num_frames=num_frames,
        size=size,
        batch=batch,
        num_classes=num_classes,
        repeats=repeats,
    )
    for line in lines:
        say(line)


def bench_model(
    model: Any,
    data: Any = {"digits": "embedded"},  # noqa: B006, only read
    batch_size: int = 64,
    precision: Precision = "bf16",
    repeats: int = 5,
) -> None:
    """Time synthetic videos, a model and a training step on this machine, in videos a second.

    Args:
        model: which network; `--model NAME` will do.
        data: which videos; `--data NAME` will do.
        batch_size: videos a step.
        precision: "bf16" is autocast to bfloat16.
        repeats: of each timing; the median counts.
    """
    from interlace.commands.bench import bench

    for line in bench(model, data, batch_size=batch_size, precision=precision, repeats=repeats):
        say(line)


def bench_data(
    path: str,
    model: str = "tsm_r18_dyreg",
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
        model: a registered model for real videos, see `interlace list`.
        clips: the first so many are read.
        num_frames: that the model is shown of a clip.
        size: of the square it is shown, in pixels.
        short_side: that frames are resized to before, in pixels.
        batch_size: clips a step.
        workers: processes that read.
        precision: "bf16" is autocast to bfloat16.
        repeats: of each timing, in turn; the median counts.
    """
    from interlace.commands.bench_data import bench_data
    from interlace.data.clips.shape import ClipShape

    for line in bench_data(
        path,
        model,
        ClipShape(num_frames, size, short_side),
        clips=clips,
        batch_size=batch_size,
        workers=workers,
        precision=precision,
        repeats=repeats,
    ):
        say(line)


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
        name: dyreg-5, -6, -7, -9, -10, -11, -E6, rstg-1 (an hour a model); or all.
        setting: which configs of the table, those whose names begin so.
        seeds: of the weights' first values, each is a training; such as [0,1].
        budget_videos: instead of the config's; results say so and are kept apart.
        digits: "mnist" (downloaded), "embedded", or a folder with MNIST's files.
        folder: of tables.yaml and the results; configs/ is beside it.
        runs: folder to train in.
        threads: of the CPU; torch's own choice if left out.
        only: one model of the table, such as dyreg_fixed.
        train: what is missing; or only write the tables of what is there, with --no_train.
        force: to make results again that other options made than the configs' now.
    """
    from interlace.experiments.reproduce import reproduce

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
        say(line)


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
        say(line)


def scan(data: str, out: str = "manifest.csv", workers: int | None = None) -> None:
    """Decode every video of a folder once; list what each is, and which are broken, and why.

    Args:
        data: a folder of videos, or of folders of frames, at any depth; or one video.
        out: a CSV file, written anew: path, frames, rate, width, height, codec, checksum, error.
        workers: processes side by side, one per core if left out; 0 for none.
    """
    from interlace.data.clips.manifest import fingerprint, write_manifest
    from interlace.data.clips.scan import scan

    rows = scan(data, workers=workers)
    path = write_manifest(out, rows)
    broken = [row for row in rows if row.error]
    frames = sum(row.frames for row in rows)
    say(f"{len(rows) - len(broken):,} videos with {frames:,} frames, listed in {path}")
    if broken:
        say(f"{len(broken):,} cannot be read, and are listed with their errors, such as")
        for row in broken[:3]:
            say(f"  {row.error}")
    say(f"fingerprint {fingerprint(rows)}")
