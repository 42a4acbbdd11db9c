"""How the output of a module inside a network is seen as a map (B, T, C, H, W), and put back.

2D networks see frames, (B * T, ...); 3D networks see clips, time within. Maps have their channels
first or last; tokens of a transformer are a grid, row by row, behind class or register tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class VideoSize(NamedTuple):
    """Of the video (B, T, C, H, W) of one call."""

    batch: int
    frames: int
    height: int
    width: int

    @classmethod
    def of(cls, video: Tensor) -> VideoSize:
        batch, frames, _, height, width = video.shape
        return cls(batch, frames, height, width)


@dataclass(frozen=True)
class Maps:
    """(B * T, C, H, W) of a 2D network, (B, C, T, H, W) of a 3D one; or channels last."""

    clips: bool
    channels_last: bool

    def channels(self, x: Tensor) -> int:
        """C of what a module gave."""
        return x.shape[-1 if self.channels_last else 1]

    def to_maps(self, x: Tensor, size: VideoSize) -> Tensor:
        """What a module gave -> (B, T, C, H, W)."""
        x = x.movedim(-1, 1) if self.channels_last else x
        return x.transpose(1, 2) if self.clips else x.unflatten(0, (size.batch, size.frames))

    def back(self, maps: Tensor, x: Tensor) -> Tensor:
        """The other way, with what is not on the map taken from x."""
        maps = maps.transpose(1, 2) if self.clips else maps.flatten(0, 1)
        return maps.movedim(1, -1) if self.channels_last else maps


@dataclass(frozen=True)
class FrameTokens:
    """(B * T, prefix + H * W, C); the prefix, class or register tokens, is left alone.

    It is asked as `Maps` is.
    """

    prefix: int

    def channels(self, x: Tensor) -> int:
        return x.shape[-1]

    def to_maps(self, x: Tensor, size: VideoSize) -> Tensor:
        count = x.shape[1] - self.prefix
        grid = grid_of(count, size)
        if grid is None:
            raise ValueError(
                f"{count} tokens are no grid of a frame of {size.height} x {size.width} pixels"
            )
        tokens = x[:, self.prefix :].unflatten(0, (size.batch, size.frames))  # (B, T, H * W, C)
        return tokens.transpose(2, 3).unflatten(3, grid)

    def back(self, maps: Tensor, x: Tensor) -> Tensor:
        tokens = maps.flatten(3).transpose(2, 3).flatten(0, 1)
        return torch.cat((x[:, : self.prefix].to(tokens.dtype), tokens), dim=1)


Layout = Maps | FrameTokens


def grid_of(count: int, size: VideoSize) -> tuple[int, int] | None:
    """Rows and columns of so many tokens that fit a frame's aspect best; None if they do not."""
    rows = round(math.sqrt(count * size.height / size.width)) if count > 0 else 0
    if rows < 1 or count % rows:
        return None
    return rows, count // rows


def find_layout(x: Any, size: VideoSize, *, clips: bool, channels: int | None = None) -> Layout:
    """The layout of what a module gave for a video.

    Args:
        x: what it gave.
        size: of the video.
        clips: whether the network sees clips, a 3D network, or frames.
        channels: expected by who wants it; only used where shapes leave a doubt.

    Raises:
        ValueError: with half a sentence on what it is instead of maps or tokens.
    """
    if not isinstance(x, Tensor):
        raise ValueError(f"gives a {type(x).__name__}, not one tensor")
    shape = tuple(x.shape)
    if not x.is_floating_point():
        raise ValueError(f"gives {x.dtype}, not features")
    if clips:
        if x.dim() != 5 or shape[0] != size.batch:
            raise ValueError(f"gives {shape}, not maps (B, C, T, H, W) or (B, T, H, W, C)")
        first, last = (shape[1], *shape[3:]), shape[2:]
        return Maps(clips, _channels_last(first, last, size, channels))
    if x.dim() not in (3, 4) or shape[0] != size.batch * size.frames:
        raise ValueError(f"gives {shape}, not maps (B * T, C, H, W) or tokens (B * T, L, C)")
    if x.dim() == 4:
        return Maps(clips, _channels_last(shape[1:], shape[1:], size, channels))
    for prefix in range(min(9, shape[1])):  # one class token, four or eight registers
        grid = grid_of(shape[1] - prefix, size)
        if grid and abs(grid[0] * size.width - grid[1] * size.height) < max(size[2:]):
            return FrameTokens(prefix)
    raise ValueError(f"gives {shape}, whose {shape[1]} tokens are no grid of the frame")


def _channels_last(
    first: tuple[int, ...], last: tuple[int, ...], size: VideoSize, channels: int | None
) -> bool:
    """Whether (C, H, W) = `first` is less likely than (H, W, C) = `last`, by the frame's aspect."""

    def like_the_frame(height: int, width: int) -> bool:
        return abs(height - width * size.height / size.width) <= 1

    if not like_the_frame(*last[:2]) or channels == first[0]:
        return False
    return channels == last[-1] or not like_the_frame(*first[1:])
