"""What is known of a video before its frames are read, and the one error of all that cannot be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor


class VideoError(ValueError):
    """A video that cannot be read; the message names it and says what to do."""


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video.

    Args:
        name: path of the file or folder, or "array".
        frames: how many there are; the last is number frames - 1.
        width: of a frame as it is read, in pixels, after rotation.
        height: likewise.
        rate: frames a second, the mean where it varies; None where nothing tells it.
        codec: "h264", "vp9", "png", ...; "raw" for an array.
        rotation: degrees counter-clockwise by which frames are turned when they are read, as the
            file asks for: 0, 90, 180 or 270.
        mirrored: whether left and right are swapped after that, as the file asks for.
        pixel_aspect: width of a pixel over its height; it is reported, and never applied.
    """

    name: str
    frames: int
    width: int
    height: int
    rate: float | None = None
    codec: str = "raw"
    rotation: int = 0
    mirrored: bool = False
    pixel_aspect: float = 1.0


def need_av() -> ModuleType:
    """PyAV, or how to install it."""
    try:
        import av
    except ImportError as error:
        raise ModuleNotFoundError(
            f'video files need PyAV ({error}); run: pip install "interlace[video]"'
        ) from error
    return av


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
    places = defaultdict(list)
    for place, index in enumerate(indices):
        places[index].append(place)
    out: Tensor | None = None
    for index, picture in pictures:
        if out is None:  # channels last, as they come, and as what follows is fastest
            out = torch.empty(len(indices), *picture.shape, dtype=torch.uint8)  # (N, H, W, 3)
        check_size(picture.shape[:2], out.shape[1:3], index, name)
        for place in places.pop(index):
            out[place] = picture
    assert out is not None
    assert not places
    return out.permute(0, 3, 1, 2)


def check_size(size: Sequence[int], first: Sequence[int], index: int, name: str) -> None:
    """Raises a `VideoError` where a frame is not as large, (H, W), as the ones before."""
    if tuple(size) != tuple(first):
        raise VideoError(
            f"frame {index} of {name} has {size[1]}x{size[0]} pixels, those before have "
            f"{first[1]}x{first[0]}; write it again with frames of one size"
        )
