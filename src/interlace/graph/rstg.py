"""RSTG: the graph of "Recurrent Space-time Graph Neural Networks" (2019) in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.graph.boxes import grid_boxes, neighbours
from interlace.graph.choices import check_choice, check_unheard
from interlace.graph.position import GaussianPositions
from interlace.graph.readout import ToMap, ToMeanVector, ToVector, ZeroStartNorm
from interlace.graph.recurrence import SCHEDULES, HomogeneousStage, Recurrence, with_past
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
    adjacency: Literal["sparse", "full"] = "sparse",
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
        adjacency: "sparse" joins neighbours in space and regions that intersect, "full" all pairs,
            each node with itself too (appendix C).
        send: the messages; by default `Send(width)`, of two layers (eq. 2), with positions if
            they are asked for.
        gather: how messages to a node are weighted; by default `DotGather(width)` (eq. 4). Others
            are `AdditiveGather`, `SumGather`, `MeanGather`, or several heads.
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
    check_choice("adjacency", adjacency, ("sparse", "full"))
    check_choice("readout", readout, ("map", "vector", "mean-vector"))
    if schedule == "time-only":
        check_unheard(
            "schedule='time-only' has no messages",
            rounds=rounds is not None,
            positional=positional,
            residual=residual,
            adjacency=adjacency != "sparse",
            send=send is not None,
            gather=gather is not None,
            update=update is not None,
        )
    rounds = 3 if rounds is None else rounds
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}; schedule='time-only' has none")
    boxes = grid_boxes(scales)

    def space(edges: Tensor | None) -> SpaceStage:
        updated = Update(width) if update is None else update
        return SpaceStage(
            Send(width, positions=36 if positional else 0) if send is None else send,
            DotGather(width) if gather is None else gather,
            ResidualUpdate(updated) if residual else updated,
            norm=nn.LayerNorm(width),
            adjacency=edges,
        )

    def stage(name: str) -> nn.Module:
        edges = neighbours(boxes) if adjacency == "sparse" else None
        if name == "space":
            return space(edges)
        if name == "both":
            pairs = torch.ones(len(boxes), len(boxes), dtype=torch.bool)
            return HomogeneousStage(space(with_past(pairs if edges is None else edges)))
        if name == "mean":
            return MeanOverTime()
        return TimeStage(width)  # "time" and "final"

    names = SCHEDULES[schedule](rounds)
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
        positions=GaussianPositions() if positional else None,
        branch=ZeroStartNorm(channels) if readout == "map" else None,
    )
