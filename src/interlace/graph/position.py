"""How a node knows where it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from interlace.graph.kernels import coverage_kernel


def gaussian_maps(boxes: Tensor, *, size: int = 6, sigma: float = 2.0) -> Tensor:
    """A low-resolution picture of each region: ones inside, zeros outside, Gaussian filtered.

    RSTG, section 2.1, "Position-aware messages"; sigma as in the authors' program.

    Args:
        boxes: (..., N, 4).
        size: cells a side of the picture.
        sigma: standard deviation of the filter in cells of the picture.

    Returns:
        (..., N, size * size), row by row.
    """
    total = sum(math.exp(-(d**2) / (2 * sigma**2)) for d in range(-4 * size, 4 * size + 1))
    place = torch.arange(size, dtype=boxes.dtype, device=boxes.device)
    blur = torch.exp(-((place[:, None] - place) ** 2) / (2 * sigma**2)) / total
    rows, cols = coverage_kernel(boxes, (size, size))
    picture = (rows @ blur)[..., :, None] * (cols @ blur)[..., None, :]
    return picture.flatten(-2)
