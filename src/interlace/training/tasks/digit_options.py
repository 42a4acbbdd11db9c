"""What a training on synthetic videos can be told: `interlace train --data SyncMNIST`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interlace.training.options import RecipeOptions, above_nothing, at_least


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
class DigitRecipeOptions(RecipeOptions):
    """How to learn from synthetic videos.

    Args:
        backbone_lr: times lr, for the backbone; 0 leaves it as it is. "sgd" trains it like the
            rest.
        videos: of the experiment itself, after pre-training and lessons.
        every_frame: the loss is that of what is said after each frame, later ones counting more,
            not of the last alone: a graph learns from its first frames on.
        pretrain_frames: single frames on which the backbone learns its digits; 600,000 if left out,
            none where the run starts from a backbone or weights.
        pretrain_task: "placement" is which digits are where, as RSTG's regions cannot move;
            "presence" only which there are, so that regions find them from labels alone.
        pretrain_jitter: shows half of the frames a little turned, sheared, smaller or larger; for
            "presence".
        pretrain_batch: frames a step.
        pretrain_lr: peak learning rate of the pre-training.
        lessons: easier videos first.
        plateau: validations without gain before "sgd", which follows no cosine here, gets ten
            times slower.
    """

    backbone_lr: float = 0.3
    videos: int = 600_000
    every_frame: bool = False
    pretrain_frames: int | None = None
    pretrain_task: Literal["placement", "presence"] = "placement"
    pretrain_jitter: bool = False
    pretrain_batch: int = 256
    pretrain_lr: float = 4e-3
    lessons: list[Lesson] = field(default_factory=list)
    plateau: int = 5


def check_digit_options(recipe: DigitRecipeOptions, videos_a_step: int) -> None:
    """Raises ValueError, and names the option, if a number makes no sense."""
    only_pretrain = recipe.pretrain_frames != 0 and recipe.videos == 0
    at_least(
        {
            "recipe.videos": (recipe.videos, 0 if only_pretrain else videos_a_step),
            "recipe.pretrain_batch": (recipe.pretrain_batch, 2),
            "recipe.pretrain_frames": (
                recipe.pretrain_frames,
                recipe.pretrain_batch if recipe.pretrain_frames else 0,
            ),
            "recipe.plateau": (recipe.plateau, 0),
        }
        | {
            f"recipe.lessons[{k}].videos": (lesson.videos, videos_a_step)
            for k, lesson in enumerate(recipe.lessons)
        }
    )
    above_nothing({"recipe.pretrain_lr": recipe.pretrain_lr})
