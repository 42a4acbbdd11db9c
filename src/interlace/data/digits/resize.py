"""Bilinear resizing in whole numbers: the same bytes on every machine and device."""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHT_BITS = 11  # as in OpenCV's 8-bit resize: weights are multiples of 1/2048
ONE = 1 << WEIGHT_BITS
HALF = 1 << (2 * WEIGHT_BITS - 1)  # rounds the product of two weights to nearest


def taps(source: int, target: int) -> Tensor:
    """Which two source cells make each target cell, and how they are weighted.

    Target cell o lies at s = (o + 0.5) * source / target - 0.5 in source cells (half-pixel
    centres); it is (1 - w) * cell[low] + w * cell[high] with low = floor(s), high = low + 1, both
    clamped to the edge, and w = s - floor(s) in units of 1/2048. No anti-aliasing.

    Args:
        source, target: cells along one axis before and after.

    Returns:
        int32 (3, target): low, high, w.
    """
    position = torch.arange(target) * 2 * source + source - target  # s in units of 1 / (2 target)
    low = position.div(2 * target, rounding_mode="floor")
    weight = ((position - low * 2 * target) * ONE + target) // (2 * target)
    ends = torch.stack([low, low + 1]).clamp(0, source - 1)
    return torch.cat([ends, weight[None]]).to(torch.int32)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize square images, bilinear with half-pixel centres (OpenCV's default).

    Args:
        images: uint8 (M, S, S).
        size: pixels a side afterwards.

    Returns:
        uint8 (M, size, size), rounded to nearest.
    """
    low, high, weight = taps(images.shape[-1], size).to(images.device, non_blocking=True)
    down = weight[:, None]
    rows = images.index_select(1, low).int() * (ONE - down)  # (M, size, S)
    rows += images.index_select(1, high).int() * down
    both = rows.index_select(2, low) * (ONE - weight)  # (M, size, size)
    both += rows.index_select(2, high) * weight
    return ((both + HALF) >> (2 * WEIGHT_BITS)).to(torch.uint8)
