"""Variants of dynamic regions as only the authors' program has them, none of it a default.

It counts in cells of the map, whose index is their coordinate; its regions are a cell larger to
each side; its norms run over whole maps, and over all nodes of a frame.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interlace.models.face import answer, ask

# cells a side of the map -> strides of the first and of the inner layers
STRIDES = {32: (2, 2), 28: (2, 2), 16: (2, 1), 14: (2, 1), 8: (1, 1), 7: (1, 1)}


def frame_norm(channels: int) -> nn.GroupNorm:
    """Statistics of a whole frame's map (M, C, H, W), one scale and bias a channel."""
    return nn.GroupNorm(1, channels)


class CellOffsets(nn.Module):
    """(h~, w~, y~, x~) = alpha * linear(z) -> boxes, by the program's formulas.

    Half extents are exp(h~) (H/6 + 1) + 1 cells, centres H/2 tanh(y~) + H/2 clamped to [0, H - 1],
    where cell i is at i: regions start in the middle.

    Args:
        width: P of z.
        nodes: N.
        cells: H = W of the map.
    """

    def __init__(self, width: int, *, nodes: int, cells: int):
        super().__init__()
        self.linear = nn.Linear(width, 4)
        self.alpha = nn.Parameter(torch.zeros(4))
        self.nodes = nodes
        self.cells = cells

    def forward(self, z: Tensor) -> Tensor:
        """z (..., N, P) -> boxes (..., N, 4)."""
        raw = (self.alpha * self.linear(z)).flip(-1)  # x, y, w, h
        centre = self.cells / 2 * torch.tanh(raw[..., :2]) + self.cells / 2
        half = raw[..., 2:].exp() * (self.cells / 6 + 1) + 1
        return torch.cat((centre.clamp(0, self.cells - 1) + 0.5, half), dim=-1) / self.cells


class NormedSaliency(nn.Module):
    """f with a norm after each layer and strides that depend on the map's size ("big").

    Args:
        channels: C.
        cells: a side of the map.
    """

    def __init__(self, channels: int, cells: int):
        super().__init__()
        if cells not in STRIDES:
            raise ValueError(
                f"their program has maps of {sorted(STRIDES)} cells a side, got {cells}"
            )
        first, inner = STRIDES[cells]
        around = 2 - inner
        self.layers = nn.ModuleList(
            (
                nn.Conv2d(channels, 32, 1),
                nn.Conv2d(32, 32, 3, stride=first),
                nn.Conv2d(32, 16, 3, stride=inner, padding=around),
                nn.ConvTranspose2d(16, 32, 3, stride=inner, padding=around),
                nn.Conv2d(32, 16, 3, stride=inner, padding=around),
            )
        )
        self.norms = nn.ModuleList(frame_norm(k) for k in (32, 32, 16, 32, 16))

    def forward(self, features: Tensor) -> Tensor:
        """(M, C, H, W) -> (M, 16, H', W')."""
        x = entry = features
        for k, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = norm(layer(x).relu())
            if k == 1:
                entry = x
            elif k == 3:
                x = x + entry
        return x


class WholeMapView(nn.Module):
    """g: one convolution whose kernel is the whole map, to N x P channels."""

    def __init__(self, channels: int, cells: int, nodes: int, width: int):
        super().__init__()
        self.nodes = nodes
        self.conv = nn.Conv2d(channels, nodes * width, cells)

    def forward(self, maps: Tensor) -> Tensor:
        """(M, C', H', W') -> (M, N, P)."""
        return self.conv(maps).flatten(1).unflatten(1, (self.nodes, -1))


class SoftAssignView(nn.Module):
    """g of the small generator: each place is shared out among the nodes, and values are summed."""

    def __init__(self, channels: int, nodes: int, width: int):
        super().__init__()
        self.weigh = nn.Conv2d(channels, nodes, 1)
        self.positions = nn.Conv2d(channels, channels, 1)
        self.linear = nn.Linear(channels, width)

    def forward(self, maps: Tensor) -> Tensor:
        """(M, C, H, W) -> (M, N, P)."""
        weights = self.weigh(maps).softmax(1).flatten(2)  # (M, N, H * W)
        where = self.positions(self._waves(maps)[None])
        values = (maps + where).flatten(2)
        return self.linear(weights @ values.transpose(1, 2))

    @staticmethod
    def _waves(maps: Tensor) -> Tensor:
        """The fixed sine-cosine map (C, H, W): half of the channels for rows, half for columns."""
        channels, height, width = maps.shape[1:]
        half = channels // 2
        k = torch.arange(half, dtype=maps.dtype, device=maps.device)

        def profile(cells: int) -> Tensor:
            place = torch.linspace(0, 1, cells, dtype=maps.dtype, device=maps.device)
            angle = place / 10000 ** (k / half)[:, None]  # (half, cells)
            return torch.where((k % 2 == 0)[:, None], angle.sin(), angle.cos())

        rows, cols = profile(height)[:, :, None], profile(width)[:, None, :]
        return torch.cat((rows.expand(-1, -1, width), cols.expand(-1, height, -1)))


class NormedMemory(nn.Module):
    """The recurrence of regions between two norms over all nodes of a frame."""

    def __init__(self, before: nn.Module, memory: nn.Module, after: nn.Module):
        super().__init__()
        self.before = before
        self.memory = memory
        self.after = after

    def forward(self, nodes: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor, None]:
        """nodes (B, T, N, P) -> the same, state (B, N, P)."""
        nodes, state, _ = self.memory(self.before(nodes), state)
        return self.after(nodes), state, None


class FrameNormBranch(nn.Module):
    """Norm of a whole frame's map, before it is added to the features."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = frame_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C, H, W) -> the same."""
        return self.norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class ProjectedGraph(nn.Module):
    """Projects the whole map, runs a graph on it, projects back: with the face of a graph.

    Args:
        project: (M, C, H, W) -> (M, D, H, W).
        block: a graph over D channels that returns its bare map.
        project_back: (M, D, H, W) -> (M, C, H, W).
        branch: on what is added to the features; None returns the bare map.
    """

    def __init__(
        self,
        project: nn.Module,
        block: nn.Module,
        project_back: nn.Module,
        *,
        branch: nn.Module | None = None,
    ):
        super().__init__()
        self.project = project
        self.block = block
        self.project_back = project_back
        self.branch = branch

    def forward(
        self,
        features: Tensor,
        state: Any = None,
        *,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """As `GraphBlock.forward`."""
        clips = features.shape[:2]
        inner = self.project(features.flatten(0, 1)).unflatten(0, clips)
        out, state, trace = ask(self.block, inner, state, None, return_state, return_trace)
        out = self.project_back(out.flatten(0, 1)).unflatten(0, clips)
        if self.branch is not None:
            out = features + self.branch(out)
        return answer(out, state, trace, return_state, return_trace)
