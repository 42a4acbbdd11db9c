"""The released models: ResNets on each frame, with temporal shifts, with dynamic graphs.

DyReg-GNN, section 4.1: TSM-ResNet-50 with a graph in each of the last three stages. In the released
program it stands in a bottleneck, between the 3 x 3 convolution and its norm. Without graphs these
are the networks of the TSM program, and without shifts those of torchvision and timm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from interlace.models.backbones.normalise import Normalise
from interlace.models.backbones.resnet import resnet_trunk
from interlace.models.backbones.shift import add_shift
from interlace.models.classifier import VideoClassifier
from interlace.models.convert.names import Parts, sort_tensors
from interlace.models.convert.pytorch import dyreg_from_pytorch
from interlace.models.convert.tensors import Arrays
from interlace.models.insertion.insert import insert, over_video


def tsm_from_pytorch(
    tensors: Arrays | Parts,
    *,
    rounds: int = 3,
    combine: Literal["sum", "concat"] = "sum",
    gather: Literal["dot", "mean"] = "dot",
    anchors: Literal["center", "grid"] = "center",
    fraction: int = 8,
) -> VideoClassifier:
    """A released network, such as TSM-ResNet-50 with dynamic graphs, with our classifiers' face.

    How deep it is, where shifts and graphs are, widths, layers and the size of maps follow from the
    tensors. Each graph takes maps of one size: 28, 14 and 7 cells a side for frames of 224 x 224.

    Args:
        tensors: name -> array, of a released checkpoint or of their program; or these, sorted.
        rounds: K.
        combine: how a pair is joined.
        gather: attention over all nodes, or the mean of their messages.
        anchors: where regions start.
        fraction: of the channels that are shifted to a side.

    Returns:
        The model, in eval mode, over video in [0, 1]; traces come as a dict, by module name.

    Raises:
        KeyError: if the checkpoint lacks a tensor.
        ValueError: if it has one that this model has no place for.
    """
    parts = tensors if isinstance(tensors, Parts) else sort_tensors(tensors)
    if parts.unknown:
        raise ValueError(f"not used from the checkpoint: {', '.join(sorted(parts.unknown))}")
    if parts.head.keys() != {"weight", "bias"}:
        raise KeyError("the checkpoint lacks the head of the model, new_fc or fc: weight and bias")
    trunk = resnet_trunk(parts.depth)
    _load(trunk, parts.trunk)
    body = over_video(trunk)
    if parts.shifted:
        body = add_shift(body, at=parts.shifted, fraction=fraction)
    if parts.graphs:
        insert(
            body,
            {
                at: dyreg_from_pytorch(
                    tensors,
                    size=_map_size(tensors),
                    rounds=rounds,
                    cell=_cell(tensors),
                    combine=combine,
                    gather=gather,
                    send_layers=_layers(tensors, "send_mlp"),
                    update_layers=_layers(tensors, "update_mlp"),
                    anchors=anchors,
                )
                for at, tensors in parts.graphs.items()
            },
        )
    sides = {_map_size(own)[0] * _stride(at) for at, own in parts.graphs.items()}
    if len(sides) > 1:
        raise ValueError(f"the graphs of this checkpoint are for frames of {sorted(sides)} pixels")
    frames = FramesOfOneSize(sides.pop()) if sides else Normalise()
    model = VideoClassifier(frames, body, len(parts.head["bias"]))
    _load(model.head, parts.head)
    return model.eval()


class FramesOfOneSize(Normalise):
    """Refuses frames that the graphs of the released program were not made for.

    Args:
        side: pixels.
    """

    def __init__(self, side: int):
        super().__init__()
        self.side = side

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, 3, side, side) -> the same."""
        if tuple(video.shape[2:]) != (3, self.side, self.side):
            raise ValueError(
                f"video must be (B, T, 3, {self.side}, {self.side}), got {tuple(video.shape)}: "
                "the released graphs take maps of one size; resize or crop the frames"
            )
        return super().forward(video)


def _load(module: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Fills a module with exactly these."""
    values = {name: torch.as_tensor(np.array(value)) for name, value in arrays.items()}
    own = module.state_dict()
    optional = {name for name in own if name.endswith("num_batches_tracked")}  # not in old files
    if lacks := sorted(own.keys() - values.keys() - optional):
        raise KeyError(f"the checkpoint lacks {', '.join(lacks[:5])} ({len(lacks)} in all)")
    if more := sorted(values.keys() - own.keys()):
        raise ValueError(f"not used from the checkpoint: {', '.join(more)}")
    for name, value in values.items():
        if value.shape != own[name].shape:
            raise ValueError(
                f"{name} is {tuple(value.shape)} in the checkpoint, {tuple(own[name].shape)} here"
            )
    module.load_state_dict({**own, **values})


def _one(tensors: Arrays, ending: str) -> np.ndarray:
    for name, value in tensors.items():
        if name.endswith(ending):
            return value
    raise KeyError(f"the checkpoint lacks {ending} of a graph; it has {min(tensors)}, ...")


def _map_size(tensors: Arrays) -> tuple[int, int]:
    cells = _one(tensors, "kernel_projection1.weight").shape[1]
    return math.isqrt(cells), math.isqrt(cells)


def _stride(at: str) -> int:
    """Pixels to a cell after a convolution of a stage, such as layer3.4.conv2."""
    return 2 ** (int(at.removeprefix("layer").split(".")[0]) + 1)


def _cell(tensors: Arrays) -> Literal["lstm", "gru"]:
    gates, width = _one(tensors, "rstg.internal_lstm.weight_hh_l0").shape
    return "gru" if gates == 3 * width else "lstm"


def _layers(tensors: Arrays, mlp: str) -> int:
    return sum(bool(re.search(rf"\.{mlp}\.\d+\.weight$", name)) for name in tensors)
