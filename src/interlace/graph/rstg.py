"""RSTG: the graph of "Recurrent Space-time Graph Neural Networks" (2019) in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock, project
from interlace.graph.boxes import grid_boxes, neighbours
from interlace.graph.choices import check_choice, check_unheard
from interlace.graph.first_weights import he_weights
from interlace.graph.motion import Motion, RelativeMotion
from interlace.graph.position import GaussianPositions, WavePositions
from interlace.graph.readout import ToMap, ToMeanVector, ToVector, ZeroStartNorm
from interlace.graph.recurrence import SCHEDULES, HomogeneousStage, Recurrence, with_past
from interlace.graph.regions.sharp import SharpRegions
from interlace.graph.regions.simple import GridRegions
from interlace.graph.space_stage import DotGather, ResidualUpdate, Send, SpaceStage, Update
from interlace.graph.time_stage import MeanOverTime, TimeStage

Schedule = Literal["all-temp", "1-temp", "space-only", "time-only", "homogeneous"]


def RSTG(  # noqa: N802, it builds what the paper calls RSTG
    channels: int,
    *,
    width: int = 512,  # section 3.1
    scales: Sequence[int] = (3, 2, 1),  # section 3.1
    rounds: int | None = None,
    schedule: Schedule = "all-temp",
    positional: bool = False,
    residual: bool = False,
    regions: nn.Module | None = None,
    sharp: bool = False,
    motion: bool | nn.Module = False,
    relative_motion: bool | nn.Module = False,
    time: Literal["replace", "add"] = "replace",
    first_weights: Literal["torch", "he"] = "torch",
    adjacency: Literal["sparse", "full"] | None = None,
    send: nn.Module | None = None,
    gather: nn.Module | None = None,
    update: nn.Module | None = None,
    readout: Literal["map", "vector", "mean-vector"] = "map",
) -> GraphBlock:
    """A recurrent space-time graph over grid regions (RSTG, section 2).

    Args:
        channels: C of the features it is put on.
        width: D of nodes and messages.
        scales: cells a side of the grids.
        rounds: K; by default 3 (section 2.4).
        schedule: "all-temp" runs a time stage before each space stage and a last one with weights
            of its own; "1-temp" only the last; "space-only" averages over time instead;
            "time-only" is the last time stage without messages; "homogeneous" treats the past as
            one more neighbour (section 3.1.1).
        positional: messages carry 6 x 6 pictures of where their two nodes look.
        residual: updates add to the nodes; learns faster from few videos.
        regions: where nodes look; by default `GridRegions(scales)`. Others are `ContentRegions`,
            `ObjectRegions`, `SharpRegions`, or any of DyReg's.
        sharp: whether a node reads what is salient in its region, and is where that is
            (`SharpRegions`), with a saliency of each node's own; for grids.
        motion: whether nodes are told their steps (`Motion`), or a `Motion` with other units.
        relative_motion: whether messages and attention are told how alike their two nodes moved so
            far (`RelativeMotion`), or a `RelativeMotion` with other units.
        time: whether a time stage takes the place of the nodes (the paper), or adds to them.
        first_weights: torch's own, or those of `he_weights`, which learn faster.
        adjacency: "sparse" joins neighbours in space and regions that intersect, "full" all pairs,
            each node with itself too (appendix C). By default sparse on grids, which stay where
            they are, and full else.
        send: the messages; by default `Send(width)`, of two layers (eq. 2), with positions if
            they are asked for.
        gather: how messages to a node are weighted; by default `DotGather(width)` (eq. 4), which
            weighs relative motion, too, where there is any. Others are `AdditiveGather`,
            `SumGather`, `MeanGather`, or several heads.
        update: of the nodes; by default `Update(width)`, of two layers (eq. 5). One set of weights
            for each scale is `Update(width, groups=(9, 4, 1))`.
        readout: "map" adds the nodes to the features through a branch that starts at zero,
            "vector" sums them at the last step, "mean-vector" over all steps.

    Returns:
        A `GraphBlock` from (B, T, C, H, W) to the same ("map") or to (B, D) ("vector").

    Example:
        >>> import torch
        >>> block = RSTG(64, width=32, readout="vector")
        >>> block(torch.randn(2, 8, 64, 14, 14)).shape
        torch.Size([2, 32])
    """
    check_choice("schedule", schedule, SCHEDULES)
    check_choice("time", time, ("replace", "add"))
    check_choice("first_weights", first_weights, ("torch", "he"))
    if adjacency is not None:
        check_choice("adjacency", adjacency, ("sparse", "full"))
    check_choice("readout", readout, ("map", "vector", "mean-vector"))
    if schedule == "time-only":
        check_unheard(
            "schedule='time-only' has no messages",
            rounds=rounds is not None,
            positional=positional,
            relative_motion=relative_motion is not False,
            residual=residual,
            adjacency=adjacency is not None,
            send=send is not None,
            gather=gather is not None,
            update=update is not None,
        )
    if schedule in ("space-only", "homogeneous"):
        check_unheard(f"schedule={schedule!r} has no time stage", time=time != "replace")
    rounds = 3 if rounds is None else rounds
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}; schedule='time-only' has none")
    if regions is None:
        regions, boxes = GridRegions(scales), grid_boxes(scales)
        adjacency = adjacency or "sparse"
        regions = SharpRegions(regions, channels, len(boxes)) if sharp else regions
    elif tuple(scales) != (3, 2, 1):
        raise ValueError("scales are those of a grid: leave them out, or regions")
    elif sharp:
        raise ValueError("sharp=True is for grids: give regions=SharpRegions(...) instead")
    elif adjacency == "sparse":
        raise ValueError("adjacency='sparse' is for grids: other regions move, leave it out")
    else:
        boxes = None

    relations: Any = RelativeMotion() if relative_motion is True else relative_motion or None
    pairs = 0 if relations is None else relations.out_channels

    def space(edges: Tensor | None) -> SpaceStage:
        updated = Update(width) if update is None else update
        return SpaceStage(
            Send(width, positions=36 if positional else 0, relations=pairs)
            if send is None
            else send,
            DotGather(width, relations=pairs) if gather is None else gather,
            ResidualUpdate(updated) if residual else updated,
            norm=nn.LayerNorm(width),
            adjacency=edges,
        )

    def stage(name: str) -> nn.Module:
        edges = neighbours(boxes) if boxes is not None and adjacency == "sparse" else None
        if name == "space":
            return space(edges)
        if name == "both":
            if boxes is None or relations is not None:
                raise ValueError(
                    "schedule='homogeneous' is for grids: leave out regions and relative_motion"
                )
            everyone = torch.ones(len(boxes), len(boxes), dtype=torch.bool)
            return HomogeneousStage(space(with_past(everyone if edges is None else edges)))
        if name == "mean":
            return MeanOverTime()
        norm = nn.LayerNorm(width) if time == "add" and name == "time" else None
        return TimeStage(width, residual=time == "add", norm=norm)  # "time" and "final"

    names = SCHEDULES[schedule](rounds)
    block = GraphBlock(
        channels,
        channels if readout == "map" else width,
        regions=regions,
        recurrence=Recurrence({name: stage(name) for name in dict.fromkeys(names)}, names),
        readout={"map": ToMap, "vector": ToVector, "mean-vector": ToMeanVector}[readout](),
        project=project(channels, width, normed=not isinstance(regions, GridRegions)),
        project_back=nn.Linear(width, channels)
        if readout == "map" and channels != width
        else nn.Identity(),
        norm=nn.LayerNorm(width),
        positions=GaussianPositions() if positional else None,
        where=_where(regions, width),
        motion=Motion(width) if motion is True else motion or None,
        relations=relations,
        branch=ZeroStartNorm(channels) if readout == "map" else None,
    )
    if first_weights == "he":
        he_weights(block)
    return block


def _where(regions: nn.Module, width: int) -> nn.Module | None:
    """Nodes of a grid know who they are by what they read; those that move are told."""
    if isinstance(regions, GridRegions):
        return None
    return WavePositions(width, identities=getattr(regions, "identities", 0))
