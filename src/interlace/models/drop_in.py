"""What DyReg puts in the place of a whole graph block: features in, features out, equal size.

DyReg, appendix E.7 and the bottom of Table 7. Each adds to the features through norms that start at
zero, like a graph, and with its defaults has about as many weights as the paper's graph at 128
channels: 3.08 M - 2.79 M = 0.29 M (Table 6). The paper tells no widths; these are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.graph.readout import ZeroStartNorm
from interlace.graph.time_stage import TimeStage
from interlace.models.backbones.inflate import NonLocal
from interlace.models.baselines import Baseline


class ConvLSTMBlock(Baseline):
    """Encoder that makes the map smaller, one LSTM shared by all places, decoder; added to it.

    "A convolutional encoder that reduces the spatial dimensions, a shared LSTM applied
    independently on each spatial position followed by a convolutional decoder" (E.7). Two 3x3
    convolutions of stride 2 one way; twice an enlargement and a 3x3 convolution the other.

    Args:
        channels: C of the features.
        width: between the two convolutions, on both sides.
        hidden: of the LSTM.
    """

    def __init__(self, channels: int, *, width: int = 64, hidden: int = 80):
        super().__init__()
        self.out_channels = channels
        self.encoder = nn.ModuleList(
            [_conv(channels, width, stride=2), _conv(width, hidden, stride=2)]
        )
        self.lstm = TimeStage(hidden, cell="lstm")  # a place is a node that hears nobody
        self.decoder = nn.ModuleList(
            [_conv(hidden, width), nn.Conv2d(width, channels, 3, padding=1, bias=False)]
        )
        self.branch = ZeroStartNorm(channels)

    def read(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, T, C, H, W) -> the same; state: (B, H / 4 * W / 4, 2 hidden), rounded up."""
        _check(features, self.out_channels)
        x, sizes = features.flatten(0, 1), []
        for layer in self.encoder:
            sizes.append(x.shape[-2:])
            x = layer(x)  # (B * T, hidden, H / 4, W / 4) in the end
        size = x.shape[-2:]
        places = x.flatten(2).transpose(1, 2).unflatten(0, features.shape[:2])  # (B, T, places, D)
        places, state, _ = self.lstm(places, state)
        x = places.flatten(0, 1).transpose(1, 2).unflatten(2, size)
        for layer, size in zip(self.decoder, reversed(sizes), strict=True):
            x = layer(F.interpolate(x, size, mode="nearest"))
        return features + self.branch(x.unflatten(0, features.shape[:2])), state


class NonLocalBlock(Baseline):
    """Non-local blocks one after the other, each over all places of all frames of the clip.

    "A Non-Local [30] network" (E.7). As many blocks as the graph has rounds; see `NonLocal`.

    Args:
        channels: C of the features.
        blocks: how many.
        inner: channels of queries, keys and values.
    """

    def __init__(self, channels: int, *, blocks: int = 3, inner: int = 186):
        super().__init__()
        self.out_channels = channels
        self.blocks = nn.Sequential(*(NonLocal(channels, inner=inner) for _ in range(blocks)))

    def read(self, features: Tensor, state: None) -> tuple[Tensor, None]:
        """(B, T, C, H, W) -> the same."""
        if state is not None:
            raise ValueError("non-local blocks see whole clips: they cannot go on from a state")
        _check(features, self.out_channels)
        return self.blocks(features.transpose(1, 2)).transpose(1, 2), None


def _conv(inner: int, outer: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)
    layers = nn.Sequential(conv, nn.BatchNorm2d(outer), nn.ReLU(inplace=True))
    return layers.to(memory_format=torch.channels_last)


def _check(features: Tensor, channels: int) -> None:
    if features.dim() != 5 or features.shape[2] != channels or 0 in features.shape:
        raise ValueError(
            f"features must be (B, T, {channels}, H, W) and not empty, got {tuple(features.shape)};"
            " for per-frame maps use x.unflatten(0, (B, T))"
        )
