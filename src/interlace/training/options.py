"""What a training run can be told: the keys of a config file and of the command line.

Importing this imports no torch, so that `interlace train --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ModelOptions:
    """Which network.

    Args:
        name: a registered model, see `interlace list`.
        weights: safetensors of the same model to start from, e.g. of a run on fewer digits;
            the pre-training is then skipped.
        backbone: safetensors of any model with the same backbone, which alone is taken; the
            pre-training is then skipped. Weights, which hold a backbone too, come first.
    """

    name: str = "rstg_positional_small"
    weights: str | None = None
    backbone: str | None = None


@dataclass(frozen=True)
class ModelName:
    """Which network, where its weights do not matter.

    Args:
        name: a registered model for real videos, see `interlace list`.
    """

    name: str = "tsm_r18_dyreg"


@dataclass(frozen=True)
class DataOptions:
    """Which videos. What is left out is as in the data set of that name.

    Args:
        dataset: of two synchronous digits, or of any number of them with repeated classes.
        digits: "mnist" (downloaded), "embedded" (scikit-learn's), or a folder with the idx files.
        num_digits: on screen.
        classes: digits 0 .. classes - 1 take part.
        num_frames: of a video.
        canvas: pixels a side of the square that digits of 28 pixels move on.
        frame: pixels a side of the video.
        max_step: a digit moves by whole pixels in [-max_step, max_step) per axis and frame.
        no_pair: probability that nobody moves alike.
        train_size: videos in one pass.
        validation_size: videos watched during training; they are made of training digits.
        test_size: held-out videos, made of test digits.
        seed: another seed gives other videos.
    """

    dataset: Literal["SyncMNIST", "MultiSyncMNIST"] = "SyncMNIST"
    digits: str = "mnist"
    num_digits: int | None = None
    classes: int | None = None
    num_frames: int | None = None
    canvas: int | None = None
    frame: int | None = None
    max_step: int | None = None
    no_pair: float | None = None
    train_size: int = 600_000  # section 3.1
    validation_size: int = 1_000
    test_size: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """A stretch of training on easier videos. What is left out is the experiment's own.

    Args:
        videos: how many.
        num_digits: on screen.
        classes: digits that take part.
        max_step: larger steps are easier to see.
        no_pair: probability that nobody moves alike.
    """

    videos: int
    num_digits: int | None = None
    classes: int | None = None
    max_step: int | None = None
    no_pair: float | None = None


@dataclass(frozen=True)
class RecipeOptions:
    """How to learn.

    Args:
        videos: of the experiment itself, after pre-training and lessons.
        pretrain_frames: single frames on which the backbone learns its digits.
        pretrain_task: "placement" is which digits are where, as RSTG's regions cannot move;
            "presence" only which there are, so that regions find them from labels alone.
        pretrain_batch: frames a step.
        pretrain_lr: peak learning rate of the pre-training.
        lessons: easier videos first.
        batch_size: videos a step.
        optimizer: "adamw" follows a cosine down to nothing; "sgd" is the paper's, Nesterov
            momentum 0.9, ten times slower whenever validation saturates.
        lr: peak learning rate.
        backbone_lr: times lr, for the pre-trained backbone; 0 leaves it as it is. "sgd"
            trains all alike.
        region_lr: times lr, for what predicts regions, all but gamma (DyReg-GNN, eq. 11). At 1
            the regions of some seeds never move, and keypoints jump. "sgd" trains all alike.
        weight_decay: of AdamW.
        warmup: steps from nothing to lr.
        clip: largest norm of the gradient.
        patience: validations without gain before "sgd" slows down.
    """

    videos: int = 600_000
    pretrain_frames: int = 600_000
    pretrain_task: Literal["placement", "presence"] = "placement"
    pretrain_batch: int = 256
    pretrain_lr: float = 4e-3
    lessons: list[Lesson] = field(default_factory=list)
    batch_size: int = 32
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 3e-3
    backbone_lr: float = 0.3
    region_lr: float = 0.1
    weight_decay: float = 1e-3
    warmup: int = 100
    clip: float = 1.0
    patience: int = 5


@dataclass(frozen=True)
class TrainerOptions:
    """Where and how to run.

    Args:
        out: folder of the run: config, logs, checkpoints, weights, evaluation.
        precision: "bf16" is autocast to bfloat16.
        device: "auto" takes a GPU where there is one.
        threads: of the CPU; torch's own choice if left out. One is the safe choice for a small
            model on cores that do other things too: two that wait for each other are slower.
        seed: of the weights' first values.
        validate_every: videos between looks at the validation videos.
        save_every: steps between checkpoints to resume from.
        log_every: steps between lines of the logs.
    """

    out: str = "runs/train"
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "auto"
    threads: int | None = None
    seed: int = 0
    validate_every: int = 10_000
    save_every: int = 200
    log_every: int = 20


def check_options(recipe: RecipeOptions, trainer: TrainerOptions) -> None:
    """Raises ValueError, and names the option, if a number makes no sense."""
    only_pretrain = recipe.pretrain_frames > 0 and recipe.videos == 0
    least_values: dict[str, tuple[float, int]] = {
        "recipe.batch_size": (recipe.batch_size, 1),
        "recipe.videos": (recipe.videos, 0 if only_pretrain else recipe.batch_size),
        "recipe.pretrain_batch": (recipe.pretrain_batch, 2),
        "recipe.pretrain_frames": (
            recipe.pretrain_frames,
            recipe.pretrain_batch if recipe.pretrain_frames else 0,
        ),
        "recipe.warmup": (recipe.warmup, 0),
        "recipe.patience": (recipe.patience, 0),
        "recipe.backbone_lr": (recipe.backbone_lr, 0),
        "recipe.region_lr": (recipe.region_lr, 0),
        "recipe.weight_decay": (recipe.weight_decay, 0),
        "trainer.seed": (trainer.seed, 0),
        "trainer.validate_every": (trainer.validate_every, 1),
        "trainer.save_every": (trainer.save_every, 1),
        "trainer.log_every": (trainer.log_every, 1),
    }
    for k, lesson in enumerate(recipe.lessons):
        least_values[f"recipe.lessons[{k}].videos"] = (lesson.videos, recipe.batch_size)
    at_least(least_values)
    for name, rate in (
        ("recipe.lr", recipe.lr),
        ("recipe.pretrain_lr", recipe.pretrain_lr),
        ("recipe.clip", recipe.clip),
    ):
        if not rate > 0:
            raise ValueError(f"{name} must be above 0, got {rate}")


def at_least(values: Mapping[str, tuple[float, int]]) -> None:
    """Raises ValueError for the first option, name -> (value, least), that is below its least."""
    for name, (value, least) in values.items():
        if not value >= least:
            a_batch = ", one batch" if least > 2 else ""
            raise ValueError(f"{name} must be at least {least}{a_batch}, got {value}")
