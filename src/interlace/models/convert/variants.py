"""Variants: what only the authors' programs do, kept to reproduce their results and checkpoints.

None of it is a default. The papers read differently: messages come from neighbours only, statistics
do not cross frames, alpha is a plain dot product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interlace.graph.edges import Edges
from interlace.graph.regions.regions import Regions
from interlace.graph.space_stage import AdditiveGather, DotGather


class JointNorm(nn.Module):
    """Normalise over the last `axes` axes together, then one scale and bias per channel.

    With axes = 1 this is `nn.LayerNorm`; with axes = 2 on nodes (B, T, N, D) the mean and variance
    are those of the whole frame's nodes.

    Args:
        channels: size of the last axis.
        axes: how many trailing axes share their statistics.
        eps: added to the variance.
    """

    def __init__(self, channels: int, *, axes: int = 2, eps: float = 1e-5):
        super().__init__()
        self.axes = axes
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = x.shape[-self.axes :]
        normed = nn.functional.layer_norm(x.to(self.weight.dtype), shape, eps=self.eps)
        return normed * self.weight + self.bias


class SumSend(nn.Module):
    """m_ij = relu(W (v_j + v_i) + b) instead of the concatenation.

    Args:
        width: D.
    """

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Linear(width, width)

    def forward(self, nodes: Tensor, edges: Edges, positions: Tensor | None = None) -> Tensor:
        """nodes (B, T, N, D) -> messages (B, T, E, D)."""
        sent = nn.functional.linear(nodes, self.first.weight)
        return edges.add(sent, sent + self.first.bias).relu()


class NormedSend(nn.Module):
    """Messages of `send`, normalised over all pairs of a frame."""

    def __init__(self, send: nn.Module, norm: nn.Module):
        super().__init__()
        self.send = send
        self.norm = norm

    def forward(self, nodes: Tensor, edges: Edges, positions: Tensor | None = None) -> Tensor:
        """nodes (B, T, N, D) -> messages (B, T, E, D)."""
        return self.norm(self.send(nodes, edges, positions))


class AllPairsDotGather(DotGather):
    """Softmax over all nodes, then a bias and a ReLU on what was gathered.

    Pairs with no edge keep logit 0 and still take part.

    Args:
        width: D.
        heads: must divide D.
        adjacency: (N, N) of 0 and 1, multiplies the logits; None leaves them.
    """

    adjacency: Tensor | None

    def __init__(self, width: int, *, heads: int = 1, adjacency: Tensor | None = None):
        super().__init__(width, heads=heads)
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("adjacency", adjacency, persistent=False)

    def logits(self, nodes: Tensor) -> Tensor:
        """(B, T, N, D) -> (B, T, heads, N receiver, N sender)."""
        logits = super().logits(nodes)
        return logits if self.adjacency is None else logits * self.adjacency

    def forward(
        self,
        nodes: Tensor,
        messages: Tensor,
        edges: Edges,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        gathered, weights = super().forward(nodes, messages, edges, mass, relations)
        return (gathered + self.bias).relu(), weights


class AllPairsAdditiveGather(AllPairsDotGather, AdditiveGather):
    """The same with logits A (leaky_relu(w_1 . v_j + w_2 . v_i) + 1): those of edges are raised."""

    def logits(self, nodes: Tensor) -> Tensor:
        """(B, T, N, D) -> (B, T, heads, N receiver, N sender)."""
        assert self.adjacency is not None
        return super().logits(nodes) + self.adjacency


class BlockPositions(nn.Module):
    """A Gaussian on the block of each grid cell, cut off at its border, peak in its middle.

    Args:
        size: cells a side of the picture.
        sigma: in cells of the picture.
    """

    def __init__(self, *, size: int = 6, sigma: float = 2.0):
        super().__init__()
        self.size = size
        self.sigma = sigma

    def forward(self, regions: Regions) -> Tensor:
        """Regions of grids -> (..., N, size * size)."""
        boxes = regions.boxes
        cells = (0.5 / boxes[..., 2:]).round()  # a side of the grid each box belongs to
        side = torch.div(self.size, cells, rounding_mode="floor")  # of its block
        corner = (boxes[..., :2] * cells - 0.5).round() * side
        place = torch.arange(self.size, dtype=boxes.dtype, device=boxes.device)
        offset = place - (corner + (side - 1) / 2)[..., None]  # (..., N, 2, size)
        inside = (place >= corner[..., None]) & (place < (corner + side)[..., None])
        profile = torch.exp(-(offset**2) / (2 * self.sigma**2)) * inside
        return (profile[..., 1, :, None] * profile[..., 0, None, :]).flatten(-2)


class NodeBatchNorm(nn.BatchNorm1d):
    """Batch norm over the channels of nodes (B, T, N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)
