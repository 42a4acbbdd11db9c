"""What a training on video files can be told: `interlace train --data.path DIR`.

Importing this imports no torch, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interlace.training.options import at_least


@dataclass(frozen=True)
class ClipModelOptions:
    """Which network.

    Args:
        name: a registered model for real videos, see `interlace list`.
        backbone: "imagenet" (fetched once), or a file of torchvision's or timm's weights, for the
            backbone to start from; else it starts fresh.
        weights: of the same model, to start all but the head from.
        detector: of a model that looks where it is told, such as tsm_r50_detector: "coco" (fetched
            once), or a file of torchvision's Faster R-CNN (ResNet-50, FPN).
        teachers: weights of models with one graph each. For the first tenth of the steps, the
            graphs of a model with several learn where to look from these (DyReg, appendix F.1).
    """

    name: str = "tsm_r18_dyreg"
    backbone: str | None = None
    weights: str | None = None
    detector: str | None = None
    teachers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClipDataOptions:
    """Which videos, and what is shown of them. Small enough for a CPU; DyReg takes 16, 224, 256.

    Args:
        path: a folder of videos: one folder for each class, or any, with `labels`.
        labels: a file that says what each shows, see docs/data.md.
        held_out_labels: the same for videos to hold out; else `held_out` says how many are.
        held_out: fraction of each class that is not learned from, where no split is given.
        manifest: from `interlace scan`; else all videos are decoded once before the first step.
            Several processes need one.
        skip_missing: leave out what is listed and not there.
        flip: mirror clips at random. Classes that say left and right swap, but one whose name does
            not say so may be ruined.
        num_frames: T.
        size: of the square a model sees, in pixels.
        short_side: that frames are resized to before, in pixels.
        sampling: frames from "segments" of all of the video, or a "dense" stretch of it.
        step: from frame to frame, of "dense".
        workers: processes that read; one per core that is not busy with training, if left out.
        seed: of the split, the order, and all that is drawn from a video.
    """

    path: str = ""
    labels: str | None = None
    held_out_labels: str | None = None
    held_out: float = 0.2
    manifest: str | None = None
    skip_missing: bool = False
    flip: bool = False
    num_frames: int = 8
    size: int = 112
    short_side: int = 128
    sampling: Literal["segments", "dense"] = "segments"
    step: int = 2
    workers: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class ClipRecipeOptions:
    """How to learn from video files. What is left out depends on how the backbone starts.

    Args:
        epochs: at most.
        patience: epochs without a better held-out accuracy after which to stop.
        batch_size: clips at once, of one process.
        accumulate: batches a step.
        optimizer: "adamw", or "sgd" with momentum 0.9, as in the papers.
        lr: peak learning rate for 32 clips a step; it is scaled to the clips there are.
        backbone_lr: times lr, for the backbone; 0.1 if pre-trained, 1 if fresh.
        weight_decay: of all weights.
        warmup: fraction of the steps, from nothing to lr; a cosine leads down again.
        clip: largest norm of the gradient.
        dropout: before the head.
        freeze: stages of a ResNet that stay as they are, 1 is its stem, 5 is all; 2 if
            pre-trained, 0 if fresh.
        freeze_norm: whether batch norms stay as they are; yes if pre-trained, no if fresh.
    """

    epochs: int = 30
    patience: int = 8
    batch_size: int = 8
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    backbone_lr: float | None = None
    weight_decay: float = 1e-2
    warmup: float = 0.05
    clip: float = 5.0
    dropout: float = 0.5
    freeze: int | None = None
    freeze_norm: bool | None = None


@dataclass(frozen=True)
class ClipTrainerOptions:
    """Where and how to run.

    Args:
        out: folder of the run: config, split, logs, checkpoints, weights, evaluation.
        precision: "bf16" is autocast to bfloat16.
        device: "auto" takes a GPU where there is one.
        devices: processes on this machine, each with a GPU or cores of its own.
        nodes: machines; start one such command on each with torchrun or SLURM.
        threads: of the CPU, for each process; torch's own choice if left out.
        seed: of the weights' first values.
        save_every: steps between checkpoints to resume from.
        log_every: steps between lines of the logs.
    """

    out: str = "runs/clips"
    precision: Literal["bf16", "fp32"] = "bf16"
    device: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    threads: int | None = None
    seed: int = 0
    save_every: int = 100
    log_every: int = 10


def check_clip_options(
    data: ClipDataOptions, recipe: ClipRecipeOptions, trainer: ClipTrainerOptions
) -> None:
    """Raises ValueError, and names the option, if a number makes no sense."""
    if not data.path:
        raise ValueError("data.path must name a folder of videos")
    at_least(
        {
            "recipe.epochs": (recipe.epochs, 1),
            "recipe.patience": (recipe.patience, 1),
            "recipe.batch_size": (recipe.batch_size, 1),
            "recipe.accumulate": (recipe.accumulate, 1),
            "recipe.weight_decay": (recipe.weight_decay, 0),
            "recipe.backbone_lr": (recipe.backbone_lr or 0, 0),
            "recipe.freeze": (recipe.freeze or 0, 0),
            "data.workers": (data.workers or 0, 0),
            "trainer.seed": (trainer.seed, 0),
            "trainer.threads": (1 if trainer.threads is None else trainer.threads, 1),
            "trainer.devices": (trainer.devices, 1),
            "trainer.nodes": (trainer.nodes, 1),
            "trainer.save_every": (trainer.save_every, 1),
            "trainer.log_every": (trainer.log_every, 1),
        }
    )
    for name, value in (("recipe.lr", recipe.lr), ("recipe.clip", recipe.clip)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    for name, value in (("recipe.warmup", recipe.warmup), ("recipe.dropout", recipe.dropout)):
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value}")
