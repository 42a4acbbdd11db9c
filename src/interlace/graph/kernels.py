"""Region kernels: how much of every cell of the map belongs to a region.

The kernel of a box is a product of a row and a column profile, stored as these thin factors.
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


class DenseKernel(NamedTuple):
    """A kernel per region that is no product: any weights on the cells of the map."""

    weights: Tensor  # (B, T, N, H, W)

    def dense(self) -> Tensor:
        """(B, T, N, H, W)."""
        return self.weights


Kernel = RegionKernel | DenseKernel


def triangle_kernel(boxes: Tensor, size: tuple[int, int]) -> RegionKernel:
    """A product of two triangles, highest at the centre, zero from the border of the box on.

        k_x(p) = max(0, r_x - |c_x - p|)

    divided by its sum over all cells (DyReg-GNN, eqs. 5 and 6). A box narrower than bilinear
    interpolation, one cell to each side, is read as that; its size still gets a gradient, so that
    a region can grow again. So there is no box with its centre in the frame that sees nothing.

    Args:
        boxes: (..., N, 4) with centres in the frame, see `boxes`.
        size: (H, W) of the map.

    Example:
        >>> import torch
        >>> kernel = triangle_kernel(torch.tensor([[0.5, 0.5, 0.5, 0.5]]), (1, 4))
        >>> [round(value, 3) for value in kernel.cols[0].tolist()]
        [0.125, 0.375, 0.375, 0.125]
    """
    height, width = size
    return RegionKernel(
        _triangle(boxes[..., 1], boxes[..., 3], height),
        _triangle(boxes[..., 0], boxes[..., 2], width),
    )


def _triangle(centre: Tensor, half: Tensor, cells: int) -> Tensor:
    """max(0, half - |centre - p|) at the centres p of `cells` equal cells, over its sum."""
    half = half + (1 / cells - half).clamp(min=0).detach()
    place = (torch.arange(cells, dtype=centre.dtype, device=centre.device) + 0.5) / cells
    height = (half[..., None] - (centre[..., None] - place).abs()).clamp(min=0)  # (..., cells)
    return height / height.sum(-1, keepdim=True)


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


def pool(features: Tensor, kernel: Kernel) -> Tensor:
    """Nodes as kernel-weighted sums of the map, v_n = sum_yx K_nyx X_yx (DyReg-GNN, eq. 7).

    One matrix product a frame. A map has more channels than columns, so the (N, H * W) weights
    are smaller than the half-pooled (N, H, C) strips that two thin products would store.

    Args:
        features: (B, T, C, H, W).
        kernel: over (H, W).

    Returns:
        (B, T, N, C).
    """
    weights = kernel.dense().flatten(-2).to(features.dtype)  # (B, T, N, H * W)
    return weights @ features.flatten(-2).mT


def remap(nodes: Tensor, kernel: Kernel) -> Tensor:
    """Every node spread by its kernel, Y_yx = sum_n K_nyx v_n (DyReg-GNN, eq. 10).

    Args:
        nodes: (B, T, N, C).
        kernel: over (H, W).

    Returns:
        (B, T, C, H, W), channels last in memory.
    """
    weights = kernel.dense().to(nodes.dtype)  # (B, T, N, H, W)
    spread = weights.flatten(-2).mT @ nodes  # (B, T, H * W, C)
    return spread.unflatten(-2, weights.shape[-2:]).permute(0, 1, 4, 2, 3)
