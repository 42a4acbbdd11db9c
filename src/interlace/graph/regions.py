"""Regions: where the nodes look."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from interlace.graph.boxes import grid_boxes
from interlace.graph.kernels import RegionKernel, area_kernel, coverage_kernel


class GridRegions(nn.Module):
    """Fixed grids that cover the frame at several scales (RSTG, section 2, "Graph Creation").

    The face of every regions module: `forward` says where nodes look, `pool_kernel` how they read
    the map there, `remap_kernel` how they write to it.

    Args:
        scales: cells a side of each grid.
    """

    def __init__(self, scales: Sequence[int] = (3, 2, 1)):  # section 3.1
        super().__init__()
        grid_boxes(scales)
        self.scales = tuple(scales)

    def forward(self, features: Tensor, state: None = None) -> tuple[Tensor, None]:
        """features (B, T, C, H, W) -> boxes (1, 1, N, 4), the same for all clips and frames."""
        return grid_boxes(self.scales, device=features.device)[None, None], None

    def pool_kernel(self, boxes: Tensor, size: tuple[int, int]) -> RegionKernel:
        """Area average of each cell, summing to 1."""
        return area_kernel(boxes, size)

    def remap_kernel(self, boxes: Tensor, size: tuple[int, int]) -> RegionKernel:
        """Enlarges each grid to the map: the kernels of a scale sum to 1 at every place."""
        return coverage_kernel(boxes, size)

    def extra_repr(self) -> str:
        return f"scales={self.scales}"
