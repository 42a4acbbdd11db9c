"""Clips as a model is shown them: to train on, drawn anew each time, and in a test."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from interlace.data.clips.clip_list import ClipList
from interlace.data.clips.order import Turn
from interlace.data.clips.sampling import random_crop, random_flip
from interlace.data.clips.shape import ClipShape, ProtocolName, View
from interlace.data.clips.transforms import crop, resize_short_side
from interlace.data.counter_random import stream_key
from interlace.data.video.read import Source, read_moments


class Clip(NamedTuple):
    """One clip, or, all with one dimension (B) more, a batch of them.

    Args:
        video: uint8 (T, 3, S, S) to train on; (V, T, 3, S, S), its views, in a test; in memory
            channels last, as networks take frames fastest.
        label: of its class, after a flip that of the mirrored one; -1 where it is not known.
        index: in the list.
    """

    video: Tensor
    label: Any  # int, then Tensor
    index: Any


@dataclass(eq=False)
class TrainingClips(Dataset[Clip]):
    """Random frames, a random square of them, and flipped or not: a function of (epoch, index).

    DyReg, section 4.2: the shorter side is resized to 256, the square is 224.

    Args:
        clips: which videos.
        shape: how many frames, which, and how large.
        seed: of all that is drawn.
        mirrored: from `mirrored_labels` in `transforms`: what a class is called when its
            video is flipped, -1 where it must not be; None: nothing is flipped.
    """

    clips: ClipList
    shape: ClipShape = field(default_factory=ClipShape)
    _: KW_ONLY
    seed: int = 0
    mirrored: Tensor | None = None

    def __post_init__(self) -> None:
        classes = len(self.clips.classes)
        if self.mirrored is not None and self.mirrored.shape != (classes,):
            raise ValueError(
                f"mirrored must have a label for each of the {classes} classes, got "
                f"{tuple(self.mirrored.shape)}; make it with mirrored_labels(clips.classes)"
            )

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, turn: Turn) -> Clip:
        """The clip of an index, as it is seen in an epoch.

        Raises:
            VideoError: it cannot be read; the message names it.
        """
        index, random = turn[1], self._random(turn)
        label = self.clips.items[index].label
        video, _ = read_moments(self.clips.source(index), partial(self.frames, turn))
        video = resize_short_side(video, self.shape.short_side)
        height, width = video.shape[2:]
        video = crop(video, random_crop(height, width, self.shape.size, random=random))
        mirror = -1 if self.mirrored is None else int(self.mirrored[label])
        if mirror >= 0 and random_flip(random=random):
            return Clip(video.flip(-1), mirror, index)
        return Clip(video, label, index)

    def frames(self, turn: Turn, count: int) -> Tensor:
        """Which of `count` moments of a video, as many as it has frames, are shown; int64 (T,)."""
        return self.shape.training_frames(count, random=self._random(turn))

    def _random(self, turn: Turn) -> tuple[int, int]:
        epoch, index = turn
        return stream_key(self.seed, epoch), index


@dataclass(eq=False)
class TestViews(Dataset[Clip]):
    """All views of a named protocol, whose predictions are averaged.

    Args:
        clips: which videos.
        shape: how many frames, which, and how large.
        protocol: "central", "3x2" or "11x2", see `interlace.data.clips.shape.PROTOCOLS`.
    """

    __test__ = False  # no test case, whatever its name

    clips: ClipList
    shape: ClipShape = field(default_factory=ClipShape)
    _: KW_ONLY
    protocol: ProtocolName = "central"

    def __post_init__(self) -> None:
        self.shape.protocol(self.protocol)  # says if there is none of that name

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Clip:
        """The views of a clip.

        Raises:
            VideoError: it cannot be read; the message names it.
        """
        video, numbers, shown = read_views(self.clips.source(index), self.shape, self.protocol)
        views = [
            crop(video, view.crop).movedim(1, -1)[torch.searchsorted(numbers, view.frames)]
            for view in shown
        ]
        return Clip(torch.stack(views).movedim(-1, -3), self.clips.items[index].label, index)


def read_views(
    source: Source, shape: ClipShape, protocol: ProtocolName
) -> tuple[Tensor, Tensor, list[View]]:
    """Reads the frames of all views of a video, those that are shown when their turn comes.

    Args:
        source: a video as in `interlace.data.video.video_info`.
        shape: how many frames, which, and how large.
        protocol: of the views.

    Returns:
        uint8 (M, 3, H, W), whole frames of the shape's short side; their numbers, int64 (M,),
        ascending; the views.

    Raises:
        VideoError: it cannot be read; the message names it.
    """
    numbers, count = torch.zeros(0, dtype=torch.int64), 0

    def choose(frames: int) -> Tensor:
        nonlocal numbers, count
        side = shape.short_side  # which frames does not depend on how large they are
        views = shape.views(protocol, frames, side, side)
        numbers, count = torch.cat([view.frames for view in views]).unique(), frames
        return numbers

    frames, shown = read_moments(source, choose)
    video = resize_short_side(frames, shape.short_side)
    views = [
        View(shown[torch.searchsorted(numbers, view.frames)], view.crop)
        for view in shape.views(protocol, count, video.shape[2], video.shape[3])
    ]
    return video, shown, views
