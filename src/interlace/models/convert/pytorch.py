"""The graph of the authors' PyTorch program (DyReg-GNN)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.graph.readout import ToMap
from interlace.graph.recurrence import SCHEDULES, Recurrence
from interlace.graph.regions.dynamic import DynamicRegions
from interlace.graph.space_stage import MeanGather, Send, SpaceStage, Update
from interlace.graph.state import State
from interlace.graph.time_stage import TimeStage
from interlace.models.convert.norm import JointNorm
from interlace.models.convert.region_variants import (
    CellKernelPositions,
    CellOffsets,
    FrameNormBranch,
    NormedMemory,
    NormedSaliency,
    ProjectedGraph,
    SoftAssignView,
    WholeMapView,
    frame_norm,
)
from interlace.models.convert.tensors import Arrays, Tensors, fill, fill_send
from interlace.models.convert.variants import (
    AllPairsDotGather,
    NormedSend,
    PlainUpdate,
    SumSend,
)


def rstg_from_pytorch(
    tensors: Arrays,
    *,
    rounds: int,
    cell: Literal["lstm", "gru"],
    combine: Literal["sum", "concat"],
    gather: Literal["dot", "mean"],
    send_layers: int,
    update_layers: int,
) -> nn.Module:
    """The graph of the authors' PyTorch program: nodes (B, T, N, C) -> (nodes, state, attention).

    Args:
        tensors: name -> array, `fill`ed or from a released checkpoint.
        rounds: K.
        cell: of both recurrences.
        combine: how a pair is joined, for messages and for updates.
        gather: attention over all nodes, or the mean of their messages.
        send_layers: of the message MLP.
        update_layers: of the update MLP; 0 for none.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this configuration does not use.
    """
    held = Tensors(tensors)
    width = held.left["internal_lstm.weight_hh_l0"].shape[1]

    def norm(name: str) -> JointNorm:
        return held.into(JointNorm(width, axes=2), f"norm_dict.{name}", weight="scale")

    def time(name: str) -> TimeStage:
        stage = TimeStage(width, cell=cell)
        held.into(stage.cell, name)
        return stage

    send: Any
    if combine == "concat":
        send = Send(width, layers=send_layers)
        fill_send(send, held.take("send_mlp.0.weight"), held.take("send_mlp.0.bias"), width)
    else:
        send = SumSend(width, layers=send_layers)
        held.into(send.first, "send_mlp.0")
    for k, layer in enumerate(send.deeper, start=1):
        held.into(layer, f"send_mlp.{2 * k}")

    if gather == "dot":
        collect: Any = AllPairsDotGather(width)
        held.into(collect.query, "att_q")
        held.into(collect.key, "att_k")
        fill(collect, bias=held.take("att_bias"))
    else:
        collect = MeanGather()
        for name in [name for name in held.left if name.startswith("att_")]:
            held.take(name)  # made by their program, and not used by a mean

    if combine == "concat" and update_layers:
        update: Any = Update(width, layers=update_layers)
        layers = list(update.mlps[0])
    else:
        update = PlainUpdate(width, layers=update_layers)
        layers = list(update.mlp)
    for k, layer in enumerate(layers):
        held.into(layer, f"update_mlp.{2 * k}")

    space = SpaceStage(
        NormedSend(send, norm("send_message_norm")), collect, update, norm=norm("update_norm")
    )
    graph = _NormFirst(
        norm("before_graph_norm"),
        Recurrence(
            {"time": time("internal_lstm"), "space": space, "final": time("external_lstm")},
            SCHEDULES["all-temp"](rounds),
        ),
    )
    held.finish()
    return graph.eval()


class _NormFirst(nn.Module):
    """The norm that the PyTorch program puts in front of its graph."""

    def __init__(self, norm: nn.Module, recurrence: Recurrence):
        super().__init__()
        self.norm = norm
        self.recurrence = recurrence

    def forward(
        self, nodes: Tensor, state: State | None = None
    ) -> tuple[Tensor, State, list[Tensor]]:
        return self.recurrence(self.norm(nodes), state)


def dyreg_from_pytorch(
    tensors: Arrays,
    *,
    size: tuple[int, int],
    rounds: int,
    cell: Literal["lstm", "gru"],
    combine: Literal["sum", "concat"],
    gather: Literal["dot", "mean"],
    send_layers: int,
    update_layers: int,
    anchors: Literal["center", "grid"] = "center",
) -> nn.Module:
    """The dynamic graph of the authors' PyTorch program, with the face of a `GraphBlock`.

    Nodes, widths, the kind of offset generator, projections and the residual branch follow from
    the tensors; a block with a branch adds its map to the features, one without returns it bare.

    Args:
        tensors: name -> array, `fill`ed or from a released checkpoint.
        size: (H, W) of the map, equal in their program.
        rounds: K.
        cell: of both recurrences of the graph, and of the regions.
        combine: how a pair is joined, for messages and for updates.
        gather: attention over all nodes, or the mean of their messages.
        send_layers: of the message MLP.
        update_layers: of the update MLP; 0 for none.
        anchors: where regions start.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this configuration does not use.
    """
    held = Tensors(tensors)
    residual = held.has("norm_dict.residual_norm.scale")
    inside = "dynamic_graph." if residual else ""
    graph = rstg_from_pytorch(
        held.take_all(f"{inside}rstg."),
        rounds=rounds,
        cell=cell,
        combine=combine,
        gather=gather,
        send_layers=send_layers,
        update_layers=update_layers,
    )
    assert isinstance(graph, _NormFirst)
    position = held.take(f"{inside}kernel_projection1.weight")  # (D, H * W)
    width = position.shape[0]

    def norm(name: str, channels: int) -> nn.GroupNorm:
        return held.into(frame_norm(channels), name, weight="scale")

    where = CellKernelPositions(width, grid=1)
    where.linear = nn.Linear(position.shape[1], width)
    fill(where.linear, weight=position, bias=held.take(f"{inside}kernel_projection1.bias"))
    branch = None
    projects = held.has(f"{inside}project_i3d_linear.weight")
    outside = held.left[f"{inside}project_i3d_linear.weight"].shape[1] if projects else width
    if residual:
        branch = FrameNormBranch(outside)
        branch.norm = norm("norm_dict.residual_norm", outside)
    block: nn.Module = GraphBlock(
        width,
        width,
        regions=_pytorch_regions(held, inside, norm, width, size, cell, anchors),
        recurrence=graph.recurrence,
        readout=ToMap(),
        project=nn.Identity(),
        project_back=nn.Identity(),
        norm=graph.norm,
        where=where,
        branch=None if projects else branch,
    )
    if projects:
        to_width = held.into(nn.Conv2d(outside, width, 1), f"{inside}project_i3d_linear")
        back = held.into(nn.Conv2d(width, outside, 1), f"{inside}project_back_i3d_linear")
        normed = norm(f"{inside}norm_dict.dynamic_graph_projection", width)
        block = ProjectedGraph(nn.Sequential(to_width, normed), block, back, branch=branch)
    held.finish()
    return block.eval()


def _pytorch_regions(
    held: Tensors,
    inside: str,
    norm: Callable[[str, int], nn.GroupNorm],
    width: int,
    size: tuple[int, int],
    cell: Literal["lstm", "gru"],
    anchors: Literal["center", "grid"],
) -> DynamicRegions:
    inner = held.left[f"{inside}offset_pred.weight"].shape[1]  # P
    if held.has(f"{inside}glore.mask_conv.weight"):
        nodes = held.left[f"{inside}glore.mask_conv.weight"].shape[0]
        saliency: Any = nn.Identity()
        view: Any = SoftAssignView(width, nodes, inner)
        held.into(view.weigh, f"{inside}glore.mask_conv")
        held.into(view.positions, f"{inside}glore.sin_pos_emb_proj")
        held.into(view.linear, f"{inside}glore.update")
        held.take_all(f"{inside}glore.norm_dict.offset_location_emb.")  # made, and not used
    else:
        whole = held.left[f"{inside}global_conv.0.weight"]  # (N * P, 16, H', W')
        nodes = whole.shape[0] // inner
        saliency = NormedSaliency(width, size[0])
        names = ("conv1", "tail_conv.0", "tail_conv.1", "body_trans_conv.0", "head_conv.0")
        norms = ("norm1", "tail_norm_0", "tail_norm_1", "body_trans_norm_0", "head_norm_0")
        for k, (name, normed) in enumerate(zip(names, norms, strict=True)):
            held.into(saliency.layers[k], f"{inside}fishnet.{name}")
            saliency.norms[k] = norm(
                f"{inside}fishnet.norm_dict.{normed}", saliency.norms[k].num_channels
            )
        view = WholeMapView(whole.shape[1], whole.shape[-1], nodes, inner)
        held.into(view.conv, f"{inside}global_conv.0")

    def node_norm(name: str) -> JointNorm:
        name = f"{inside}norm_dict.{name}"
        return held.into(JointNorm(inner, axes=2), name, weight="scale")

    memory = TimeStage(inner, cell=cell)
    held.into(memory.cell, f"{inside}offset_lstm")
    offsets = CellOffsets(inner, nodes=nodes, size=size, anchors=anchors)
    held.into(offsets.linear, f"{inside}offset_pred")
    fill(offsets, alpha=held.take(f"{inside}offset_alpha"))
    return DynamicRegions(
        saliency,
        view,
        NormedMemory(node_norm("offset_ln_feats_coords"), memory, node_norm("offset_ln_lstm")),
        offsets,
    )
