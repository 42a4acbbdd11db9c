"""How a node knows where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.graph.kernels import DenseKernel, Kernel, coverage_kernel
from interlace.graph.regions.regions import Regions


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


class GaussianPositions(nn.Module):
    """Regions -> the 6 x 6 Gaussian pictures of their boxes (..., N, 36), for messages."""

    def forward(self, regions: Regions) -> Tensor:
        return gaussian_maps(regions.boxes)


class KernelPositions(nn.Module):
    """A linear projection of each region's kernel, to be added to its node.

    DyReg-GNN, section 3.2: it "provides an identity for the node and is also useful in tasks that
    require positional information". The kernel is averaged to a stated grid before, so that maps
    of any size will do. The weights of a channel start as a slow wave over the frame: a fresh
    projection tells where a region is, and close regions get close codes.

    Args:
        width: D.
        grid: cells a side.
    """

    def __init__(self, width: int, *, grid: int = 16):
        super().__init__()
        self.grid = grid
        self.linear = nn.Linear(grid * grid, width)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        place = (torch.arange(self.grid) + 0.5) / self.grid
        waves = torch.randn(len(self.linear.weight), 2)  # along x and y, in waves a frame
        phase = 2 * math.pi * torch.rand(len(waves), 1, 1)
        y, x = place[:, None], place[None, :]
        turn = waves[:, :1, None] * x + waves[:, 1:, None] * y  # (D, grid, grid)
        self.linear.weight.copy_(torch.cos(2 * math.pi * turn + phase).flatten(1))
        nn.init.zeros_(self.linear.bias)

    def forward(self, regions: Regions) -> Tensor:
        """Regions of N nodes -> (B, T, N, D)."""
        picture = kernel_picture(regions.pool, self.grid).flatten(-2)  # (B, T, N, grid * grid)
        weight = self.linear.weight  # of a quantised layer a method, and it takes float32
        return self.linear(picture.to(weight.dtype if isinstance(weight, Tensor) else torch.float))


def kernel_picture(kernel: Kernel, grid: int) -> Tensor:
    """The share of each cell of a grid x grid in a kernel: (..., N, grid, grid), sums as before."""
    if isinstance(kernel, DenseKernel):
        weights = kernel.weights
        return shares(weights.shape[-2], grid, weights).t() @ (
            weights @ shares(weights.shape[-1], grid, weights)
        )
    rows, cols = kernel
    rows = rows @ shares(rows.shape[-1], grid, rows)
    cols = cols @ shares(cols.shape[-1], grid, cols)
    return rows[..., :, None] * cols[..., None, :]


def shares(cells: int, grid: int, like: Tensor) -> Tensor:
    """(cells, grid): which part of each cell lies in which of `grid` equal cells."""
    low = torch.arange(cells, dtype=torch.float64)[:, None] / cells
    edges = torch.arange(grid, dtype=torch.float64) / grid
    inside = torch.minimum(low + 1 / cells, edges + 1 / grid) - torch.maximum(low, edges)
    return (inside.clamp(min=0) * cells).to(like)


class WavePositions(nn.Module):
    """Who and where a node is: sines and cosines of its centre, its mass, and a code of its own.

    For nodes whose centres are exact to a fraction of a cell, of which a picture of the kernel
    would tell little.

    Args:
        width: D.
        identities: N, where node n always looks for the same, as in `ContentRegions`; 0 where nodes
            are interchangeable.
        frequencies: of the sines, in periods a frame.
    """

    def __init__(
        self,
        width: int,
        *,
        identities: int = 0,
        frequencies: Sequence[float] = (0.25, 0.5, 1.0, 2.0),
    ):
        super().__init__()
        self.frequencies = tuple(frequencies)
        self.linear = nn.Linear(4 * len(self.frequencies) + 1, width)
        self.identity = nn.Parameter(torch.randn(identities, width)) if identities else None

    def forward(self, regions: Regions) -> Tensor:
        """Regions of N nodes -> (B, T, N, D)."""
        place = regions.boxes[..., :2]
        mass = torch.ones_like(place[..., 0]) if regions.mass is None else regions.mass
        with torch.autocast(place.device.type, enabled=False):
            code = torch.cat((waves(place, self.frequencies), mass[..., None].to(place.dtype)), -1)
        where: Tensor = self.linear(code.to(self.linear.weight.dtype))
        return where if self.identity is None else where + self.identity.to(where.dtype)


def waves(values: Tensor, frequencies: Sequence[float]) -> Tensor:
    """Sines and cosines of values (..., V), F periods in 1 each: (..., 2 * V * F)."""
    periods = values.new_tensor(tuple(frequencies))
    turns = 2 * math.pi * values[..., None] * periods  # (..., V, F)
    return torch.cat((turns.sin(), turns.cos()), -1).flatten(-2)
