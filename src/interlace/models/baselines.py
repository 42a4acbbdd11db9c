"""What RSTG compares with, behind the face of a graph: features in, vector out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Baseline(nn.Module):
    """The face: `forward(features, state, return_state=, return_trace=)`, with no trace to show.

    A subclass says in `read` what becomes of the features.
    """

    out_channels: int

    def read(self, features: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(B, T, C, H, W), state -> vector (B, out_channels) or map (B, T, C', H', W'), state."""
        raise NotImplementedError

    def forward(
        self,
        features: Tensor,
        state: Any = None,
        *,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """As `GraphBlock.forward`; the trace is None."""
        out, state = self.read(features, state)
        if not return_state and not return_trace:
            return out
        return (out, *([state] if return_state else []), *([None] if return_trace else []))


class MeanPoolLSTM(Baseline):
    """Mean pooling over space, then an LSTM over frames (RSTG, appendix D).

    Args:
        channels: C of the features.
        hidden: of the LSTM.
    """

    def __init__(self, channels: int, *, hidden: int = 512):  # appendix D
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, batch_first=True)
        self.out_channels = hidden

    def read(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """State: (2, 1, B, hidden)."""
        frames, last = self.lstm(features.mean((-2, -1)), None if state is None else tuple(state))
        return frames[:, -1], torch.stack(last)


class ConvLSTM(Baseline):
    """Three more convolutions that keep the map's size, then the same LSTM on the whole map.

    RSTG, appendix D, "ConvNet + LSTM": stride 1, no pooling, batch norm and ReLU between. The map
    is pooled to a stated grid before it is flattened, so that any H and W will do.

    Args:
        channels: C of the features.
        hidden: of the LSTM.
        widths: of the convolutions.
        grid: cells a side that are flattened.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = 512,  # appendix D
        widths: Sequence[int] = (128, 128, 32),
        grid: int = 8,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer in zip((channels, *widths), widths, strict=False):
            conv = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.lstm = nn.LSTM(widths[-1] * grid * grid, hidden, batch_first=True)
        self.out_channels = hidden

    def read(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """State: (2, 1, B, hidden)."""
        maps = self.pool(self.layers(features.flatten(0, 1)))  # (B * T, C, grid, grid)
        frames = maps.flatten(1).unflatten(0, features.shape[:2])
        frames, last = self.lstm(frames, None if state is None else tuple(state))
        return frames[:, -1], torch.stack(last)


class MeanPool(Baseline):
    """The mean over time and space: the head of 3D networks, which have no state to carry.

    Args:
        channels: C of the features.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.out_channels = channels

    def read(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, None]:
        """(B, T, C, H, W) -> (B, C)."""
        if state is not None:
            raise ValueError("a 3D network sees whole clips: it cannot go on from a state")
        return features.mean((1, 3, 4)), None
