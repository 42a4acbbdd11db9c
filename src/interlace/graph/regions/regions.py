"""Regions: what every module of this folder gives a graph.

A module of one's own has the same face, `forward(features, state)` -> (Regions, state). If it says
`needs_boxes = True`, it is told the boxes of the call: `forward(features, state, boxes)`.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from interlace.graph.kernels import Kernel, triangle_kernel


class Regions(NamedTuple):
    """What every regions module gives a graph: `forward(features, state)` -> (Regions, state).

    Axes B and T are 1 where regions are the same for all clips or frames.
    """

    boxes: Tensor  # (B, T, N, 4)
    pool: Kernel  # how nodes read the map
    remap: Kernel  # how they write to it
    mass: Tensor | None = (
        None  # (B, T, N) in [0, 1]: is anything there? None: nodes are never silent
    )


def map_size(features: Tensor) -> tuple[int, int]:
    """(H, W) of features (..., H, W)."""
    return features.shape[-2], features.shape[-1]


def triangles(boxes: Tensor, features: Tensor) -> Regions:
    """Nodes that read and write with triangle kernels (DyReg-GNN, eqs. 5 to 7 and 10)."""
    kernel = triangle_kernel(boxes, map_size(features))
    return Regions(boxes, kernel, kernel)
