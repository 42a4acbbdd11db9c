"""What differs between training on synthetic videos and on clips: a task, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from interlace.registry import nearest
from interlace.training.options import ModelOptions, Options, TrainerOptions
from interlace.training.renamed import RENAMED
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
        near = nearest(data, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(
            f"data.name must be one of {', '.join(known)}, got {data!r}{hint}"
        ) from None
    return {
        "model": ModelOptions,
        "data": kind,
        "recipe": DigitRecipeOptions,
        "trainer": TrainerOptions,
    }


def read_options(stated: Mapping[str, Mapping[str, Any]]) -> Options:
    """Options from nested keys, as a config has them; what is left out is the default.

    Args:
        stated: part -> key -> value. A `path` in the data means clips.

    Raises:
        ValueError: if an option does not exist, or its value does not fit.

    Example:
        >>> read_options({"data": {"num_digits": 5}, "recipe": {"videos": 64}}).data.num_digits
        5
    """
    from argparse import ArgumentError

    from jsonargparse import ArgumentParser

    data = stated.get("data", {})
    kinds = options_for(data.get("name", "clips" if "path" in data else "SyncMNIST"))
    parser = ArgumentParser(exit_on_error=False)
    for part, kind in kinds.items():
        parser.add_argument(f"--{part}", type=kind, default=kind())
    known = [f"{part}.{one.name}" for part, kind in kinds.items() for one in fields(kind)]
    for option in (f"{part}.{key}" for part, values in stated.items() for key in values):
        if option not in known:
            now, near = RENAMED.get(option), nearest(option, known)
            hint = f"; it is {now!r} now" if now else f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"there is no option {option!r}{hint}")
    try:
        made = parser.instantiate(parser.parse_object({k: dict(v) for k, v in stated.items()}))
    except (ArgumentError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return Options(**{part: made[part] for part in kinds})
