"""RSTG: the graph of "Recurrent Space-time Graph Neural Networks" (2019) in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock, ZeroStartNorm
from interlace.graph.boxes import grid_boxes, neighbours
from interlace.graph.choices import check_choice
from interlace.graph.position import GaussianPositions
from interlace.graph.readout import ToMap, ToMeanVector, ToVector
from interlace.graph.recurrence import SCHEDULES, HomogeneousStage, Recurrence, with_past
from interlace.graph.regions.simple import GridRegions
from interlace.graph.space_stage import (
    AdditiveGather,
    DotGather,
    MeanGather,
    ResidualUpdate,
    Send,
    SpaceStage,
    SumGather,
    Update,
)
from interlace.graph.time_stage import MeanOverTime, TimeStage

Schedule = Literal["all-temp", "1-temp", "space-only", "time-only", "homogeneous"]
Gather = Literal["dot", "additive", "sum", "mean"]


def RSTG(  # noqa: N802, it builds what the paper calls RSTG
    channels: int,
    *,
    width: int = 512,  # section 3.1
    scales: Sequence[int] = (3, 2, 1),  # section 3.1
    rounds: int = 3,  # section 2.4
    schedule: Schedule = "all-temp",
    cell: Literal["lstm", "gru"] = "lstm",
    gather: Gather = "dot",
    heads: int = 1,
    positional: bool = False,
    send_layers: int = 2,  # eq. 2
    update_layers: int = 2,
    update_per_scale: bool = False,
    residual: bool = False,
    adjacency: Literal["sparse", "full"] = "sparse",
    readout: Literal["map", "vector", "mean-vector"] = "map",
) -> GraphBlock:
    """A recurrent space-time graph over grid regions (RSTG, section 2).

    Args:
        channels: C of the features it is put on.
        width: D of nodes and messages.
        scales: cells a side of the grids.
        rounds: K.
        schedule: "all-temp" runs a time stage before each space stage and a last one with weights
            of its own; "1-temp" only the last; "space-only" averages over time instead;
            "time-only" is the last time stage without messages; "homogeneous" treats the past as
            one more neighbour (section 3.1.1).
        cell: what time stages are.
        gather: how messages to a node are weighted: by attention (dot product or additive), not at
            all (sum), or by their number (mean).
        heads: of the attention.
        positional: messages carry 6 x 6 pictures of where their two nodes look.
        send_layers: of the message MLP.
        update_layers: of the update MLP.
        update_per_scale: one update MLP for each scale, else one for all nodes.
        residual: updates add to the nodes; learns faster from few videos.
        adjacency: "sparse" joins neighbours in space and regions that intersect, "full" all pairs,
            each node with itself too (appendix C).
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
    check_choice("adjacency", adjacency, ("sparse", "full"))
    check_choice("readout", readout, ("map", "vector", "mean-vector"))
    check_choice("gather", gather, ("dot", "additive", "sum", "mean"))
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}; schedule='time-only' has none")
    if heads != 1 and gather in ("sum", "mean"):
        raise ValueError(f"gather={gather!r} has no attention: heads must be 1, got {heads}")
    boxes = grid_boxes(scales)
    edges = neighbours(boxes) if adjacency == "sparse" else None

    def space(edges: Tensor | None, groups: list[int] | None) -> SpaceStage:
        update = Update(width, layers=update_layers, groups=groups)
        return SpaceStage(
            Send(width, layers=send_layers, positions=36 if positional else 0),
            _gather(gather, width, heads),
            ResidualUpdate(update) if residual else update,
            norm=nn.LayerNorm(width),
            adjacency=edges,
        )

    def stage(name: str) -> nn.Module:
        groups = [s * s for s in scales] if update_per_scale else None
        if name == "space":
            return space(edges, groups)
        if name == "both":
            pairs = torch.ones(len(boxes), len(boxes), dtype=torch.bool)
            joined = with_past(pairs if edges is None else edges)
            return HomogeneousStage(space(joined, groups))
        if name == "mean":
            return MeanOverTime()
        return TimeStage(width, cell=cell)  # "time" and "final"

    names = SCHEDULES[schedule](rounds)
    sends = positional and schedule != "time-only"
    return GraphBlock(
        channels,
        channels if readout == "map" else width,
        regions=GridRegions(scales),
        recurrence=Recurrence({name: stage(name) for name in dict.fromkeys(names)}, names),
        readout={"map": ToMap, "vector": ToVector, "mean-vector": ToMeanVector}[readout](),
        project=nn.Identity() if channels == width else nn.Linear(channels, width),
        project_back=nn.Linear(width, channels)
        if readout == "map" and channels != width
        else nn.Identity(),
        norm=nn.LayerNorm(width),
        positions=GaussianPositions() if sends else None,
        branch=ZeroStartNorm(channels) if readout == "map" else None,
    )


def _gather(name: Gather, width: int, heads: int) -> nn.Module:
    if name in ("sum", "mean"):
        return SumGather() if name == "sum" else MeanGather()
    return (DotGather if name == "dot" else AdditiveGather)(width, heads=heads)
