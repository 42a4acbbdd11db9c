"""Data sets of synthetic videos by name, and their options, which are their own arguments."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch

from interlace.data.digits.images import Digits, load_digits
from interlace.data.digits.moving import MovingDigits, Split, VideoBatch
from interlace.registry import Registry

DATASETS: Registry[type[MovingDigits]] = Registry("data set")


@dataclass(frozen=True)
class VideoOptions:
    """Which synthetic videos.

    Args:
        name: a registered data set.
        digits: "mnist" (downloaded), "embedded" (scikit-learn's), or a folder with the idx files.
        train_size: videos in one pass.
        validation_size: videos watched during training; they are made of training digits.
        test_size: held-out videos, made of test digits.
        seed: another seed gives other videos.
    """

    name: str = "SyncMNIST"
    digits: str = "mnist"
    train_size: int = 600_000  # RSTG, section 3.1
    validation_size: int = 1_000
    test_size: int = 10_000
    seed: int = 0


@functools.cache
def video_options(name: str) -> type[VideoOptions]:
    """The options of a data set: those that all have, and the keyword arguments of its class.

    Args:
        name: of the data set, or `module:name` of your own.

    Raises:
        ValueError: if there is no such data set, or one of its arguments makes no option.

    Example:
        >>> options = video_options("MultiSyncMNIST")(digits="embedded", num_digits=3)
        >>> options.num_digits, options.canvas
        (3, 256)
    """
    kind = DATASETS[name]
    types = get_type_hints(kind.__init__)
    own = []
    for argument, one in _own_arguments(kind).items():
        if argument not in types or one.default is one.empty:
            raise ValueError(f"{name}: {argument} becomes an option: give it a type and a default")
        own.append((argument, types[argument], dataclasses.field(default=one.default)))
    named = ("name", str, dataclasses.field(default=name))
    made = dataclasses.make_dataclass(
        f"{kind.__name__}Options", [named, *own], bases=(VideoOptions,), frozen=True
    )
    said = (inspect.getdoc(kind) or "").partition("Args:\n")[2].partition("\n\n")[0]
    made.__doc__ = (inspect.getdoc(VideoOptions) or "").replace("Args:\n", f"Args:\n{said}\n")
    return made


def _own_arguments(kind: type[MovingDigits]) -> dict[str, inspect.Parameter]:
    """Those of a data set's class that become options as they are."""
    common = {"digits", "size", "split", "seed"}
    arguments = inspect.signature(kind).parameters
    return {name: one for name, one in arguments.items() if name not in common}


def make_videos(options: VideoOptions, digits: Digits, *, split: Split) -> MovingDigits:
    """The videos that the options describe.

    Args:
        options: of `video_options`.
        digits: what the videos are made of.
        split: "train", "validation" or "test".
    """
    kind, size = DATASETS[options.name], getattr(options, f"{split}_size")
    own: dict[str, Any] = {name: getattr(options, name) for name in _own_arguments(kind)}
    return kind(digits, split=split, size=size, seed=options.seed, **own)


def load_split(options: VideoOptions, split: Split) -> MovingDigits:
    """The videos of one split, made of training digits, or of test digits for "test"."""
    return make_videos(options, load_digits(options.digits, train=split != "test"), split=split)


def batches(
    videos: MovingDigits, batch_size: int, device: torch.device | str
) -> Iterator[VideoBatch]:
    """All videos of a data set once, in order."""
    for indices in torch.arange(len(videos)).split(batch_size):
        yield videos.batch(indices, device=device)
