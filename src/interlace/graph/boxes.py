"""Boxes: where nodes look. The one home of the coordinate convention.

Convention:
    A box is (cx, cy, rx, ry): centre and half extents as fractions of the frame, in [0, 1], origin
    at the top left corner, x to the right, y down. Cell i of W cells covers [i/W, (i+1)/W] and has
    its centre at (i + 0.5)/W.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def grid_boxes(scales: Sequence[int], *, device: torch.device | None = None) -> Tensor:
    """Boxes of regular grids that cover the frame, finest scale as given, cells row by row.

    RSTG, section 2, "Graph Creation".

    Args:
        scales: cells a side of every grid, e.g. (3, 2, 1) for 9 + 4 + 1 nodes.
        device: where to make them.

    Returns:
        (N, 4) boxes in float64, so that what is derived from them is exact.

    Example:
        >>> grid_boxes((2, 1)).tolist()[0]
        [0.25, 0.25, 0.25, 0.25]
    """
    if not scales or any(s < 1 for s in scales):
        raise ValueError(f"scales must be positive numbers of cells a side, got {tuple(scales)}")
    grids = []
    for s in scales:
        centre = (torch.arange(s, dtype=torch.float64, device=device) + 0.5) / s
        cy, cx = torch.meshgrid(centre, centre, indexing="ij")
        half = torch.full_like(cx, 0.5 / s)
        grids.append(torch.stack((cx, cy, half, half), dim=-1).flatten(0, 1))  # (s * s, 4)
    return torch.cat(grids)


def anchors(nodes: int, kind: str = "center", *, device: torch.device | None = None) -> Tensor:
    """Reference points of regions that move: all in the middle of the frame, or spread over it.

    DyReg-GNN, section 3.1: "regions would start at reference points either in the center of the
    frame or arranged on a grid". A grid has as many rows as columns, give or take one; rows of a
    number of nodes that is not a square differ by one node.

    Args:
        nodes: N.
        kind: "center" or "grid".
        device: where to make them.

    Returns:
        (N, 2) points (x, y), in float64.

    Example:
        >>> anchors(2, "grid").tolist()
        [[0.25, 0.5], [0.75, 0.5]]
    """
    if nodes < 1:
        raise ValueError(f"a graph needs at least one node, got nodes={nodes}")
    if kind == "center":
        return torch.full((nodes, 2), 0.5, dtype=torch.float64, device=device)
    if kind != "grid":
        raise ValueError(f"anchors must be 'center' or 'grid', got {kind!r}")
    rows = round((nodes - 0.5) ** 0.5)
    points = []
    for row in range(rows):
        cols = nodes // rows + (row < nodes % rows)
        points += [((col + 0.5) / cols, (row + 0.5) / rows) for col in range(cols)]
    return torch.tensor(points, dtype=torch.float64, device=device)


def offset_boxes(offsets: Tensor, anchors: Tensor, size: float = 1 / 6) -> Tensor:
    """Boxes from raw offsets: never outside the frame, never empty (DyReg-GNN, eqs. 12 to 14).

        c + delta = 1/2 + 1/2 tanh(offset + arctanh(2 c - 1)),    r = exp(offset) size

    Args:
        offsets: (..., N, 4), of centre x, centre y, half extent x, half extent y; zeros are the
            anchors.
        anchors: (N, 2) in (0, 1).
        size: half extent of a region whose offset is zero, as a fraction of the frame.

    Returns:
        (..., N, 4).

    Example:
        >>> offset_boxes(torch.zeros(1, 4), anchors(1), size=0.25).tolist()
        [[0.5, 0.5, 0.25, 0.25]]
    """
    start = torch.atanh(2 * anchors.to(offsets) - 1)
    centre = 0.5 + 0.5 * torch.tanh(offsets[..., :2] + start)
    grown = offsets[..., 2:].clamp(-20, 20).exp()  # beyond, float32 would end at 0 or infinity
    return torch.cat((centre, grown * size), dim=-1)


def corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(cx, cy, rx, ry) boxes (..., 4) -> their top left and bottom right corners, (..., 2) each."""
    centre, half = boxes[..., :2], boxes[..., 2:]
    return centre - half, centre + half


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Signed overlap of boxes along x and y: negative is a gap, zero a touch.

    Args:
        a: (..., N, 4) boxes.
        b: (..., M, 4) boxes.

    Returns:
        (..., N, M, 2) lengths, as fractions of the frame.
    """
    (a_low, a_high), (b_low, b_high) = corners(a), corners(b)
    high = torch.minimum(a_high[..., :, None, :], b_high[..., None, :, :])
    low = torch.maximum(a_low[..., :, None, :], b_low[..., None, :, :])
    return high - low


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., N, 4) and (..., M, 4), as (..., N, M) in [0, 1]."""
    inner = overlap(a, b).clamp(min=0).prod(-1)
    area_a = 4 * a[..., 2] * a[..., 3]
    area_b = 4 * b[..., 2] * b[..., 3]
    union = area_a[..., :, None] + area_b[..., None, :] - inner
    return torch.where(union > 0, inner / union, torch.zeros_like(inner))


def neighbours(boxes: Tensor, *, tolerance: float = 1e-6) -> Tensor:
    """Which nodes hear each other: regions that intersect or share a side.

    "Two nodes are connected if they are neighbours in space or if their regions at different
    scales intersect" (RSTG, section 2). A touching corner is no edge; nobody hears itself.

    Args:
        boxes: (N, 4).
        tolerance: what counts as touching, as a fraction of the frame.

    Returns:
        (N, N) bool, symmetric, False on the diagonal.
    """
    shared = overlap(boxes, boxes)
    joined = (shared >= -tolerance).all(-1) & (shared > tolerance).any(-1)
    return joined & ~torch.eye(len(boxes), dtype=torch.bool, device=boxes.device)
