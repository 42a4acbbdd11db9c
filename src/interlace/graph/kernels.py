"""Region kernels: how much of every cell of the map belongs to a region.

A kernel is a product of a row profile and a column profile, and is stored as these thin factors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RegionKernel(NamedTuple):
    """A separable kernel per region: value at cell (y, x) is `rows[..., y] * cols[..., x]`.

    Leading axes are those of the boxes, (B, T, N) or (1, 1, N) for regions that never move.
    """

    rows: Tensor  # (B, T, N, H)
    cols: Tensor  # (B, T, N, W)

    def dense(self) -> Tensor:
        """(B, T, N, H, W): for looking at, not for computing."""
        return self.rows[..., :, None] * self.cols[..., None, :]


def coverage_kernel(boxes: Tensor, size: tuple[int, int]) -> RegionKernel:
    """What fraction of every cell lies inside the box, in [0, 1].

    On a grid that covers the frame the kernels of one scale sum to 1 at every cell: remapping with
    them enlarges the grid to the map, the inverse of `area_kernel`.

    Args:
        boxes: (..., N, 4), see `boxes`.
        size: (H, W) of the map.
    """
    height, width = size
    return RegionKernel(
        _covered(boxes[..., 1], boxes[..., 3], height),
        _covered(boxes[..., 0], boxes[..., 2], width),
    )


def area_kernel(boxes: Tensor, size: tuple[int, int]) -> RegionKernel:
    """Area average under the box; cells cut by its border count by the part inside.

    The kernels of RSTG (section 2, "Graph Creation"). They sum to 1.

    Args:
        boxes: (..., N, 4), inside the frame, of positive size.
        size: (H, W) of the map.
    """
    rows, cols = coverage_kernel(boxes, size)
    return RegionKernel(rows / rows.sum(-1, keepdim=True), cols / cols.sum(-1, keepdim=True))


def _covered(centre: Tensor, half: Tensor, cells: int) -> Tensor:
    """Fraction of each of `cells` equal cells of [0, 1] inside centre +- half: (..., cells)."""
    edges = torch.arange(cells + 1, dtype=centre.dtype, device=centre.device) / cells
    inside = edges.clamp(min=(centre - half)[..., None], max=(centre + half)[..., None])
    return inside.diff(dim=-1) * cells


def pool(features: Tensor, kernel: RegionKernel) -> Tensor:
    """Nodes as kernel-weighted sums of the map, v_n = sum_yx rows_ny cols_nx X_yx.

    One matrix product a frame. A map has more channels than columns, so the (N, H * W) weights
    are smaller than the half-pooled (N, H, C) strips that two thin products would store.

    Args:
        features: (B, T, C, H, W).
        kernel: over (H, W).

    Returns:
        (B, T, N, C).
    """
    weights = kernel.dense().flatten(-2).to(features.dtype)  # (B, T, N, H * W)
    return weights @ features.flatten(-2).transpose(-1, -2)


def remap(nodes: Tensor, kernel: RegionKernel) -> Tensor:
    """The map on which every node is spread by its kernel, Y_yx = sum_n rows_ny cols_nx v_n.

    Args:
        nodes: (B, T, N, C).
        kernel: over (H, W).

    Returns:
        (B, T, C, H, W), channels last in memory.
    """
    height, width = kernel.rows.shape[-1], kernel.cols.shape[-1]
    weights = kernel.dense().flatten(-2).to(nodes.dtype)  # (B, T, N, H * W)
    spread = weights.transpose(-1, -2) @ nodes  # (B, T, H * W, C)
    return spread.unflatten(-2, (height, width)).permute(0, 1, 4, 2, 3)
