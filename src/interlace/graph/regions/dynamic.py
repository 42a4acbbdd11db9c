"""Dynamic regions: where to look is predicted from the video (DyReg-GNN, section 3.1)."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from interlace.graph.position import shares
from interlace.graph.regions.offsets import Anchors, Offsets
from interlace.graph.regions.regions import Regions, triangles
from interlace.graph.time_stage import TimeStage


class DynamicRegions(nn.Module):
    """M_t = f(X_t), m_i = g_i(M_t), z_i = GRU(z_i, m_i), o_i = alpha(W_o z_i) (eqs. 1 to 4).

    Args:
        saliency: f, (M, C, H, W) -> (M, C', H', W'); `nn.Identity` for none.
        view: all g_i, (M, C', H', W') -> (M, N, P).
        memory: shared by nodes, (B, T, N, P), state -> the same, e.g. `TimeStage`; None for none.
        offsets: z (..., N, P) -> boxes, e.g. `Offsets`.
    """

    def __init__(
        self, saliency: nn.Module, view: nn.Module, memory: nn.Module | None, offsets: nn.Module
    ):
        super().__init__()
        self.saliency = saliency
        self.view = view
        self.memory = memory
        self.offsets = offsets

    @classmethod
    def of(
        cls,
        channels: int,
        nodes: int = 9,
        *,
        light: bool = False,
        width: int = 32,
        memory: bool = True,
        anchors: Anchors = "center",
        size: float = 1 / 6,
        learn_size: bool = True,
    ) -> Self:
        """The paper's parts.

        Args:
            channels: C of the features.
            nodes: N.
            light: fewer weights (DyReg-GNN-Lite): no f, and averages for g.
            width: P of the memory; the released model has 128.
            memory: without, each frame's regions come from that frame alone (table 9).
            anchors: where regions start.
            size: half extent they start with, as a fraction of the frame; 0 is bilinear
                interpolation.
            learn_size: else only the centres move ("Position-Only").
        """
        offsets = Offsets(width, nodes=nodes, anchors=anchors, size=size, learn_size=learn_size)
        time = TimeStage(width, cell="gru") if memory else None
        if light:
            return cls(nn.Identity(), LightView(channels, nodes, width=width), time, offsets)
        saliency = SaliencyNet(channels)
        view = FullView(saliency.out_channels, nodes, width=width, grid=saliency.size)
        return cls(saliency, view, time, offsets)

    def forward(
        self, features: Tensor, state: Tensor | None = None
    ) -> tuple[Regions, Tensor | None]:
        """features (B, T, C, H, W) -> regions of each frame, state (B, N, P)."""
        z, state = self.remember(features, state)
        return triangles(self.offsets(z), features), state

    def remember(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """features (B, T, C, H, W) -> z (B, T, N, P), state (B, N, P)."""
        maps = self.saliency(features.flatten(0, 1))
        seen = self.view(maps).unflatten(0, features.shape[:2])  # (B, T, N, P)
        if self.memory is None:
            return seen, None
        z, state, _ = self.memory(seen, state)
        return z, state


class ConstantRegions(DynamicRegions):
    """Regions that depend on the clip, but not on the frame ("Constant-Time Model").

    They are those of the last frame, when all of the clip has been seen, used for all its frames.
    So they need the clip in one call, and refuse a stream.
    """

    def forward(
        self, features: Tensor, state: Tensor | None = None
    ) -> tuple[Regions, Tensor | None]:
        """features (B, T, C, H, W) of the whole clip -> regions, the same for all frames."""
        if state is not None:
            raise ValueError(
                "regions that are constant in time depend on the whole clip: pass it in one call, "
                "without a state"
            )
        z, _ = self.remember(features, None)
        return triangles(self.offsets(z[:, -1:]), features), z[:, -1]


class SaliencyNet(nn.Module):
    """f: what is where, with a large receptive field and few channels (eq. 1, appendix C).

    A projection, two convolutions, a transposed one joined with what went in, a last one. The map
    is averaged to a stated grid before, so that any size will do; f makes 16 x 16 to 7 x 7, as in
    the paper's synthetic experiments.

    Args:
        channels: C.
        width: of the inner maps.
        out_channels: C'.
        grid: cells a side of the map that is looked at.
    """

    def __init__(self, channels: int, *, width: int = 32, out_channels: int = 16, grid: int = 16):
        super().__init__()
        if grid < 3:
            raise ValueError(f"f needs a grid of at least 3 x 3 cells, got {grid}")
        self.grid = grid
        self.size = (grid - 1) // 2
        self.out_channels = out_channels
        self.project = nn.Conv2d(channels, width, 1)
        self.down = nn.Conv2d(width, width, 3, stride=2)
        self.inner = nn.Conv2d(width, out_channels, 3, padding=1)
        self.up = nn.ConvTranspose2d(out_channels, width, 3, padding=1)
        self.last = nn.Conv2d(width, out_channels, 3, padding=1)
        for layer in self.children():
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """(M, C, H, W) -> (M, C', H', W')."""
        x = to_grid(self.project(features).relu(), self.grid)
        x = self.down(x).relu()
        up = self.up(self.inner(x).relu()).relu() + x
        return self.last(up).relu()  # (M, C', size, size)


class FullView(nn.Module):
    """g_i: a fully connected layer over the whole map, one for each node (eq. 2, appendix C).

    Args:
        channels: C'.
        nodes: N.
        width: P.
        grid: cells a side of the map; others are averaged to it.
    """

    def __init__(self, channels: int, nodes: int, *, width: int = 32, grid: int = 7):
        super().__init__()
        self.nodes = nodes
        self.grid = grid
        self.linear = nn.Linear(channels * grid * grid, nodes * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> Tensor:
        """(M, C', H', W') -> (M, N, P)."""
        seen = self.linear(to_grid(maps, self.grid).flatten(1))
        return self.norm(seen.unflatten(1, (self.nodes, -1)))


class LightView(nn.Module):
    """g_i: a weighted average over the map, of features and of where they are (appendix C).

    The weight of a place comes from the features there, so the average alone would not tell where
    it looked: a sine-cosine map of positions is averaged with it.

    Args:
        channels: C'.
        nodes: N.
        width: P.
    """

    def __init__(self, channels: int, nodes: int, *, width: int = 32):
        super().__init__()
        self.width = width
        self.weigh = nn.Conv2d(channels, nodes, 1)
        self.features = nn.Linear(channels, width)
        self.positions = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> Tensor:
        """(M, C', H', W') -> (M, N, P)."""
        weights = self.weigh(maps).flatten(2).softmax(-1)  # (M, N, H' * W')
        where = sine_cosine(self.width, maps.shape[-2], maps.shape[-1], like=maps)
        features = weights @ maps.flatten(2).transpose(1, 2).to(weights.dtype)  # (M, N, C')
        places = weights @ where.flatten(1).t().to(weights.dtype)  # (M, N, P)
        return self.norm(self.features(features) + self.positions(places))


def sine_cosine(channels: int, height: int, width: int, *, like: Tensor) -> Tensor:
    """(channels, H, W): waves over rows and columns, from a half to eight in a frame."""
    half = (channels + 1) // 2
    dtype = torch.promote_types(like.dtype, torch.float32)

    def count(end: int) -> Tensor:
        return torch.arange(end, dtype=dtype, device=like.device)

    waves = 0.5 * 16 ** (count(half).div(2).floor() / max(1, (half - 1) // 2))
    phase = count(half) % 2 * (math.pi / 2)

    def profile(cells: int) -> Tensor:
        place = (count(cells) + 0.5) / cells
        return torch.sin(2 * math.pi * waves[:, None] * place + phase[:, None])  # (half, cells)

    rows = profile(height)[:, :, None].expand(-1, -1, width)
    cols = profile(width)[:, None, :].expand(-1, height, -1)
    return torch.cat((rows, cols))[:channels].to(like.dtype)


def to_grid(maps: Tensor, grid: int) -> Tensor:
    """Area average of maps (M, C, H, W) over a grid x grid, as they are if they have that size."""
    if maps.shape[-2:] == (grid, grid):
        return maps
    rows, cols = (shares(cells, grid, maps) * (grid / cells) for cells in maps.shape[-2:])
    x = torch.einsum("hg,mhwc->mgwc", rows, maps.movedim(1, -1))  # quick where channels are last
    return (cols.t() @ x).movedim(-1, 1)  # (M, C, grid, grid)
