"""What is done to all frames of a clip alike: resize, crop, flip, normalise."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from interlace.data.clips.sampling import Crop

# of ImageNet, red first, for values in [0, 1]: what pretrained backbones were trained with
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) after the shorter of them became `short_side`, and the longer as much."""
    short, long = sorted((height, width))
    other = short_side * long // short
    return (short_side, other) if height <= width else (other, short_side)


def resize_short_side(video: Tensor, short_side: int) -> Tensor:
    """Resizes frames, keeping their aspect; bilinear, smoothed where they get smaller.

    Args:
        video: uint8 (N, 3, H, W).
        short_side: pixels of the shorter side afterwards.

    Returns:
        uint8 (N, 3, H', W'), as torchvision's resize.
    """
    if video.dtype != torch.uint8 or video.ndim != 4:
        raise ValueError(
            f"video must be uint8 (N, 3, H, W), got {video.dtype} {tuple(video.shape)}; "
            "resize before normalising"
        )
    size = short_side_size(video.shape[2], video.shape[3], short_side)
    if size == video.shape[2:]:
        return video
    return F.interpolate(video, size, mode="bilinear", antialias=True)


def crop(video: Tensor, part: Crop) -> Tensor:
    """The part of all frames, (N, 3, H, W) -> (N, 3, height, width); a view, nothing is copied."""
    top, left, height, width = part
    return video[..., top : top + height, left : left + width]


def mirrored_labels(classes: Sequence[str]) -> Tensor:
    """What a class is called when its video is flipped: "left" and "right" swap in its name.

    Args:
        classes: the name of each.

    Returns:
        int64 (C,), the label of a flipped video; -1 where there is no such class, so that its
        videos must not be flipped.

    Example:
        >>> names = ["pushing from left to right", "falling", "pushing from right to left"]
        >>> mirrored_labels([*names, "raising the left hand"]).tolist()
        [2, 1, 0, -1]
    """
    numbers = {name.lower(): label for label, name in enumerate(classes)}
    return torch.tensor([numbers.get(_mirrored(name.lower()), -1) for name in classes])


def _mirrored(name: str) -> str:
    other = {"left": "right", "right": "left"}
    return re.sub(r"\b(left|right)\b", lambda found: other[found[0]], name)


def normalise(video: Tensor, *, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """Pixels as backbones take them: (video / 255 - mean) / std.

    Args:
        video: uint8 (..., 3, H, W), on any device.
        mean, std: of each channel.

    Returns:
        float32, the same shape.
    """
    if video.dtype != torch.uint8:
        raise ValueError(f"video must be uint8, got {video.dtype}; is it normalised already?")
    center = 255 * torch.tensor(mean, device=video.device)[:, None, None]
    scale = 255 * torch.tensor(std, device=video.device)[:, None, None]
    return (video - center) / scale
