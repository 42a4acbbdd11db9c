"""What a training on video files can be told: `interlace train --data.path DIR`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interlace.training.options import ModelOptions, RecipeOptions, at_least


@dataclass(frozen=True)
class ClipModelOptions(ModelOptions):
    """Which network for real videos.

    Args:
        detector: of a model that looks where it is told, such as tsm_r50_detector: "coco" (fetched
            once), or a file of torchvision's Faster R-CNN (ResNet-50, FPN).
        teachers: weights of models with one graph each. For the first tenth of the steps, the
            graphs of a model with several learn where to look from these (DyReg, appendix F.1).
    """

    name: str = "tsm_r18_dyreg"
    detector: str | None = None
    teachers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClipDataOptions:
    """Which videos, and what is shown of them. Small enough for a CPU; DyReg takes 16, 224, 256.

    Args:
        path: a folder of videos: one folder for each class, or any, with `labels`.
        name: that these are video files.
        labels: a file that says what each shows, see docs/data.md.
        held_out_labels: the same for videos to hold out; else `held_out` says how many are.
        held_out: fraction of each class that is not learned from, where no split is given; with 0
            all are learned from, nothing is measured, and the last weights are kept.
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
    name: Literal["clips"] = "clips"
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
class ClipRecipeOptions(RecipeOptions):
    """How to learn from video files. What is left out depends on how the backbone starts.

    Args:
        backbone_lr: times lr, for the backbone; if left out, 0.1 if pre-trained, 1 if fresh.
        epochs: at most.
        patience: looks at the validation videos without a gain after which to stop; if left out, a
            run goes on until its learning rate has come down, when most of the gain comes.
        dropout: before the head.
        freeze: stages of a ResNet that stay as they are, 1 is its stem, 5 is all; 2 if
            pre-trained, 0 if fresh.
        freeze_norm: whether batch norms stay as they are; yes if pre-trained, no if fresh.
        balanced: show each class equally often, clips of rare ones several times an epoch.
        class_weights: weigh the loss of a clip by how rare its class is, instead.
        label_smoothing: share of each label that is given to all classes alike.
        mixup: alpha of Beta(alpha, alpha), by which a clip is mixed with another one of its batch
            and learned as both (Zhang et al., 2018), such as 0.2; 0 mixes none.
    """

    batch_size: int = 8
    lr: float = 1e-3
    weight_decay: float = 1e-2
    max_grad_norm: float = 5.0
    epochs: int = 30
    patience: int | None = None
    dropout: float = 0.5
    freeze: int | None = None
    freeze_norm: bool | None = None
    balanced: bool = False
    class_weights: bool = False
    label_smoothing: float = 0.0
    mixup: float = 0.0


def check_clip_options(data: ClipDataOptions, recipe: ClipRecipeOptions) -> None:
    """Raises ValueError, and names the option, if a number makes no sense."""
    if not data.path:
        raise ValueError("data.path must name a folder of videos")
    at_least(
        {
            "recipe.epochs": (recipe.epochs, 1),
            "recipe.patience": (1 if recipe.patience is None else recipe.patience, 1),
            "recipe.freeze": (recipe.freeze, 0),
            "recipe.mixup": (recipe.mixup, 0),
            "data.workers": (data.workers, 0),
        }
    )
    if not 0 <= data.held_out < 1:
        raise ValueError(f"data.held_out must be in [0, 1), got {data.held_out}")
    if not 0 <= recipe.dropout < 1:
        raise ValueError(f"recipe.dropout must be in [0, 1), got {recipe.dropout}")
    if not 0 <= recipe.label_smoothing < 1:
        smoothing = recipe.label_smoothing
        raise ValueError(f"recipe.label_smoothing must be in [0, 1), got {smoothing}")
    if recipe.balanced and recipe.class_weights:
        raise ValueError(
            "recipe.balanced shows all classes equally often, so that none is rare: leave it or "
            "recipe.class_weights out"
        )
    if recipe.mixup and recipe.batch_size < 2:
        raise ValueError(
            "recipe.mixup mixes clips of a batch: recipe.batch_size must be at least 2, got 1"
        )
