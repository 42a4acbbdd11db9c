"""How fast clips are read, and whether that or the model keeps a training waiting."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from interlace.commands.bench import learning, seconds_of
from interlace.data.clips.clip_list import ClipList
from interlace.data.clips.dataset import Clip, TrainingClips
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.opening import open_unlabelled
from interlace.data.clips.order import Place, in_turn
from interlace.data.clips.shape import ClipShape
from interlace.data.video.read import read_frames
from interlace.models.registry import create_model, list_models
from interlace.record import hardware

NUM_CLASSES = 174  # of Something-Something; a head costs next to nothing


@dataclass(frozen=True)
class Speeds:
    """Clips a second, each the median of several passes, in turn with the others.

    Args:
        decoder: frames are found and decoded, and that is all.
        loader: they are resized, cropped, put into batches and brought to this process, too.
        model: steps of training, with clips that are there already.
        share: of what the decoder alone delivers, what the loader does; of neighbouring passes.
    """

    decoder: float
    loader: float
    model: float
    share: float

    @property
    def bound(self) -> str:
        """What a training waits for, in words."""
        if self.model > self.loader:
            return (
                f"loading is the bound: the model would learn {self.model / self.loader:.1f} times "
                "as fast; take more workers, or smaller frames on disk"
            )
        return (
            f"the model is the bound: clips come {self.loader / self.model:.1f} times as fast as "
            "it learns"
        )


def bench_data(
    path: str | os.PathLike[str],
    model: str,
    shape: ClipShape,
    *,
    clips: int,
    batch_size: int,
    workers: int,
    precision: str,
    repeats: int,
) -> Iterator[str]:
    """Lines to read: clips a second of the decoder, of the loader, and of training steps."""
    if model not in list_models(channels=3):
        raise ValueError(
            f"{model!r} is no model for real videos; take one such as tsm_r18, see `interlace list`"
        )
    found = open_unlabelled(path)
    found = found.select(range(min(clips, len(found))))
    network = create_model(model, num_classes=NUM_CLASSES)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    step = learning(network.to(device), device, bf16=precision == "bf16")
    yield (
        f"{hardware()}, {precision}, {workers} workers, batches of {batch_size} x "
        f"{shape.num_frames} frames, median of {repeats}"
    )
    speeds = measure(
        found, shape, step, batch_size=batch_size, workers=workers, repeats=repeats, device=device
    )
    yield f"{'decoder alone':40} {speeds.decoder:10,.1f} clips/s"
    share = f"{speeds.share:.0%} of the decoder"
    yield f"{'loader: decoded and transformed':40} {speeds.loader:10,.1f} clips/s, {share}"
    yield f"{model + ' learns':40} {speeds.model:10,.1f} clips/s"
    yield speeds.bound


def measure(
    clips: ClipList,
    shape: ClipShape,
    step: Callable[[Tensor, Tensor], None],
    *,
    batch_size: int,
    workers: int,
    repeats: int,
    device: str = "cpu",
) -> Speeds:
    """Times all three in turn, so that a busy machine slows all alike.

    Args:
        clips: what a pass reads.
        shape: what the model is shown.
        step: of training: uint8 (B, T, 3, S, S) and labels (B,).
        batch_size: clips in a batch.
        workers: processes that read.
        repeats: passes of each.
        device: that the step runs on.
    """
    for name, value in (("clips", len(clips)), ("batch_size", batch_size), ("repeats", repeats)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    rates: dict[str, list[float]] = {"decoder": [], "loader": [], "model": []}
    for repeat in range(repeats):
        rates["decoder"].append(_rate(_Decoded(clips, shape), batch_size, workers, repeat))
        rates["loader"].append(_rate(_Loaded(clips, shape), batch_size, workers, repeat))
        first = [(repeat, index % len(clips)) for index in range(batch_size)]
        batch = next(iter(clip_loader(TrainingClips(clips, shape), [first])))
        video = batch.video.to(device)
        label = torch.zeros(batch_size, dtype=torch.int64, device=device)
        if repeat == 0:
            step(video, label)  # what is made at the first step
        rates["model"].append(batch_size / seconds_of(partial(step, video, label), device))
    neighbours = zip(rates["loader"], rates["decoder"], strict=True)
    rates["share"] = [loader / decoder for loader, decoder in neighbours]
    return Speeds(**{name: statistics.median(values) for name, values in rates.items()})


class _Loaded(TrainingClips):
    """Clips, each with the time at which reading it began in place of its label."""

    def __getitem__(self, place: Place) -> Clip:
        start = time.monotonic_ns()
        return super().__getitem__(place)._replace(label=start)


class _Decoded(TrainingClips):
    """The same frames decoded, and nothing made of them."""

    def __getitem__(self, place: Place) -> Clip:
        start = time.monotonic_ns()
        read_frames(self.clips.path(place[1]), partial(self.frames, place))
        return Clip(torch.empty(1, 3, 1, 1), start, place[1])


def _rate(data: TrainingClips, batch_size: int, workers: int, epoch: int) -> float:
    """Clips a second, from when the first worker begins to read, to the last batch."""
    batches = [[(epoch, index) for index in batch] for batch in in_turn(len(data), batch_size)]
    starts = [int(b.label.min()) for b in clip_loader(data, batches, num_workers=workers)]
    return 1e9 * len(data) / (time.monotonic_ns() - min(starts))
