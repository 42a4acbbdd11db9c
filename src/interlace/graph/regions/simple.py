"""Regions that do not depend on the video."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.graph.boxes import anchors as anchor_points
from interlace.graph.boxes import grid_boxes
from interlace.graph.kernels import area_kernel, coverage_kernel
from interlace.graph.regions.offsets import Anchors, Offsets
from interlace.graph.regions.regions import Regions, map_size, triangles


class GridRegions(nn.Module):
    """Fixed grids that cover the frame at several scales (RSTG, section 2, "Graph Creation").

    A node reads the average of its cell, and writes to the whole of it: the kernels of a scale sum
    to 1 at every place of the map.

    Args:
        scales: cells a side of each grid.
    """

    def __init__(self, scales: Sequence[int] = (3, 2, 1)):  # section 3.1
        super().__init__()
        grid_boxes(scales)
        self.scales = tuple(scales)

    def forward(self, features: Tensor, state: None = None) -> tuple[Regions, None]:
        """features (B, T, C, H, W) -> regions, the same for all clips and frames."""
        boxes = grid_boxes(self.scales, device=features.device)[None, None]  # (1, 1, N, 4)
        size = map_size(features)
        return Regions(boxes, area_kernel(boxes, size), coverage_kernel(boxes, size)), None

    def extra_repr(self) -> str:
        return f"scales={self.scales}"


class FixedRegions(nn.Module):
    """Regions on a grid, of fixed place and size (DyReg-GNN, section 4.2, "Fixed Model").

    Args:
        nodes: N.
        size: half extent, as a fraction of the frame.
    """

    centre: Tensor

    def __init__(self, nodes: int = 9, *, size: float = 1 / 6):
        super().__init__()
        self.nodes = nodes
        self.size = size
        self.register_buffer("centre", anchor_points(nodes, "grid").float(), persistent=False)

    def forward(self, features: Tensor, state: None = None) -> tuple[Regions, None]:
        """features (B, T, C, H, W) -> regions, the same for all clips and frames."""
        boxes = torch.cat((self.centre, torch.full_like(self.centre, self.size)), dim=-1)
        return triangles(boxes[None, None], features), None

    def extra_repr(self) -> str:
        return f"nodes={self.nodes}, size={self.size:.3g}"


class StaticRegions(nn.Module):
    """Regions that are learned, and the same for all videos (section 4.2, "Static Model").

    "The features z_i from Eq. 4 become learnable parameters."

    Args:
        nodes: N.
        width: P of z.
        anchors: where regions start.
        size: half extent they start with, as a fraction of the frame.
        learn_size: else only the centre moves.
    """

    def __init__(
        self,
        nodes: int = 9,
        *,
        width: int = 32,
        anchors: Anchors = "center",
        size: float = 1 / 6,
        learn_size: bool = True,
    ):
        super().__init__()
        self.offsets = Offsets(
            width, nodes=nodes, anchors=anchors, size=size, learn_size=learn_size
        )
        self.latent = nn.Parameter(torch.randn(nodes, width))

    def forward(self, features: Tensor, state: None = None) -> tuple[Regions, None]:
        """features (B, T, C, H, W) -> regions, the same for all clips and frames."""
        return triangles(self.offsets(self.latent)[None, None], features), None


class GivenRegions(nn.Module):
    """Regions somebody else found: true boxes, or a detector's (section 4.1, appendix E.6).

    Of more boxes than nodes the first are taken; sort them as you want them. Fewer are given out
    again, from the first. Nodes whose box has a NaN, and all if there is no box, look at the whole
    frame. Centres outside the frame are moved to its border; a box of no size is read as a point,
    with the smallest kernel there is.

    Args:
        nodes: N.
        silent: a box is given to one node only, and nodes without one are silent (mass 0).
    """

    needs_boxes = True

    def __init__(self, nodes: int = 9, *, silent: bool = False):
        super().__init__()
        anchor_points(nodes)
        self.nodes = nodes
        self.silent = silent

    def forward(
        self, features: Tensor, state: None = None, boxes: Tensor | None = None
    ) -> tuple[Regions, None]:
        """features (B, T, C, H, W), boxes (B, T, M, 4) -> regions."""
        if boxes is None:
            raise ValueError(
                "this graph looks where it is told: pass boxes=(B, T, M, 4), as (cx, cy, rx, ry) "
                "in fractions of the frame"
            )
        if boxes.dim() != 4 or boxes.shape[:2] != features.shape[:2] or boxes.shape[-1] != 4:
            raise ValueError(
                f"boxes must be (B, T, M, 4) with B, T = {tuple(features.shape[:2])}, got "
                f"{tuple(boxes.shape)}"
            )
        if boxes.shape[2] == 0:
            boxes = boxes.new_full((*boxes.shape[:2], 1, 4), float("nan"))
        if self.silent and boxes.shape[2] < self.nodes:
            more = self.nodes - boxes.shape[2]
            boxes = nn.functional.pad(boxes, (0, 0, 0, more), value=float("nan"))
        shown = [node % boxes.shape[2] for node in range(self.nodes)]
        boxes = boxes[:, :, shown].to(torch.promote_types(features.dtype, torch.float32))
        # a compiled graph does not look at values, and reads these as boxes of no size
        if not torch.compiler.is_compiling() and bool((boxes[..., 2:] < 0).any()):
            raise ValueError("boxes are (cx, cy, rx, ry): half extents must not be negative")
        unseen = boxes.isnan().any(-1, keepdim=True)
        centre = boxes[..., :2].clamp(0, 1)
        boxes = torch.where(unseen, 0.5, torch.cat((centre, boxes[..., 2:].clamp(max=1)), -1))
        regions = triangles(boxes, features)
        if self.silent:
            regions = regions._replace(mass=1 - unseen[..., 0].to(boxes.dtype))
        return regions, None

    def extra_repr(self) -> str:
        return f"nodes={self.nodes}" + (", silent" if self.silent else "")
