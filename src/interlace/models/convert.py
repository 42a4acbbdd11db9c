"""The authors' weights -> our modules. The only place that knows their names.

The builders take the tensors of a checkpoint as name -> array and what the tensors cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.graph.boxes import grid_boxes, neighbours
from interlace.graph.dynamic_regions import DynamicRegions
from interlace.graph.norm import JointNorm
from interlace.graph.readout import ToMap, ToMeanVector
from interlace.graph.recurrence import SCHEDULES, Recurrence, State
from interlace.graph.reference import (
    AllPairsAdditiveGather,
    AllPairsDotGather,
    BlockPositions,
    NodeBatchNorm,
    NormedSend,
    PlainUpdate,
    SumSend,
)
from interlace.graph.reference_regions import (
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
from interlace.graph.regions import GridRegions
from interlace.graph.space_stage import MeanGather, Send, SpaceStage, Update
from interlace.graph.time_stage import TimeStage

Arrays = Mapping[str, np.ndarray]


class _Tensors:
    """The tensors of a checkpoint; remembers which were taken, so that none is dropped silently."""

    def __init__(self, tensors: Arrays):
        self.left = {name: torch.as_tensor(np.asarray(value)) for name, value in tensors.items()}

    def has(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> Tensor:
        if name not in self.left:
            near = ", ".join(sorted(self.left)[:3])
            raise KeyError(f"the checkpoint lacks {name}; unused so far: {near}, ...")
        return self.left.pop(name)

    def take_all(self, prefix: str) -> dict[str, np.ndarray]:
        """All that is left under a prefix, by the rest of their names."""
        names = [name for name in self.left if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.left.pop(name).numpy() for name in names}

    def finish(self) -> None:
        if self.left:
            raise ValueError(f"not used from the checkpoint: {', '.join(sorted(self.left))}")


@torch.no_grad()
def _fill(module: nn.Module, **values: Tensor) -> None:
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, value in values.items():
        own[name.replace("__", ".")].copy_(value.reshape(own[name.replace("__", ".")].shape))


# --- the PyTorch program -------------------------------------------------------------------------


def rstg_from_pytorch(
    tensors: Arrays,
    *,
    rounds: int,
    cell: Literal["lstm", "gru"],
    combine: Literal["sum", "concat"],
    gather: Literal["dot", "mean"],
    send_layers: int,
    update_layers: int,
    prefix: str = "",
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
        prefix: in front of every name.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this configuration does not use.
    """
    held = _Tensors({name.removeprefix(prefix): value for name, value in tensors.items()})
    width = held.left["internal_lstm.weight_hh_l0"].shape[1]

    def norm(name: str) -> JointNorm:
        module = JointNorm(width, axes=2)
        _fill(
            module,
            weight=held.take(f"norm_dict.{name}.scale"),
            bias=held.take(f"norm_dict.{name}.bias"),
        )
        return module

    def linear(name: str, module: nn.Linear) -> None:
        _fill(module, weight=held.take(f"{name}.weight"), bias=held.take(f"{name}.bias"))

    def time(name: str) -> TimeStage:
        stage = TimeStage(width, cell=cell)
        for key in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            _fill(stage.cell, **{key: held.take(f"{name}.{key}")})
        return stage

    send: Any
    if combine == "concat":
        send = Send(width, layers=send_layers)
        _fill_send(send, held.take("send_mlp.0.weight"), held.take("send_mlp.0.bias"), width)
    else:
        send = SumSend(width, layers=send_layers)
        linear("send_mlp.0", send.first)
    for k, layer in enumerate(send.deeper, start=1):
        linear(f"send_mlp.{2 * k}", layer)

    if gather == "dot":
        collect: Any = AllPairsDotGather(width)
        linear("att_q", collect.query)
        linear("att_k", collect.key)
        _fill(collect, bias=held.take("att_bias"))
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
        linear(f"update_mlp.{2 * k}", layer)

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


