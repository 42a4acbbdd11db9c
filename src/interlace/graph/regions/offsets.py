"""Offsets: what a node's memory says about where to look, as a box."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from interlace.graph import boxes

Anchors = Literal["center", "grid"]


class Offsets(nn.Module):
    """o = alpha(gamma * W_o z) (DyReg-GNN, eqs. 4 and 11 to 14).

    gamma starts at zero, so every region starts at its anchor with its initial size. Computed in
    float32 also under autocast: half precision would move a region by a hundredth of the frame.

    Args:
        width: P of z.
        nodes: N.
        anchors: where regions start.
        size: half extent they start with, as a fraction of the frame.
        learn_size: else only the centre moves (section 4.2, "Position-Only Model").
    """

    start: Tensor

    def __init__(
        self,
        width: int,
        *,
        nodes: int = 9,
        anchors: Anchors = "center",  # appendix C: "in experiments, ... the center of the image"
        size: float = 1 / 6,  # appendix C
        learn_size: bool = True,
    ):
        super().__init__()
        if not size >= 0:
            raise ValueError(f"the size of a region must not be negative, got {size}")
        self.nodes = nodes
        self.anchors = anchors
        self.register_buffer("start", boxes.anchors(nodes, anchors).float(), persistent=False)
        self.size = size
        self.linear = nn.Linear(width, 4 if learn_size else 2)
        self.gamma = nn.Parameter(torch.zeros(4 if learn_size else 2))

    def forward(self, z: Tensor) -> Tensor:
        """z (..., N, P) -> boxes (..., N, 4)."""
        with torch.autocast(z.device.type, enabled=False):
            raw = self.gamma * self.linear(z.to(self.gamma.dtype))  # (..., N, 4) or (..., N, 2)
            raw = nn.functional.pad(raw, (0, 4 - raw.shape[-1]))
            return boxes.offset_boxes(raw, self.start, self.size)

    def extra_repr(self) -> str:
        return f"anchors={self.anchors}, size={self.size:.3g}"
