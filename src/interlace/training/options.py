"""What every training can be told: the keys of a config file and of the command line.

Each task adds keys and defaults of its own, see `interlace.training.tasks`. Importing this imports
no torch, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class ModelOptions:
    """Which network.

    Args:
        name: a registered model, see `interlace list`.
        weights: safetensors of the same model to start from, the head too if it is for the same
            classes; there is no pre-training then.
        backbone: to start from, without pre-training: a file of any model of ours with the same
            backbone, or of torchvision's or timm's weights; "imagenet" fetches some once. Weights,
            which hold a backbone too, come first.
    """

    name: str = "rstg_positional_small"
    weights: str | None = None
    backbone: str | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the backbone starts from what it learnt elsewhere."""
        return bool(self.weights or self.backbone)


@dataclass(frozen=True)
class RecipeOptions:
    """How to learn.

    Args:
        batch_size: videos at once, of one process.
        accumulate: batches a step.
        optimizer: "adamw", or "sgd" with momentum 0.9, as in the papers.
        lr: peak learning rate for 32 videos a step; it is scaled to the videos there are. A cosine
            leads down to a hundredth of it.
        backbone_lr: times lr, for the backbone; 0 leaves it as it is.
        region_lr: times lr, for what predicts regions, all but gamma (DyReg-GNN, eq. 11). At 1
            the regions of some seeds never move, and keypoints jump. "sgd" trains them like the
            rest.
        weight_decay: of all weights.
        warmup: steps from nothing to lr; a twentieth of the run, at most 100, if left out.
        max_grad_norm: gradients that are longer are cut to this.
    """

    batch_size: int = 32
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 3e-3
    backbone_lr: float | None = None
    region_lr: float = 0.1
    weight_decay: float = 1e-3
    warmup: int | None = None
    max_grad_norm: float = 1.0


@dataclass(frozen=True)
class TrainerOptions:
    """Where and how to run.

    Args:
        out: folder of the run: config, logs, checkpoints, weights, evaluation; runs/ and the name
            of the data if left out.
        precision: "bf16" is autocast to bfloat16.
        device: "auto" takes a GPU where there is one.
        devices: processes on this machine, each with a GPU or cores of its own.
        nodes: machines; start one such command on each with torchrun or SLURM.
        threads: of the CPU, for each process; torch's own choice if left out. One is the safe
            choice for a small model on cores that do other things too: two that wait for each
            other are slower.
        compiled: a backbone that stays as it is, `recipe.backbone_lr` 0, runs compiled: about twice
            as fast on a CPU, after half a minute; needs a C++ compiler. For synthetic videos.
        seed: of the weights' first values, and of dropout.
        validate_every: videos between looks at the validation videos; an epoch of clips, or 10,000
            synthetic videos, if left out.
        save_every: steps between checkpoints to resume from.
        log_every: steps between lines of the logs.
        logger: beside a CSV file, which the report is drawn from; "csv" is that alone, "none"
            writes neither.
        callbacks: of Lightning, by name, such as my_module.MyCallback; built without arguments.
    """

    out: str | None = None
    precision: Literal["bf16", "fp32"] = "bf16"
    device: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    threads: int | None = None
    compiled: bool = False
    seed: int = 0
    validate_every: int | None = None
    save_every: int = 100
    log_every: int = 10
    logger: Literal["tensorboard", "wandb", "mlflow", "csv", "none"] = "tensorboard"
    callbacks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """All options of a run; which classes the parts have depends on the data."""

    model: Any
    data: Any
    recipe: Any
    trainer: TrainerOptions

    @property
    def folder(self) -> Path:
        """Of the run: last.ckpt there is where it goes on."""
        return Path(self.trainer.out or f"runs/{self.data.name.rpartition(':')[2]}")


def check_options(recipe: RecipeOptions, trainer: TrainerOptions) -> None:
    """Raises ValueError, and names the option, if a number makes no sense."""
    at_least(
        {
            "recipe.batch_size": (recipe.batch_size, 1),
            "recipe.accumulate": (recipe.accumulate, 1),
            "recipe.backbone_lr": (recipe.backbone_lr, 0),
            "recipe.region_lr": (recipe.region_lr, 0),
            "recipe.weight_decay": (recipe.weight_decay, 0),
            "recipe.warmup": (recipe.warmup, 0),
            "trainer.devices": (trainer.devices, 1),
            "trainer.nodes": (trainer.nodes, 1),
            "trainer.threads": (trainer.threads, 1),
            "trainer.seed": (trainer.seed, 0),
            "trainer.validate_every": (trainer.validate_every, 1),
            "trainer.save_every": (trainer.save_every, 1),
            "trainer.log_every": (trainer.log_every, 1),
        }
    )
    above_nothing({"recipe.lr": recipe.lr, "recipe.max_grad_norm": recipe.max_grad_norm})


def at_least(values: Mapping[str, tuple[float | None, int]]) -> None:
    """Raises ValueError for the first option, name -> (value, least), that is below its least."""
    for name, (value, least) in values.items():
        if value is not None and not value >= least:
            a_batch = ", one batch" if least > 2 else ""
            raise ValueError(f"{name} must be at least {least}{a_batch}, got {value}")


def above_nothing(values: Mapping[str, float]) -> None:
    """Raises ValueError for the first option that is 0, negative or not a number."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