def _fill_send(send: Send, weight: Tensor, bias: Tensor, width: int) -> None:
    """[W_s | W_r] of the first layer on [v_j | v_i] -> its two parts."""
    sender, receiver = weight.chunk(2, dim=1)
    _fill(send, sender__weight=sender, sender__bias=bias, receiver__weight=receiver)


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
    prefix: str = "",
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
        prefix: in front of every name.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this configuration does not use.
    """
    held = _Tensors({name.removeprefix(prefix): value for name, value in tensors.items()})
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
        module = frame_norm(channels)
        _fill(module, weight=held.take(f"{name}.scale"), bias=held.take(f"{name}.bias"))
        return module

    def layer(name: str, module: nn.Module) -> nn.Module:
        _fill(module, weight=held.take(f"{name}.weight"), bias=held.take(f"{name}.bias"))
        return module

    where = CellKernelPositions(width, grid=1)
    where.linear = nn.Linear(position.shape[1], width)
    _fill(where.linear, weight=position, bias=held.take(f"{inside}kernel_projection1.bias"))
    branch = None
    projects = held.has(f"{inside}project_i3d_linear.weight")
    outside = held.left[f"{inside}project_i3d_linear.weight"].shape[1] if projects else width
    if residual:
        branch = FrameNormBranch(outside)
        branch.norm = norm("norm_dict.residual_norm", outside)
    block: nn.Module = GraphBlock(
        width,
        width,
        regions=_pytorch_regions(held, inside, layer, norm, width, size, cell, anchors),
        recurrence=graph.recurrence,
        readout=ToMap(),
        project=nn.Identity(),
        project_back=nn.Identity(),
        norm=graph.norm,
        where=where,
        branch=None if projects else branch,
    )
    if projects:
        to_width = layer(f"{inside}project_i3d_linear", nn.Conv2d(outside, width, 1))
        back = layer(f"{inside}project_back_i3d_linear", nn.Conv2d(width, outside, 1))
        normed = norm(f"{inside}norm_dict.dynamic_graph_projection", width)
        block = ProjectedGraph(nn.Sequential(to_width, normed), block, back, branch=branch)
    held.finish()
    return block.eval()


def _pytorch_regions(
    held: _Tensors,
    inside: str,
    layer: Callable[[str, nn.Module], nn.Module],
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
        layer(f"{inside}glore.mask_conv", view.weigh)
        layer(f"{inside}glore.sin_pos_emb_proj", view.positions)
        layer(f"{inside}glore.update", view.linear)
        held.take_all(f"{inside}glore.norm_dict.offset_location_emb.")  # made, and not used
    else:
        whole = held.left[f"{inside}global_conv.0.weight"]  # (N * P, 16, H', W')
        nodes = whole.shape[0] // inner
        saliency = NormedSaliency(width, size[0])
        names = ("conv1", "tail_conv.0", "tail_conv.1", "body_trans_conv.0", "head_conv.0")
        norms = ("norm1", "tail_norm_0", "tail_norm_1", "body_trans_norm_0", "head_norm_0")
        for k, (name, normed) in enumerate(zip(names, norms, strict=True)):
            layer(f"{inside}fishnet.{name}", saliency.layers[k])
            saliency.norms[k] = norm(
                f"{inside}fishnet.norm_dict.{normed}", saliency.norms[k].num_channels
            )
        view = WholeMapView(whole.shape[1], whole.shape[-1], nodes, inner)
        layer(f"{inside}global_conv.0", view.conv)

    def node_norm(name: str) -> JointNorm:
        module = JointNorm(inner, axes=2)
        name = f"{inside}norm_dict.{name}"
        _fill(module, weight=held.take(f"{name}.scale"), bias=held.take(f"{name}.bias"))
        return module

    memory = TimeStage(inner, cell=cell)
    for key in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        _fill(memory.cell, **{key: held.take(f"{inside}offset_lstm.{key}")})
    offsets = CellOffsets(inner, nodes=nodes, size=size, anchors=anchors)
    layer(f"{inside}offset_pred", offsets.linear)
    _fill(offsets, alpha=held.take(f"{inside}offset_alpha"))
    return DynamicRegions(
        saliency,
        view,
        NormedMemory(node_norm("offset_ln_feats_coords"), memory, node_norm("offset_ln_lstm")),
        offsets,
    )


# --- the TensorFlow program ----------------------------------------------------------------------


def rstg_from_tensorflow(
    tensors: Arrays,
    *,
    scales: Sequence[int],
    rounds: int,
    gather: Literal["dot", "additive"],
    frame_size_px: int,
    readout: Literal["map", "mean-vector"] = "map",
    prefix: str = "graph.",
) -> GraphBlock:
    """The graph of the authors' TensorFlow program, as a block that returns its bare readout.

    Widths, heads, layers, norms, position maps and projections follow from the tensors.

    Args:
        tensors: name -> array; kernels are (..., in, out).
        scales: cells a side of the grids.
        rounds: K.
        gather: what the attention is.
        frame_size_px: pixels a side of the frame in which they look for neighbours.
        readout: the enlarged map, or the sum of nodes averaged over time.
        prefix: in front of every name.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this configuration does not use.
    """
    held = _Tensors({name.removeprefix(prefix): value for name, value in tensors.items()})
    width = held.left["cudnn_lstm.bias_time_update_intern"].shape[0] // 4
    adjacency = neighbours(_pixel_boxes(scales, frame_size_px)).float()

    def dense(name: str, count: int | None = None) -> nn.Linear:
        kernel = held.take(f"{name}.kernel")
        layer = nn.Linear(kernel.shape[-2], kernel.shape[-1])
        _fill(
            layer,
            weight=kernel.flatten(0, -3).squeeze(0).t() if kernel.dim() > 2 else kernel.t(),
            bias=held.take(f"{name}.bias"),
        )
        return layer

    def layer_norm(name: str, axes: int) -> nn.Module:
        if not held.has(f"{name}.gamma"):
            return nn.Identity()
        norm = JointNorm(width, axes=axes, eps=1e-12)
        _fill(norm, weight=held.take(f"{name}.gamma"), bias=held.take(f"{name}.beta"))
        return norm

    def time(name: str) -> TimeStage:
        stage = TimeStage(width, cell="lstm")
        kernel, bias = held.take(name.replace("*", "kernel")), held.take(name.replace("*", "bias"))
        order = [0, 2, 1, 3]  # theirs: input, candidate, forget, output; torch's: i, f, g, o
        gates = torch.stack([kernel.chunk(4, dim=1)[k].t() for k in order]).flatten(0, 1)
        shifts = torch.cat([bias.chunk(4)[k] for k in order])
        _fill(
            stage.cell,
            weight_ih_l0=gates[:, :width],
            weight_hh_l0=gates[:, width:],
            bias_ih_l0=shifts,
            bias_hh_l0=torch.zeros_like(shifts),
        )
        return stage

    def mlp(name: str) -> list[nn.Linear]:
        """Layers name1, name2, ... with an optional ending, e.g. `update_conv*_type1`."""
        layers: list[nn.Linear] = []
        while held.has(f"{name.replace('*', str(len(layers) + 1))}.kernel"):
            layers.append(dense(name.replace("*", str(len(layers) + 1))))
        return layers

    project: list[nn.Module] = []
    if held.has("project_i3d.kernel"):
        project.append(dense("project_i3d"))
    if held.has("batch_normalization.gamma"):
        batch_norm = NodeBatchNorm(width, eps=1e-3)
        _fill(
            batch_norm,
            weight=held.take("batch_normalization.gamma"),
            bias=held.take("batch_normalization.beta"),
            running_mean=held.take("batch_normalization.moving_mean"),
            running_var=held.take("batch_normalization.moving_variance"),
        )
        project.append(batch_norm)
    channels = project[0].in_features if project and isinstance(project[0], nn.Linear) else width

    first, *deeper = mlp("send_messages_mlp.send_conv*")
    positions = first.in_features // 2 - width
    send: Any = Send(width, layers=1 + len(deeper), positions=positions)
    _fill_send(send, first.weight, first.bias, width)
    send.deeper = nn.ModuleList(deeper)
    message_norm = layer_norm("send_messages_mlp.message_ln", 2)
    if not isinstance(message_norm, nn.Identity):
        send = NormedSend(send, message_norm)

    space = SpaceStage(
        send,
        _tensorflow_gather(held, dense, gather, width, adjacency),
        _tensorflow_update(mlp, scales, width),
        norm=_first_of(layer_norm, 2, "update_node_mlp.update_ln", "update_node_mlp_.update_ln"),
    )
    block = GraphBlock(
        channels,
        channels,
        regions=GridRegions(scales),
        project=nn.Sequential(*project),
        norm=layer_norm("before_graf_ln", 3),
        positions=BlockPositions(size=round(positions**0.5)) if positions else None,
        recurrence=Recurrence(
            {
                "time": time("cudnn_lstm.*_time_update_intern"),
                "space": space,
                "final": time("time_update_extern.cudnn_lstm.*_time_update_extern"),
            },
            SCHEDULES["all-temp"](rounds),
        ),
        project_back=dense("project_back_to_i3d")
        if held.has("project_back_to_i3d.kernel")
        else nn.Identity(),
        readout=ToMap() if readout == "map" else ToMeanVector(),
    )
    held.finish()
    return block.eval()


def _tensorflow_gather(
    held: _Tensors,
    dense: Callable[[str], nn.Linear],
    gather: Literal["dot", "additive"],
    width: int,
    adjacency: Tensor,
) -> nn.Module:
    attention = {"dot": "dot_product_attn", "additive": "my_attn"}[gather]
    kind: Any = {"dot": AllPairsDotGather, "additive": AllPairsAdditiveGather}[gather]
    heads = len({n.split(".")[0] for n in held.left if n.startswith("attention_head")})
    module = kind(width, heads=max(heads, 1), adjacency=adjacency)
    names = [f"attention_head{h}.{attention}" for h in range(heads)] or [attention]
    query, key = ([dense(f"{n}.att_conv{k}") for n in names] for k in (1, 2))
    for ours, theirs in ((module.query, query), (module.key, key)):
        _fill(
            ours,
            weight=torch.cat([layer.weight for layer in theirs]),
            bias=torch.cat([layer.bias for layer in theirs]),
        )
    if heads:
        layers = [dense(f"attention_head{h}.messages_proj") for h in range(heads)]
        _fill(
            module.message.linear,
            weight=torch.cat([layer.weight for layer in layers]),
            bias=torch.cat([layer.bias for layer in layers]),
        )
    _fill(module, bias=torch.cat([held.take(f"{n}.att_bias.biases") for n in names]))
    return module


def _tensorflow_update(
    mlp: Callable[[str], list[nn.Linear]], scales: Sequence[int], width: int
) -> Update:
    shared = mlp("update_node_mlp.update_conv*")
    sets = (
        [shared]
        if shared
        else [mlp(f"update_node_mlp_.update_conv*_type{k}") for k in range(1, len(scales) + 1)]
    )
    groups = None if shared else [s * s for s in scales]
    update = Update(width, layers=len(sets[0]), groups=groups)
    update.mlps = nn.ModuleList(nn.ModuleList(layers) for layers in sets)
    return update


def _first_of(layer_norm: Callable[[str, int], nn.Module], axes: int, *names: str) -> nn.Module:
    for name in names:
        norm = layer_norm(name, axes)
        if not isinstance(norm, nn.Identity):
            return norm
    return nn.Identity()


def _pixel_boxes(scales: Sequence[int], size: int) -> Tensor:
    """Cells of size // s whole pixels a side, which need not reach the frame's far border."""
    boxes = []
    for s in scales:
        shrink = (size // s) * s / size
        boxes.append(grid_boxes([s]) * shrink)
    return torch.cat(boxes)
