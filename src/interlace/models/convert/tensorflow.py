"""The graph of the authors' TensorFlow program (RSTG)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from interlace.graph.block import GraphBlock
from interlace.graph.boxes import grid_boxes, neighbours
from interlace.graph.readout import ToMap, ToMeanVector
from interlace.graph.recurrence import SCHEDULES, Recurrence
from interlace.graph.regions.simple import GridRegions
from interlace.graph.space_stage import Send, SpaceStage, Update
from interlace.graph.time_stage import TimeStage
from interlace.models.convert.tensors import Arrays, Tensors, fill
from interlace.models.convert.variants import (
    AllPairsAdditiveGather,
    AllPairsDotGather,
    BlockPositions,
    JointNorm,
    NodeBatchNorm,
    NormedSend,
)


def rstg_from_tensorflow(
    tensors: Arrays,
    *,
    scales: Sequence[int],
    rounds: int,
    frame_size_px: int,
    readout: Literal["map", "mean-vector"] = "map",
) -> GraphBlock:
    """The graph of the authors' TensorFlow program, as a block that returns its bare readout.

    Widths, attention, heads, layers, norms, position maps and projections follow from the tensors.

    Args:
        tensors: name -> array; kernels are (..., in, out).
        scales: cells a side of the grids.
        rounds: K.
        frame_size_px: pixels a side of the frame in which they look for neighbours.
        readout: the enlarged map, or the sum of nodes averaged over time.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that the graph does not use.
    """
    held = Tensors({name.removeprefix("graph."): torch.as_tensor(v) for name, v in tensors.items()})
    width = len(held["cudnn_lstm.bias_time_update_intern"]) // 4
    additive = any("my_attn" in name for name in held)
    heads = len({name.split(".")[0] for name in held if name.startswith("attention_head")})
    shared = "update_node_mlp.update_conv1.kernel" in held
    ours = _Ours(held)

    def joint_norm(name: str, theirs: str, axes: int) -> nn.Module:
        found = ours.norm(name, theirs)
        return JointNorm(width, axes=axes, eps=1e-12) if found else nn.Identity()

    channels, project = width, nn.Sequential()
    if ours.linear("project.0", "project_i3d"):
        channels = ours["project.0.weight"].shape[1]
        project.append(nn.Linear(channels, width))
    if ours.norm(f"project.{len(project)}", "batch_normalization"):
        project.append(NodeBatchNorm(width, eps=1e-3))
    back = ours.linear("project_back", "project_back_to_i3d")

    ours.lstm("recurrence.stages.time.cell", "cudnn_lstm.*_time_update_intern")
    ours.lstm("recurrence.stages.final.cell", "time_update_extern.cudnn_lstm.*_time_update_extern")

    space = "recurrence.stages.space"
    ours.linear("pair", "send_messages_mlp.send_conv1")  # [W_s | W_r] on [v_j | v_i]
    pair, send = ours.take("pair.weight"), f"{space}.send.send"
    positions = pair.shape[1] // 2 - width
    ours[f"{send}.sender.weight"], ours[f"{send}.receiver.weight"] = pair.chunk(2, dim=1)
    ours[f"{send}.sender.bias"] = ours.take("pair.bias")
    deeper = ours.mlp(f"{send}.deeper", "send_messages_mlp.send_conv*", after=1)

    at = [f"attention_head{h}." for h in range(heads)] or [""]
    attention = "my_attn" if additive else "dot_product_attn"
    for name, layer in (("query", "att_conv1"), ("key", "att_conv2")):
        ours.linear(f"{space}.gather.{name}", *(f"{head}{attention}.{layer}" for head in at))
    if heads:
        ours.linear(f"{space}.gather.message.linear", *(f"{head}messages_proj" for head in at))
    bias = [held.take(f"{head}{attention}.att_bias.biases") for head in at]
    ours[f"{space}.gather.bias"] = torch.cat(bias)

    update = "update_node_mlp" if shared else "update_node_mlp_"
    endings = [""] if shared else [f"_type{k + 1}" for k in range(len(scales))]
    for group, ending in enumerate(endings):
        layers = ours.mlp(f"{space}.update.mlps.{group}", f"{update}.update_conv*{ending}")

    cells = [grid_boxes([s]) * (frame_size_px // s * s / frame_size_px) for s in scales]
    adjacency = neighbours(torch.cat(cells)).float()  # cells of whole pixels: some lie apart
    gather = AllPairsAdditiveGather if additive else AllPairsDotGather
    stages = {
        "time": TimeStage(width, cell="lstm"),
        "space": SpaceStage(
            NormedSend(
                Send(width, layers=1 + deeper, positions=positions),
                joint_norm(f"{space}.send.norm", "send_messages_mlp.message_ln", 2),
            ),
            gather(width, heads=len(at), adjacency=adjacency),
            Update(width, layers=layers, groups=None if shared else [s * s for s in scales]),
            norm=joint_norm(f"{space}.norm", f"{update}.update_ln", 2),
        ),
        "final": TimeStage(width, cell="lstm"),
    }
    block = GraphBlock(
        channels,
        channels,
        regions=GridRegions(scales),
        project=project,
        norm=joint_norm("norm", "before_graf_ln", 3),
        positions=BlockPositions(size=round(positions**0.5)) if positions else None,
        recurrence=Recurrence(stages, SCHEDULES["all-temp"](rounds)),
        project_back=nn.Linear(width, channels) if back else nn.Identity(),
        readout=ToMap() if readout == "map" else ToMeanVector(),
    )
    return fill(block, {**ours, **held})  # what is left of theirs has no place


class _Ours(Tensors):
    """The tensors of the program as they are taken from it, by our names and in our order."""

    def __init__(self, held: Tensors):
        super().__init__()
        self.held = held

    def linear(self, ours: str, *theirs: str) -> bool:
        """One layer, or several whose outputs are joined; whether it is there."""
        if f"{theirs[0]}.kernel" not in self.held:
            return False
        kernels = [self.held.take(f"{name}.kernel") for name in theirs]  # (.., in, out)
        self[f"{ours}.weight"] = torch.cat([k.flatten(0, -2).t() for k in kernels])
        self[f"{ours}.bias"] = torch.cat([self.held.take(f"{name}.bias") for name in theirs])
        return True

    def mlp(self, ours: str, theirs: str, *, after: int = 0) -> int:
        """All layers from the one after so many, which are counted from 1; how many there are."""
        layers = 0
        while self.linear(f"{ours}.{layers}", theirs.replace("*", str(after + layers + 1))):
            layers += 1
        return layers

    def norm(self, ours: str, theirs: str) -> bool:
        """Scale and bias, and statistics if it has some; whether it is there."""
        names = {
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        }
        found = {name: own for name, own in names.items() if f"{theirs}.{name}" in self.held}
        for name, own in found.items():
            self[f"{ours}.{own}"] = self.held.take(f"{theirs}.{name}")
        return bool(found)

    def lstm(self, ours: str, theirs: str) -> None:
        """Their gates are input, candidate, forget and output; torch's i, f, g, o."""
        kernel = self.held.take(theirs.replace("*", "kernel"))  # (2 D, 4 D)
        bias = self.held.take(theirs.replace("*", "bias"))
        order = [0, 2, 1, 3]
        gates = torch.cat([kernel.chunk(4, dim=1)[k].t() for k in order])
        self[f"{ours}.weight_ih_l0"], self[f"{ours}.weight_hh_l0"] = gates.chunk(2, dim=1)
        self[f"{ours}.bias_ih_l0"] = torch.cat([bias.chunk(4)[k] for k in order])
        self[f"{ours}.bias_hh_l0"] = torch.zeros_like(bias)
