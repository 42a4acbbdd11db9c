"""Motion: how far each node went since the last frame, in units that matter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.graph.position import waves
from interlace.graph.regions.regions import Regions
from interlace.graph.state import carried


class Motion(nn.Module):
    """The step of a node's centre since the last frame, to be added to its node.

        d_t = scale * clamp(c_t - c_{t-1}, -reach, reach) * mass_t * mass_{t-1}
        m_t = W [d_t | sin and cos of d_t]

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
        """Regions of the next frames -> codes (B, T, N, D); state (B, N, 3): last place, mass."""
        place = regions.boxes[..., :2]  # (B, T, N, 2)
        mass = torch.ones_like(place[..., 0]) if regions.mass is None else regions.mass
        now = torch.cat((place, mass[..., None].to(place.dtype)), -1)  # (B, T, N, 3)
        state = carried(state, (len(now), *now.shape[2:]), now)
        before = torch.cat((state.to(now.dtype)[:, None], now[:, :-1]), 1)
        with torch.autocast(now.device.type, enabled=False):
            seen = now[..., 2:] * before[..., 2:]
            step = (place - before[..., :2]).clamp(-self.reach, self.reach) * seen * self.scale
            code = torch.cat((step, waves(step, self.waves)), -1)
        return self.linear(code.to(self.linear.weight.dtype)), now[:, -1]

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}, reach={self.reach:g}"
