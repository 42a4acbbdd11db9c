"""DyReg: the graph of "Discovering Dynamic Salient Regions ... " (2021) in one call."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from interlace.graph.block import GraphBlock, project
from interlace.graph.choices import check_choice, check_unheard
from interlace.graph.first_weights import he_weights
from interlace.graph.motion import Motion, RelativeMotion
from interlace.graph.position import KernelPositions, WavePositions
from interlace.graph.readout import ToMap, ToMeanVector, ToVector, ZeroStartNorm
from interlace.graph.recurrence import SCHEDULES, Recurrence
from interlace.graph.regions.attention import KeypointRegions, SemanticRegions
from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.dynamic import ConstantRegions, DynamicRegions
from interlace.graph.regions.objects import ObjectRegions
from interlace.graph.regions.sharp import SharpRegions
from interlace.graph.regions.simple import FixedRegions, GivenRegions, StaticRegions
from interlace.graph.space_stage import AddUpdate, DotGather, Send, SpaceStage, TakeUpdate
from interlace.graph.time_stage import TimeStage

RegionKind = Literal[
    "dynamic",
    "light",
    "constant",
    "static",
    "fixed",
    "semantic",
    "keypoints",
    "given",
    "content",
    "objects",
]


def DyReg(  # noqa: N802, it builds what the paper calls DyReg-GNN
    channels: int,
    *,
    nodes: int | None = None,
    width: int | None = None,
    rounds: int = 3,  # section 3.3
    regions: RegionKind | nn.Module = "dynamic",
    sharp: bool = False,
    motion: bool | nn.Module = False,
    relative_motion: bool | nn.Module = False,
    residual: bool = True,
    time: Literal["replace", "add"] = "replace",
    first_weights: Literal["torch", "he"] = "torch",
    readout: Literal["map", "vector", "mean-vector"] = "map",
) -> GraphBlock:
    """A recurrent space-time graph over regions that are predicted from the video.

    DyReg-GNN, section 3, and what section 4.2 and appendix E compare it with.

    Args:
        channels: C of the features it is put on.
        nodes: N; more than there are objects (table 7). By default 9 (section 3.1).
        width: D of nodes and messages; by default C, 256 at most, as in the released model.
        rounds: K.
        regions: "dynamic" predicts boxes for each frame, "light" with fewer weights (DyReg-GNN-
            Lite); "constant" once a clip, "static" learns them once for all, "fixed" does not
            learn them; "semantic" and "keypoints" read them off attention maps; "given" takes
            them as an argument of the call. Or a module: one of these with options of its own,
            e.g. `DynamicRegions.of(channels, learn_size=False)`, or yours. Beyond the paper,
            "content" looks for a kind of content with each node, "objects" follows an object with
            each: both know when there is none, and such nodes are silent.
        sharp: whether a node reads what is salient in its region, and is where that is
            (`SharpRegions`), with a saliency of each node's own.
        motion: whether nodes are told their steps (`Motion`), or a `Motion` with other units.
        relative_motion: whether messages are told how alike their two nodes moved so far
            (`RelativeMotion`), or a `RelativeMotion` with other units.
        residual: a node adds what it hears to itself, as in the authors' program; without, eq. 8
            to the letter, it becomes what it hears.
        time: whether a time stage takes the place of the nodes (the paper), or adds to them.
        first_weights: torch's own, or those of `he_weights`, which learn faster.
        readout: "map" adds the nodes to the features through a branch that starts at zero,
            "vector" sums them at the last step, "mean-vector" over all steps.

    Returns:
        A `GraphBlock` from (B, T, C, H, W) to the same ("map") or to (B, D) ("vector").

    Example:
        >>> import torch
        >>> block = DyReg(64, nodes=5)
        >>> features = torch.randn(2, 8, 64, 14, 14)
        >>> out, trace = block(features, return_trace=True)
        >>> trace.boxes.shape, trace.boxes[0, 0, 0].tolist()  # in the middle, until it has learnt
        (torch.Size([2, 8, 5, 4]), [0.5, 0.5, 0.1666666716337204, 0.1666666716337204])
    """
    check_choice("readout", readout, ("map", "vector", "mean-vector"))
    check_choice("time", time, ("replace", "add"))
    check_choice("first_weights", first_weights, ("torch", "he"))
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    width = min(channels, 256) if width is None else width
    if isinstance(regions, str):
        regions = _regions(regions, channels, 9 if nodes is None else nodes)
    elif not isinstance(regions, nn.Module):
        raise ValueError(
            f"regions must be a module that gives boxes, or one of {', '.join(RegionKind.__args__)}"
            f", got {regions!r}"
        )
    else:
        why = f"regions={type(regions).__name__}(...) says itself how many nodes there are"
        check_unheard(why, nodes=nodes is not None and not sharp)
    bound = isinstance(regions, ContentRegions | ObjectRegions)
    if sharp:
        check_unheard("nodes that are bound to content are sharp already", sharp=bound)
        regions = SharpRegions(regions, channels, 9 if nodes is None else nodes)
    where: nn.Module = KernelPositions(width)
    if bound:  # places are exact, of which a picture would tell little
        where = WavePositions(width, identities=getattr(regions, "identities", 0))
    relations: Any = RelativeMotion() if relative_motion is True else relative_motion or None
    pairs = 0 if relations is None else relations.out_channels
    names = SCHEDULES["all-temp"](rounds)
    stages = {
        "time": TimeStage(
            width,
            cell="gru",
            residual=time == "add",
            norm=nn.LayerNorm(width) if time == "add" else None,
        ),
        "space": SpaceStage(
            Send(width, relations=pairs),
            DotGather(width, relations=pairs),
            AddUpdate() if residual else TakeUpdate(),
            norm=nn.LayerNorm(width),
        ),
        "final": TimeStage(width, cell="gru", residual=time == "add"),
    }
    to_map = readout == "map"
    block = GraphBlock(
        channels,
        channels if to_map else width,
        regions=regions,
        recurrence=Recurrence(stages, names),
        readout={"map": ToMap, "vector": ToVector, "mean-vector": ToMeanVector}[readout](),
        project=project(channels, width, normed=bound),
        project_back=nn.Linear(width, channels) if to_map and channels != width else nn.Identity(),
        norm=nn.LayerNorm(width),
        where=where,
        motion=Motion(width) if motion is True else motion or None,
        relations=relations,
        branch=ZeroStartNorm(channels) if to_map else None,
    )
    if first_weights == "he":
        he_weights(block)
    return block


def _regions(kind: RegionKind, channels: int, nodes: int) -> nn.Module:
    check_choice("regions", kind, RegionKind.__args__)  # type: ignore[attr-defined]
    if kind in ("dynamic", "light"):
        return DynamicRegions.of(channels, nodes, light=kind == "light")
    if kind == "constant":
        return ConstantRegions.of(channels, nodes)
    reading = {
        "semantic": SemanticRegions,
        "keypoints": KeypointRegions,
        "content": ContentRegions,
        "objects": ObjectRegions,
    }
    if kind in reading:
        return reading[kind](channels, nodes)
    return {"static": StaticRegions, "fixed": FixedRegions, "given": GivenRegions}[kind](nodes)
