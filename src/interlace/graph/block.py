"""GraphBlock: features -> nodes -> recurrence in space and time -> features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interlace.graph.fast.remap import add_remapped, remap_suits
from interlace.graph.kernels import pool
from interlace.graph.recurrence import Recurrence
from interlace.graph.regions.offsets import Offsets
from interlace.graph.regions.regions import Regions
from interlace.graph.space_stage import weighed
from interlace.graph.state import GraphState
from interlace.graph.trace import Trace


class GraphBlock(nn.Module):
    """A graph over features of any backbone: pool, think in space and time, give back.

    Holds no state: what a stream must remember goes in and comes out.

    Args:
        channels: C of the features.
        out_channels: C' of what comes out.
        regions: where nodes look, e.g. `GridRegions`.
        recurrence: what nodes do, over width D.
        readout: `ToMap`, `ToVector` or `ToMeanVector`.
        project: (.., C) -> (.., D) on nodes.
        project_back: (.., D) -> (.., C') on nodes.
        norm: on the nodes before the first stage.
        positions: regions -> codes (..., N, P) that nodes send along; None for none.
        where: regions -> (..., N, D), added to the nodes before the norm; None for nothing.
        motion: regions, state -> (B, T, N, D), state, added too, e.g. `Motion`; None for nothing.
        relations: regions, state -> (B, T, N, N, E), state, that messages carry, e.g.
            `RelativeMotion`; None for none.
        branch: on the map before it is added to the features; None returns the bare readout.

    Example:
        >>> import torch, interlace
        >>> block = interlace.RSTG(64, width=32)
        >>> features = torch.randn(2, 8, 64, 14, 14)    # (B, T, C, H, W) of any backbone
        >>> bool((block(features) == features).all())   # a fresh block changes nothing
        True
        >>> _, state = block(features[:, :5], return_state=True)
        >>> last = block(features[:, 5:], state)        # a stream goes on where it was
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        *,
        regions: nn.Module,
        recurrence: Recurrence,
        readout: nn.Module,
        project: nn.Module,
        project_back: nn.Module,
        norm: nn.Module,
        positions: nn.Module | None = None,
        where: nn.Module | None = None,
        motion: nn.Module | None = None,
        relations: nn.Module | None = None,
        branch: nn.Module | None = None,
    ):
        super().__init__()
        self.channels = channels
        self.out_channels = out_channels
        self.regions: Any = regions
        self.project = project
        self.norm = norm
        self.positions = positions
        self.where = where
        self.motion = motion
        self.relations = relations
        self.recurrence = recurrence
        self.project_back = project_back
        self.readout = readout
        self.branch: Any = branch

    @property
    def needs_boxes(self) -> bool:
        """Whether its regions are told where to look: then pass `boxes`."""
        return getattr(self.regions, "needs_boxes", False)

    def forward(
        self,
        features: Tensor,
        state: GraphState | None = None,
        *,
        boxes: Tensor | None = None,
        every_frame: bool = False,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """Run the graph over a clip, or over the next frames of a stream.

        Args:
            features: (B, T, C, H, W), any T, H, W. A NaN is not hidden: all that comes out
                for its frame and the later ones of the clip is NaN.
            state: what the same block returned for the frames before; None starts a stream.
            boxes: (B, T, M, 4), only for regions that need them, e.g. `GivenRegions`.
            every_frame: the vector as it is after each frame, (B, T, D), not the last alone.
            return_state: also return the state.
            return_trace: also return a `Trace`.

        Returns:
            The readout: features (B, T, C, H, W) for `ToMap`, a vector (B, D) for `ToVector`.
            With return_state or return_trace a tuple: the readout, then the state, then the trace.

        Raises:
            ValueError: if the features have another shape or number of channels.
        """
        _check(features, self.channels)
        if boxes is not None and not self.needs_boxes:
            raise ValueError(
                "boxes are for a graph that is told where to look, e.g. DyReg(..., "
                f"regions='given'); this one has {type(self.regions).__name__}"
            )
        if state is not None and len(state) != len(GraphState._fields):
            raise ValueError(
                f"state must be what this block returned with return_state=True, got {len(state)} "
                f"parts instead of {len(GraphState._fields)}"
            )
        offsets, inner, outer, moved, related = state or (None,) * 5
        given = (boxes,) if self.needs_boxes else ()

        regions, offsets = self.regions(features, offsets, *given)
        each = regions._replace(boxes=regions.boxes.expand(*features.shape[:2], -1, -1))
        nodes = self.project(pool(features, regions.pool))  # (B, T, N, D)
        if self.where is not None:
            nodes = nodes + self.where(regions).to(nodes.dtype)
        if self.motion is not None:
            told, moved = self.motion(each, moved)
            nodes = nodes + told.to(nodes.dtype)
        nodes = self.norm(nodes)
        positions = None if self.positions is None else self.positions(regions)
        relations = None
        if self.relations is not None:
            relations, related = self.relations(each, related)
        if regions.mass is not None:  # a node without content is silent
            nodes = weighed(nodes, regions.mass)
        nodes, inner, attention = self.recurrence(nodes, inner, positions, regions.mass, relations)
        if regions.mass is not None:
            nodes = weighed(nodes, regions.mass)
        given_back = self.project_back(nodes)
        if remap_suits(features, self.readout, self.branch):
            out = add_remapped(features, given_back, regions.remap, self.branch)
        else:
            frames = (True,) if every_frame else ()
            out, outer = self.readout(given_back, outer, regions.remap, *frames)
            if self.branch is not None:
                out = features + self.branch(out)
        if not return_state and not return_trace:
            return out
        results: list[Any] = [out]
        if return_state:
            results.append(GraphState(offsets, inner, outer, moved, related))
        if return_trace:
            results.append(_trace(regions, attention, nodes))
        return tuple(results)


def project(channels: int, width: int, *, normed: bool) -> nn.Module:
    """What nodes read (.., C) as nodes (.., D).

    Args:
        channels: C.
        width: D.
        normed: for nodes that are told where they are and how they move, which the size of what
            they read must not drown.
    """
    if normed:
        return nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
    return nn.Identity() if channels == width else nn.Linear(channels, width)


def region_weights(model: nn.Module) -> list[nn.Parameter]:
    """What predicts the regions of all graphs of a model: all but gamma (DyReg-GNN, eq. 11).

    It wants a lower rate than the rest. A graph cannot learn from regions that jump. And gamma
    starts at zero and hides it: SGD then takes small steps behind it, but Adam, which divides
    gradients by their size, takes steps as large as anywhere, in directions that mean little, and
    gamma finds none that lasts.
    """
    modules = list(model.modules())
    gammas = {id(m.gamma) for m in modules if isinstance(m, Offsets)}
    blocks = [m for m in modules if isinstance(m, GraphBlock)]
    return [p for block in blocks for p in block.regions.parameters() if id(p) not in gammas]


def _check(features: Tensor, channels: int) -> None:
    if features.dim() != 5:
        hint = "; for per-frame maps use x.unflatten(0, (B, T))" if features.dim() == 4 else ""
        raise ValueError(f"features must be (B, T, C, H, W), got {tuple(features.shape)}{hint}")
    if features.shape[2] != channels:
        raise ValueError(
            f"this graph was built for {channels} channels, got features of {features.shape[2]}: "
            f"(B, T, C, H, W) = {tuple(features.shape)}"
        )
    if 0 in features.shape:
        raise ValueError(f"features must not be empty, got {tuple(features.shape)}")


def _trace(regions: Regions, attention: list[Tensor], nodes: Tensor) -> Trace:
    batch, frames, count, _ = nodes.shape
    if attention:
        weights = torch.stack(attention, dim=2)  # (B, T, K, heads, N, N)
    else:
        weights = nodes.new_zeros(batch, frames, 0, 1, count, count)
    mass = torch.ones_like(regions.boxes[..., 0]) if regions.mass is None else regions.mass
    return Trace(
        boxes=regions.boxes.detach().float().expand(batch, frames, -1, -1),
        kernels=regions.pool.dense().detach().float().expand(batch, frames, -1, -1, -1),
        attention=weights.detach().float(),
        nodes=nodes.detach().float(),
        mass=mass.detach().float().expand(batch, frames, -1),
    )
