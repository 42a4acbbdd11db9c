"""Which frames of a video, and which part of them, a model is shown.

Pure functions of a frame count and options, which `ClipShape` checks: nothing is read, and what
is random comes from (seed, index), which gives the same on every machine.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from interlace.data.counter_random import below, draw, stream_key

Random = tuple[int, int]  # (seed, index)
MIDDLE = Fraction(1, 2)
_FRAMES, _CROPS, _FLIPS = range(3)  # streams of (seed, index): unrelated numbers for each


# --- frames ---------------------------------------------------------------------------------------


def uniform_frames(frames: int, count: int, *, offset: Fraction = MIDDLE) -> Tensor:
    """Frames at equal distances: floor((k + offset) * frames / count), k = 0 .. count - 1.

    The middles of segments are what Temporal Shift Modules (Lin et al. 2019) are tested on.

    Args:
        frames: that the video has.
        count: how many to take; from a shorter video frames are taken repeatedly.
        offset: where in each of the `count` equal segments, in [0, 1).

    Returns:
        int64 (count,), ascending, each in [0, frames).

    Example:
        >>> uniform_frames(100, 4).tolist()
        [12, 37, 62, 87]
        >>> uniform_frames(2, 4).tolist()
        [0, 0, 1, 1]
    """
    part, whole = Fraction(offset).as_integer_ratio()
    return (torch.arange(count) * whole + part) * frames // (count * whole)


def segment_frames(frames: int, count: int, *, random: Random) -> Tensor:
    """A random frame of each of `count` equal segments.

    Temporal Segment Networks (Wang et al. 2016), section 3.1; training of TSM and of DyReg
    (section 4.2). Unlike there the last frames of a video can be drawn, too, and a short video
    gives all its frames, not the first alone.

    Args:
        frames: that the video has.
        count: how many to take; where a segment has no frame of its own, the one it starts in.
        random: draws from each segment on its own.

    Returns:
        int64 (count,), ascending, each in [0, frames).

    Example:
        >>> segment_frames(100, 4, random=(0, 7)).tolist()
        [7, 26, 67, 77]
    """
    edges = torch.arange(count + 1) * frames // count
    room = edges.diff().clamp(min=1)
    return edges[:-1] + below(_bits(random, count, _FRAMES), room)


def dense_frames(
    frames: int,
    count: int,
    *,
    step: int = 1,
    offset: Fraction = MIDDLE,
    random: Random | None = None,
) -> Tensor:
    """Every `step`-th frame of one stretch of the video, as I3D and Non-local networks are fed.

    Args:
        frames: that the video has.
        count: how many to take; where the video ends before, its last frame is repeated.
        step: from one frame to the next.
        offset: where the stretch lies, from 0, at the start of the video, to 1, at its end.
        random: draws the first frame instead.

    Returns:
        int64 (count,), ascending, each in [0, frames).

    Example:
        >>> dense_frames(100, 4, step=8).tolist()
        [37, 45, 53, 61]
        >>> dense_frames(20, 4, step=8).tolist()
        [0, 8, 16, 19]
    """
    spare = max(0, frames - 1 - (count - 1) * step)
    first = int(spare * Fraction(offset))
    if random is not None:
        first = int(below(_bits(random, 1, _FRAMES), spare + 1))
    return (first + torch.arange(count) * step).clamp(max=frames - 1)


# --- crops ----------------------------------------------------------------------------------------


class Crop(NamedTuple):
    """A part of a frame, in pixels, from the top left corner: frame[top:bottom, left:right]."""

    top: int
    left: int
    height: int
    width: int


def spread_crops(height: int, width: int, size: int, count: int = 1) -> list[Crop]:
    """Squares at equal distances from one end of the longer side to the other.

    One is the central crop; three show all of a frame of up to three times their width.

    Args:
        height, width: of the frame, at least `size`.
        size: pixels a side.
        count: how many squares.

    Example:
        >>> [crop.left for crop in spread_crops(256, 340, 256, 3)]
        [0, 42, 84]
        >>> spread_crops(256, 340, 224)
        [Crop(top=16, left=58, height=224, width=224)]
    """
    along = max(height, width) - size
    across = (min(height, width) - size) // 2
    places = [k * along // (count - 1) for k in range(count)] if count > 1 else [along // 2]
    if width >= height:
        return [Crop(across, place, size, size) for place in places]
    return [Crop(place, across, size, size) for place in places]


def random_crop(height: int, width: int, size: int, *, random: Random) -> Crop:
    """A square anywhere in the frame.

    Args:
        height, width: of the frame, at least `size`.
        size: pixels a side.
        random: draws the place.
    """
    room = torch.tensor([height - size + 1, width - size + 1])
    top, left = below(_bits(random, 2, _CROPS), room).tolist()
    return Crop(top, left, size, size)


def random_flip(*, random: Random) -> bool:
    """Left and right swapped, or not, with equal chances."""
    return bool(below(_bits(random, 1, _FLIPS), 2))


def _bits(random: Random, count: int, stream: int) -> Tensor:
    """int64 (count,), uniform in [0, 2**32)."""
    seed, index = random
    return draw(stream_key(seed, stream), torch.tensor([index]), count)[0]
