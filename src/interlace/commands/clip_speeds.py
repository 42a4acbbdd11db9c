"""How fast clips are read, and whether that or the model keeps a training waiting."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from interlace.commands import at_least_one
from interlace.commands.timing import seconds_of
from interlace.data.clips.clip_list import ClipList
from interlace.data.clips.dataset import Clip, TrainingClips
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.order import Turn, in_turn
from interlace.data.clips.shape import ClipShape
from interlace.data.video.read import read_moments

NUM_CLASSES = 174  # of Something-Something; a head costs next to nothing


class Speeds(NamedTuple):
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
    at_least_one(clips=len(clips), batch_size=batch_size, repeats=repeats)
    passes = []
    for repeat in range(repeats):
        decoder, loader = (
            _rate(reader(clips, shape), batch_size, workers, repeat)
            for reader in (_Decoded, _Loaded)
        )
        first = [(repeat, index % len(clips)) for index in range(batch_size)]
        batch = next(iter(clip_loader(TrainingClips(clips, shape), [first])))
        video = batch.video.to(device)
        label = torch.zeros(batch_size, dtype=torch.int64, device=device)
        if repeat == 0:
            step(video, label)  # what is made at the first step
        model = batch_size / seconds_of(partial(step, video, label), device)
        passes.append(Speeds(decoder, loader, model, loader / decoder))
    return Speeds(*map(statistics.median, zip(*passes, strict=True)))


class _Loaded(TrainingClips):
    """Clips, each with the time at which reading it began in place of its label."""

    def __getitem__(self, turn: Turn) -> Clip:
        start = time.monotonic_ns()
        return super().__getitem__(turn)._replace(label=start)


class _Decoded(TrainingClips):
    """The same frames decoded, and nothing made of them."""

    def __getitem__(self, turn: Turn) -> Clip:
        start = time.monotonic_ns()
        read_moments(self.clips.source(turn[1]), partial(self.frames, turn))
        return Clip(torch.empty(1, 3, 1, 1), start, turn[1])


def _rate(data: TrainingClips, batch_size: int, workers: int, epoch: int) -> float:
    """Clips a second, from when the first worker begins to read, to the last batch."""
    batches = [[(epoch, index) for index in batch] for batch in in_turn(len(data), batch_size)]
    starts = [int(b.label.min()) for b in clip_loader(data, batches, num_workers=workers)]
    return 1e9 * len(data) / (time.monotonic_ns() - min(starts))
