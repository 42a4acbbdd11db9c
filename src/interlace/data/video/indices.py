"""Which frames of a video are asked for, and these frames side by side, all of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from interlace.data.video.info import VideoError

Indices = Sequence[int] | Tensor
Choose = Indices | Callable[[int], Indices]


def chosen(indices: Choose, frames: int, name: str, *, at_most: bool = True) -> list[int]:
    """Which frames are asked for, as whole numbers of Python; a `VideoError` if one is not there.

    Args:
        indices: numbers, or a function that gives them from the frame count.
        frames: that the video has.
        name: of the video, for errors.
        at_most: whether there are no more frames for sure.
    """
    values = np.asarray(indices(frames) if callable(indices) else indices)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise ValueError(f"indices must be whole numbers (N,), got {values.dtype} {values.shape}")
    for index in values:
        if index < 0 or (at_most and index >= frames):
            raise beyond(index, frames, name)
    return [int(value) for value in values]


def beyond(index: int, frames: int, name: str) -> VideoError:
    """The error of asking for a frame that is not there."""
    return VideoError(
        f"{name} has {frames} frames, 0 to {frames - 1}, and frame {index} was asked for; "
        "take indices from its own frame count"
    )


def collect(pictures: Iterable[tuple[int, Tensor]], indices: Sequence[int], name: str) -> Tensor:
    """Pictures in the order asked for, whatever order they come in.

    Args:
        pictures: (index, uint8 (H, W, 3)), each index once.
        indices: at least one, in any order, with repeats.
        name: of the video, for errors.

    Returns:
        uint8 (N, 3, H, W), in memory channels last.
    """
    asked = np.array(indices)
    out = torch.empty(0)
    for index, picture in pictures:
        if not len(out):  # channels last, as they come, and as what follows is fastest
            out = torch.empty(len(asked), *picture.shape, dtype=torch.uint8)  # (N, H, W, 3)
        check_size(picture.shape[:2], out.shape[1:3], index, name)
        for place in np.flatnonzero(asked == index):
            out[place] = picture
    return out.permute(0, 3, 1, 2)


def check_size(size: Sequence[int], first: Sequence[int], index: int, name: str) -> None:
    """Raises a `VideoError` where a frame is not as large, (H, W), as the ones before."""
    if tuple(size) != tuple(first):
        raise VideoError(
            f"frame {index} of {name} has {size[1]}x{size[0]} pixels, those before have "
            f"{first[1]}x{first[0]}; write it again with frames of one size"
        )
