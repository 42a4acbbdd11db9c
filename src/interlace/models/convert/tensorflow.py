"""The graph of the authors' TensorFlow program (RSTG)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.graph.boxes import grid_boxes, neighbours
from interlace.graph.readout import ToMap, ToMeanVector
from interlace.graph.recurrence import SCHEDULES, Recurrence
from interlace.graph.regions.simple import GridRegions
from interlace.graph.space_stage import Send, SpaceStage, Update
from interlace.graph.time_stage import TimeStage
from interlace.models.convert.norm import JointNorm
from interlace.models.convert.tensors import Arrays, Tensors, fill, fill_send
from interlace.models.convert.variants import (
    AllPairsAdditiveGather,
    AllPairsDotGather,
    BlockPositions,
    NodeBatchNorm,
    NormedSend,
)


def rstg_from_tensorflow(
    tensors: Arrays,
    *,
    scales: Sequence[int],
    rounds: int,
    gather: Literal["dot", "additive"],
    frame_size_px: int,
    readout: Literal["map", "mean-vector"] = "map",
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

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this configuration does not use.
    """
    held = Tensors({name.removeprefix("graph."): value for name, value in tensors.items()})
    width = held.left["cudnn_lstm.bias_time_update_intern"].shape[0] // 4
    adjacency = neighbours(_pixel_boxes(scales, frame_size_px)).float()

    def dense(name: str) -> nn.Linear:
        kernel = held.take(f"{name}.kernel")
        layer = nn.Linear(kernel.shape[-2], kernel.shape[-1])
        fill(
            layer,
            weight=kernel.flatten(0, -3).squeeze(0).t() if kernel.dim() > 2 else kernel.t(),
            bias=held.take(f"{name}.bias"),
        )
        return layer

    def layer_norm(name: str, axes: int) -> nn.Module:
        if not held.has(f"{name}.gamma"):
            return nn.Identity()
        return held.into(JointNorm(width, axes=axes, eps=1e-12), name, weight="gamma", bias="beta")

    def time(name: str) -> TimeStage:
        stage = TimeStage(width, cell="lstm")
        kernel, bias = held.take(name.replace("*", "kernel")), held.take(name.replace("*", "bias"))
        order = [0, 2, 1, 3]  # theirs: input, candidate, forget, output; torch's: i, f, g, o
        gates = torch.stack([kernel.chunk(4, dim=1)[k].t() for k in order]).flatten(0, 1)
        shifts = torch.cat([bias.chunk(4)[k] for k in order])
        fill(
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
        held.into(batch_norm, "batch_normalization", weight="gamma", bias="beta")
        fill(
            batch_norm,
            running_mean=held.take("batch_normalization.moving_mean"),
            running_var=held.take("batch_normalization.moving_variance"),
        )
        project.append(batch_norm)
    channels = project[0].in_features if project and isinstance(project[0], nn.Linear) else width

    first, *deeper = mlp("send_messages_mlp.send_conv*")
    positions = first.in_features // 2 - width
    send: Any = Send(width, layers=1 + len(deeper), positions=positions)
    fill_send(send, first.weight, first.bias, width)
    send.deeper = nn.ModuleList(deeper)
    message_norm = layer_norm("send_messages_mlp.message_ln", 2)
    if not isinstance(message_norm, nn.Identity):
        send = NormedSend(send, message_norm)

    shared = held.has("update_node_mlp.update_conv1.kernel")
    update_mlp = "update_node_mlp" if shared else "update_node_mlp_"
    space = SpaceStage(
        send,
        _tensorflow_gather(held, dense, gather, width, adjacency),
        _tensorflow_update(mlp, scales, width),
        norm=layer_norm(f"{update_mlp}.update_ln", 2),
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
    held: Tensors,
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
        fill(
            ours,
            weight=torch.cat([layer.weight for layer in theirs]),
            bias=torch.cat([layer.bias for layer in theirs]),
        )
    if heads:
        layers = [dense(f"attention_head{h}.messages_proj") for h in range(heads)]
        fill(
            module.message.linear,
            weight=torch.cat([layer.weight for layer in layers]),
            bias=torch.cat([layer.bias for layer in layers]),
        )
    fill(module, bias=torch.cat([held.take(f"{n}.att_bias.biases") for n in names]))
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


def _pixel_boxes(scales: Sequence[int], size: int) -> Tensor:
    """Cells of size // s whole pixels a side, which need not reach the frame's far border."""
    boxes = []
    for s in scales:
        shrink = (size // s) * s / size
        boxes.append(grid_boxes([s]) * shrink)
    return torch.cat(boxes)
