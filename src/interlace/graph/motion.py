"""Motion: how far each node went since the last frame, alone and beside the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.graph.position import waves
from interlace.graph.regions.regions import Regions
from interlace.graph.state import carried


class Motion(nn.Module):
    """The step of a node's centre since the last frame, to be added to its node.

        d_t = scale * clamp(c_t - c_{t-1}, -reach, reach)
        m_t = W mass_t mass_{t-1} [d_t | sin and cos of d_t]

    A thing moves by some hundredths of a frame from one frame to the next. A recurrent cell would
    have to find, unasked, so small a difference of two codes of places; scaled to about 1, it is
    told. Zero at the start of a stream, and where the node had no content in one of the two frames.
    Computed in float32 also under autocast.

    Args:
        width: D.
        scale: that makes a usual step about 1.
        reach: longer steps are cut to this fraction of the frame: a node that jumps to another
            thing is no motion.
        waves: periods of the sines in a scaled step of 1.
    """

    def __init__(
        self,
        width: int,
        *,
        scale: float = 10.0,
        reach: float = 0.25,
        waves: Sequence[float] = (0.125, 0.25, 0.5, 1.0),
    ):
        super().__init__()
        if not scale > 0 or not reach > 0:
            raise ValueError(f"scale and reach must be above 0, got scale={scale}, reach={reach}")
        self.scale = scale
        self.reach = reach
        self.waves = tuple(waves)
        self.linear = nn.Linear(2 + 4 * len(self.waves), width)

    def forward(self, regions: Regions, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Regions of the next frames -> codes (B, T, N, D), state (B, N, 3): place, mass."""
        now = placed(regions)  # (B, T, N, 3)
        known = _with_last(now, carried(state, (len(now), *now.shape[2:]), now))
        with torch.autocast(now.device.type, enabled=False):
            step, seen = _steps(known, self.scale, self.reach)
            code = seen[..., None] * torch.cat((step, waves(step, self.waves)), -1)  # (B, T, N, P)
        return self.linear(code.to(self.linear.weight.dtype)), now[:, -1]

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}, reach={self.reach:g}"


class RelativeMotion(nn.Module):
    """Who moves like whom: for each two nodes, how alike their steps were so far.

        e_ij^s = sum_t decay^age w_t exp(-|d_i - d_j|^2 / 2 s^2) / sum_t decay^age w_t,
        w_t = mass_i mass_j, in this frame and the one before,      for each s of `scales`

    and how much was seen of both, (1 - decay) sum_t decay^age w_t; where that sum is below 0.1,
    e^s is in proportion to it. A message may carry it, as it may carry positions: in one frame two
    of many nodes often move alike by chance, over several they do not. d are the steps of `Motion`;
    a stream carries the sums.

    Convention: e (B, T, N receiver, N sender, E), symmetric, in [0, 1].

    Args:
        scale, reach: as of `Motion`.
        scales: s, of scaled steps.
        decay: of what was seen, per frame.
    """

    def __init__(
        self,
        *,
        scale: float = 10.0,
        reach: float = 0.25,
        scales: Sequence[float] = (0.1, 0.2, 0.4, 0.8),
        decay: float = 0.9,
    ):
        super().__init__()
        if not scale > 0 or not reach > 0:
            raise ValueError(f"scale and reach must be above 0, got scale={scale}, reach={reach}")
        if not 0 < decay < 1:
            raise ValueError(f"decay must be between 0 and 1, got {decay}")
        self.scale = scale
        self.reach = reach
        self.scales = tuple(scales)
        self.decay = decay
        self.out_channels = len(self.scales) + 1

    def forward(self, regions: Regions, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Regions of the next frames -> e; state (B, N, 3 + N E) of places, masses and sums."""
        now = placed(regions)  # (B, T, N, 3)
        count, sums = now.shape[2], now.shape[2] * self.out_channels
        state = carried(state, (len(now), count, 3 + sums), now).to(now.dtype)
        known = _with_last(now, state[..., :3])
        with torch.autocast(now.device.type, enabled=False):
            step, seen = _steps(known, self.scale, self.reach)
            apart = (step[..., :, None, :] - step[..., None, :, :]).square().sum(-1)
            both = seen[..., :, None] * seen[..., None, :]  # (B, T, N, N)
            alike = [both * torch.exp(-apart / (2 * s**2)) for s in self.scales]
            total = state[..., 3:].unflatten(-1, (count, -1))  # (B, N, N, E)
            frames = []
            for fresh in torch.stack((*alike, both), -1).unbind(1):
                total = self.decay * total + fresh
                frames.append(total)
            told = torch.stack(frames, 1)  # (B, T, N, N, E)
            weight = told[..., -1:]
            alike_so_far = told[..., :-1] / weight.clamp(min=LEAST)
            told = torch.cat((alike_so_far, weight * (1 - self.decay)), -1)
        return told, torch.cat((now[:, -1], total.flatten(-2)), -1)

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}, reach={self.reach:g}, decay={self.decay:g}"


LEAST = 0.1  # so much must be seen of two nodes before it is said how alike they move


def placed(regions: Regions) -> Tensor:
    """Where nodes are, and whether there is anything: (B, T, N, 3) of x, y, mass."""
    place = regions.boxes[..., :2]
    mass = torch.ones_like(place[..., 0]) if regions.mass is None else regions.mass
    return torch.cat((place, mass[..., None].to(place.dtype)), -1)


def _with_last(now: Tensor, last: Tensor) -> Tensor:
    """What was known a frame ago (B, N, 3) before what is known now: (B, 1 + T, N, 3)."""
    return torch.cat((last[:, None].to(now.dtype), now), 1)


def _steps(known: Tensor, scale: float, reach: float) -> tuple[Tensor, Tensor]:
    """(B, 1 + T, N, 3) -> scaled steps (B, T, N, 2); how much was seen of each, (B, T, N)."""
    step = known[..., :2].diff(dim=1).clamp(-reach, reach) * scale
    return step, known[:, 1:, :, 2] * known[:, :-1, :, 2]
