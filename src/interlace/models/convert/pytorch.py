"""The graph of the authors' PyTorch program (DyReg-GNN)."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal

import torch
from torch import nn

from interlace.graph.block import GraphBlock
from interlace.graph.position import KernelPositions
from interlace.graph.readout import ToMap
from interlace.graph.recurrence import SCHEDULES, Recurrence
from interlace.graph.regions.dynamic import DynamicRegions
from interlace.graph.space_stage import AddUpdate, Send, SpaceStage, Update
from interlace.graph.time_stage import TimeStage
from interlace.models.convert.region_variants import (
    CellOffsets,
    FrameNormBranch,
    NormedMemory,
    NormedSaliency,
    ProjectedGraph,
    SoftAssignView,
    WholeMapView,
    frame_norm,
)
from interlace.models.convert.tensors import Arrays, Tensors, fill
from interlace.models.convert.variants import AllPairsDotGather, JointNorm, NormedSend, SumSend

# How names begin in our modules -> in the program, whose norms have a scale for a weight
_SPACE = "recurrence.stages.space"
_RSTG = {
    "norm": "norm_dict.before_graph_norm",
    "recurrence.stages.time.cell": "internal_lstm",
    "recurrence.stages.final.cell": "external_lstm",
    f"{_SPACE}.send.norm": "norm_dict.send_message_norm",
    f"{_SPACE}.send.send.first": "send_mlp.0",
    f"{_SPACE}.send.send.sender": "send_mlp.0.sender",
    f"{_SPACE}.send.send.receiver": "send_mlp.0.receiver",
    **{f"{_SPACE}.send.send.deeper.{k}": f"send_mlp.{2 * k + 2}" for k in range(4)},
    f"{_SPACE}.gather.query": "att_q",
    f"{_SPACE}.gather.key": "att_k",
    f"{_SPACE}.gather.bias": "att_bias",
    **{f"{_SPACE}.update.mlps.0.{k}": f"update_mlp.{2 * k}" for k in range(4)},
    f"{_SPACE}.norm": "norm_dict.update_norm",
}
_DYREG = {
    **{ours: f"rstg.{theirs}" for ours, theirs in _RSTG.items()},
    "where.linear": "kernel_projection1",
    "regions.offsets.linear": "offset_pred",
    "regions.offsets.alpha": "offset_alpha",
    "regions.memory.before": "norm_dict.offset_ln_feats_coords",
    "regions.memory.memory.cell": "offset_lstm",
    "regions.memory.after": "norm_dict.offset_ln_lstm",
    "regions.view.weigh": "glore.mask_conv",
    "regions.view.positions": "glore.sin_pos_emb_proj",
    "regions.view.linear": "glore.update",
    "regions.view.conv": "global_conv.0",
    "regions.saliency.layers.0": "fishnet.conv1",
    "regions.saliency.layers.1": "fishnet.tail_conv.0",
    "regions.saliency.layers.2": "fishnet.tail_conv.1",
    "regions.saliency.layers.3": "fishnet.body_trans_conv.0",
    "regions.saliency.layers.4": "fishnet.head_conv.0",
    "regions.saliency.norms.0": "fishnet.norm_dict.norm1",
    "regions.saliency.norms.1": "fishnet.norm_dict.tail_norm_0",
    "regions.saliency.norms.2": "fishnet.norm_dict.tail_norm_1",
    "regions.saliency.norms.3": "fishnet.norm_dict.body_trans_norm_0",
    "regions.saliency.norms.4": "fishnet.norm_dict.head_norm_0",
}
_OUTSIDE = {
    "branch.norm": "norm_dict.residual_norm",
    "project.0": "project_i3d_linear",
    "project.1": "norm_dict.dynamic_graph_projection",
    "project_back": "project_back_i3d_linear",
}
_NAMES = {**_OUTSIDE, **_DYREG, **{f"block.{ours}": theirs for ours, theirs in _DYREG.items()}}


def rstg_from_pytorch(tensors: Arrays, *, rounds: int = 3) -> nn.Module:
    """The graph of the authors' PyTorch program: nodes (B, T, N, C) -> (nodes, state, attention).

    Widths, cells and layers follow from the tensors, and whether a pair is summed or concatenated.

    Args:
        tensors: name -> array, of a released checkpoint or of their program.
        rounds: K.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that the graph does not use.
    """
    held = _read(tensors)
    norm, recurrence = _rstg(held, "", rounds)
    return fill(nn.Sequential(OrderedDict(norm=norm, recurrence=recurrence)), held, _RSTG)


def dyreg_from_pytorch(tensors: Arrays, *, rounds: int = 3) -> nn.Module:
    """The dynamic graph of the authors' PyTorch program, with the face of a `GraphBlock`.

    Nodes, widths, the size of the map, the kind of offset generator, projections and the residual
    branch follow from the tensors; a block with a branch adds its map to the features, one without
    returns it bare.

    Args:
        tensors: name -> array, of a released checkpoint or of their program.
        rounds: K.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that the graph does not use.
    """
    held = _read(tensors)
    norm, recurrence = _rstg(held, "rstg.", rounds)
    width, cells = len(held["kernel_projection1.weight"]), map_side(held)
    projects = "project_i3d_linear.weight" in held
    outside = held["project_i3d_linear.weight"].shape[1] if projects else width
    branch = FrameNormBranch(outside) if "norm_dict.residual_norm.weight" in held else None
    block: nn.Module = GraphBlock(
        width,
        width,
        regions=_regions(held, width, cells),
        recurrence=recurrence,
        readout=ToMap(),
        project=nn.Identity(),
        project_back=nn.Identity(),
        norm=norm,
        where=KernelPositions(width, grid=cells),
        branch=None if projects else branch,
    )
    if projects:
        project = nn.Sequential(nn.Conv2d(outside, width, 1), frame_norm(width))
        block = ProjectedGraph(project, block, nn.Conv2d(width, outside, 1), branch=branch)
    return fill(block, held, _NAMES)


def map_side(tensors: Arrays) -> int:
    """Cells a side of the maps that a dynamic graph takes, and no others."""
    position = next((v for name, v in tensors.items() if "kernel_projection1.w" in name), None)
    if position is None:
        raise KeyError("the checkpoint lacks kernel_projection1.weight of a graph")
    return math.isqrt(position.shape[1])


def _read(tensors: Arrays) -> Tensors:
    """Without what their program makes and does not use, and alike with and without a branch."""
    return Tensors(
        {
            name.removeprefix("dynamic_graph.").replace(".scale", ".weight"): torch.as_tensor(value)
            for name, value in tensors.items()
            if "offset_location_emb" not in name
        }
    )


def _rstg(held: Tensors, at: str, rounds: int) -> tuple[JointNorm, Recurrence]:
    """An empty graph of the shapes that stand under names that begin so."""
    gates, width = held[f"{at}internal_lstm.weight_hh_l0"].shape
    cell = _cell(gates, width)
    send_layers, update_layers = (
        sum(name.startswith(f"{at}{mlp}.") and name.endswith("weight") for name in held)
        for mlp in ("send_mlp", "update_mlp")
    )
    send: nn.Module
    if held[f"{at}send_mlp.0.weight"].shape[1] == width:
        send = SumSend(width)
    else:  # [W_s | W_r] on [v_j | v_i] -> its two parts
        send = Send(width, layers=send_layers)
        sender, receiver = held.take(f"{at}send_mlp.0.weight").chunk(2, dim=1)
        held[f"{at}send_mlp.0.sender.weight"] = sender
        held[f"{at}send_mlp.0.receiver.weight"] = receiver
        held[f"{at}send_mlp.0.sender.bias"] = held.take(f"{at}send_mlp.0.bias")
    space = SpaceStage(
        NormedSend(send, JointNorm(width)),
        AllPairsDotGather(width),
        Update(width, layers=update_layers) if update_layers else AddUpdate(),
        norm=JointNorm(width),
    )
    stages = {
        "time": TimeStage(width, cell=cell),
        "space": space,
        "final": TimeStage(width, cell=cell),
    }
    return JointNorm(width), Recurrence(stages, SCHEDULES["all-temp"](rounds))


def _regions(held: Tensors, width: int, cells: int) -> DynamicRegions:
    inner = held["offset_pred.weight"].shape[1]  # P
    saliency: nn.Module = nn.Identity()
    if "glore.mask_conv.weight" in held:
        nodes = len(held["glore.mask_conv.weight"])
        view: nn.Module = SoftAssignView(width, nodes, inner)
    else:
        outer, channels, side, _ = held["global_conv.0.weight"].shape  # (N * P, 16, H', W')
        nodes = outer // inner
        saliency, view = NormedSaliency(width, cells), WholeMapView(channels, side, nodes, inner)
    memory = TimeStage(inner, cell=_cell(len(held["offset_lstm.weight_hh_l0"]), inner))
    return DynamicRegions(
        saliency,
        view,
        NormedMemory(JointNorm(inner), memory, JointNorm(inner)),
        CellOffsets(inner, nodes=nodes, cells=cells),
    )


def _cell(gates: int, width: int) -> Literal["lstm", "gru"]:
    return "gru" if gates == 3 * width else "lstm"
