"""How the output of a module inside a network is seen as a map (B, T, C, H, W), and put back.

2D networks see frames, (B * T, ...); 3D networks see clips, time within. Maps have their channels
first or last; tokens of a transformer are a grid, row by row, behind class or register tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clip:
    """The video (B, T, C, H, W) of one call, as far as shapes go."""

    batch: int
    frames: int
    height: int
    width: int


class Layout(Protocol):
    """One way a network keeps its features."""

    def channels(self, x: Tensor) -> int:
        """C of what a module gave."""

    def to_maps(self, x: Tensor, clip: Clip) -> Tensor:
        """What a module gave -> (B, T, C, H, W)."""

    def back(self, maps: Tensor, x: Tensor) -> Tensor:
        """The other way, with what is not on the map taken from x."""


@dataclass(frozen=True)
class FrameMaps:
    """(B * T, C, H, W), or (B * T, H, W, C)."""

    channels_last: bool = False

    def channels(self, x: Tensor) -> int:
        return x.shape[-1 if self.channels_last else 1]

    def to_maps(self, x: Tensor, clip: Clip) -> Tensor:
        x = x.movedim(-1, 1) if self.channels_last else x
        return x.unflatten(0, (clip.batch, clip.frames))

    def back(self, maps: Tensor, x: Tensor) -> Tensor:
        maps = maps.flatten(0, 1)
        return maps.movedim(1, -1) if self.channels_last else maps


@dataclass(frozen=True)
class ClipMaps:
    """(B, C, T, H, W), or (B, T, H, W, C)."""

    channels_last: bool = False

    def channels(self, x: Tensor) -> int:
        return x.shape[-1 if self.channels_last else 1]

    def to_maps(self, x: Tensor, clip: Clip) -> Tensor:
        return x.movedim(-1, 2) if self.channels_last else x.transpose(1, 2)

    def back(self, maps: Tensor, x: Tensor) -> Tensor:
        return maps.movedim(2, -1) if self.channels_last else maps.transpose(1, 2)


@dataclass(frozen=True)
class FrameTokens:
    """(B * T, prefix + H * W, C); the prefix, class or register tokens, is left alone."""

    prefix: int

    def channels(self, x: Tensor) -> int:
        return x.shape[-1]

    def to_maps(self, x: Tensor, clip: Clip) -> Tensor:
        size = grid_of(x.shape[1] - self.prefix, clip)
        if size is None:
            raise ValueError(
                f"{x.shape[1] - self.prefix} tokens are no grid of a frame of {clip.height} x "
                f"{clip.width} pixels"
            )
        tokens = x[:, self.prefix :].unflatten(0, (clip.batch, clip.frames))  # (B, T, H * W, C)
        return tokens.transpose(2, 3).unflatten(3, size)

    def back(self, maps: Tensor, x: Tensor) -> Tensor:
        tokens = maps.flatten(3).transpose(2, 3).flatten(0, 1)
        return torch.cat((x[:, : self.prefix].to(tokens.dtype), tokens), dim=1)


def grid_of(count: int, clip: Clip) -> tuple[int, int] | None:
    """Rows and columns of so many tokens that fit a frame's aspect best; None if they do not."""
    rows = round(math.sqrt(count * clip.height / clip.width)) if count > 0 else 0
    if rows < 1 or count % rows:
        return None
    return rows, count // rows


def find_layout(x: Any, clip: Clip, *, clips: bool, channels: int | None = None) -> Layout:
    """The layout of what a module gave for a clip.

    Args:
        x: what it gave.
        clip: of the call.
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
        if x.dim() != 5 or shape[0] != clip.batch:
            raise ValueError(f"gives {shape}, not maps (B, C, T, H, W) or (B, T, H, W, C)")
        return ClipMaps(_channels_last((shape[1], *shape[3:]), (*shape[2:],), clip, channels))
    if x.dim() not in (3, 4) or shape[0] != clip.batch * clip.frames:
        raise ValueError(f"gives {shape}, not maps (B * T, C, H, W) or tokens (B * T, L, C)")
    if x.dim() == 4:
        return FrameMaps(_channels_last(shape[1:], shape[1:], clip, channels))
    for prefix in range(min(9, shape[1])):  # one class token, four or eight registers
        rest = shape[1] - prefix
        grid = grid_of(rest, clip)
        if grid and abs(grid[0] * clip.width - grid[1] * clip.height) < max(
            clip.width, clip.height
        ):
            return FrameTokens(prefix)
    raise ValueError(f"gives {shape}, whose {shape[1]} tokens are no grid of the frame")


def _channels_last(
    first: tuple[int, ...], last: tuple[int, ...], clip: Clip, channels: int | None
) -> bool:
    """Whether (C, H, W) = `first` is less likely than (H, W, C) = `last`, by the frame's aspect."""

    def like_the_frame(height: int, width: int) -> bool:
        return abs(height - width * clip.height / clip.width) <= 1

    if not like_the_frame(*last[:2]) or channels == first[0]:
        return False
    return channels == last[-1] or not like_the_frame(*first[1:])
