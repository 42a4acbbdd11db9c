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


class SumSend(nn.Module):
    """m_ij = MLP_s(v_j + v_i) instead of the concatenation.

    Args:
        width: D.
        layers: linear layers of the MLP, each followed by a ReLU.
    """

    def __init__(self, width: int, *, layers: int = 1):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.deeper = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))

    def forward(self, nodes: Tensor, edges: Edges, positions: Tensor | None = None) -> Tensor:
        """nodes (B, T, N, D) -> messages (B, T, E, D)."""
        sent = nn.functional.linear(nodes, self.first.weight)
        messages = edges.add(sent, sent + self.first.bias).relu()
        for layer in self.deeper:
            messages = layer(messages).relu()
        return messages


class NormedSend(nn.Module):
    """Messages of `send`, normalised over all pairs of a frame."""

    def __init__(self, send: nn.Module, norm: nn.Module):
        super().__init__()
        self.send = send
        self.norm = norm

    def forward(self, nodes: Tensor, edges: Edges, positions: Tensor | None = None) -> Tensor:
        """nodes (B, T, N, D) -> messages (B, T, E, D)."""
        return self.norm(self.send(nodes, edges, positions))


class _BiasedGather:
    """Adds a bias and a ReLU to what a gather collected."""

    bias: Tensor

    def forward(self, nodes: Tensor, messages: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        gathered, weights = super().forward(nodes, messages, edges)  # type: ignore[misc]
        return (gathered + self.bias).relu(), weights


class AllPairsDotGather(_BiasedGather, DotGather):
    """Softmax over all nodes: pairs with no edge keep logit 0 and still take part.

    Args:
        width: D.
        heads: must divide D.
        adjacency: (N, N), multiplies the logits; None leaves them.
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


class AllPairsAdditiveGather(_BiasedGather, AdditiveGather):
    """leaky_relu(A (w_1 . v_j + w_2 . v_i)) + A as logits, softmax over all nodes.

    Args:
        width: D.
        heads: must divide D.
        adjacency: (N, N) A.
    """

    adjacency: Tensor

    def __init__(self, width: int, *, heads: int = 1, adjacency: Tensor):
        super().__init__(width, heads=heads)
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("adjacency", adjacency, persistent=False)

    def logits(self, nodes: Tensor) -> Tensor:
        """(B, T, N, D) -> (B, T, heads, N receiver, N sender)."""
        query = self.query(nodes).transpose(-1, -2)[..., :, None]
        key = self.key(nodes).transpose(-1, -2)[..., None, :]
        logits = nn.functional.leaky_relu(self.adjacency * (query + key), 0.2)
        return logits + self.adjacency


class PlainUpdate(nn.Module):
    """MLP(v_i + g_i), or just v_i + g_i with no layers.

    Args:
        width: D.
        layers: linear layers of the MLP, each followed by a ReLU.
    """

    def __init__(self, width: int, *, layers: int = 0):
        super().__init__()
        self.mlp = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, nodes: Tensor, gathered: Tensor) -> Tensor:
        """nodes and gathered (B, T, N, D) -> (B, T, N, D)."""
        nodes = nodes + gathered
        for layer in self.mlp:
            nodes = layer(nodes).relu()
        return nodes


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
