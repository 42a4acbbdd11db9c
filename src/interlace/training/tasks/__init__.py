"""What differs between training on synthetic videos and on clips: a task, and its options."""

from __future__ import annotations

import difflib
from typing import Any

from interlace.training.options import ModelOptions, TrainerOptions
from interlace.training.tasks.clip_options import (
    ClipDataOptions,
    ClipModelOptions,
    ClipRecipeOptions,
)
from interlace.training.tasks.digit_options import DigitRecipeOptions


def options_for(data: str) -> dict[str, Any]:
    """The parts of the options of a training, by name: classes whose fields are the keys.

    Args:
        data: "clips", or a registered data set of synthetic videos.

    Raises:
        ValueError: if there is no such data.
    """
    if data == "clips":
        return {
            "model": ClipModelOptions,
            "data": ClipDataOptions,
            "recipe": ClipRecipeOptions,
            "trainer": TrainerOptions,
        }
    from interlace.data.digits.datasets import DATASETS, video_options

    try:
        kind = video_options(data)
    except KeyError:
        if ":" in data:
            raise
        known = ["clips", *DATASETS]
        near = difflib.get_close_matches(data, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"data.name must be one of {', '.join(known)}, got {data!r}{hint}"
        ) from None
    return {
        "model": ModelOptions,
        "data": kind,
        "recipe": DigitRecipeOptions,
        "trainer": TrainerOptions,
    }
