"""What the papers compare with, behind the face of a graph.

RSTG's give a vector, or features as they are. DyReg's (appendix E.7, bottom of Table 7) stand in
the place of a block inside a network: features in, features of equal size out. Each adds to them
through a norm that starts at zero, like a graph, and with its defaults has about as many weights as
the paper's graph at 128 channels: 3.08 M - 2.79 M = 0.29 M (Table 6). The paper tells no widths;
these are ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.graph.readout import ZeroStartNorm
from interlace.graph.time_stage import TimeStage
from interlace.models.face import answer


class Baseline(nn.Module):
    """The face: `forward(features, state, return_state=, return_trace=)`, with no trace to show.

    A subclass says in `read` what becomes of the features. One whose answer is a vector reads
    frames, and `every_frame` asks for all of them.
    """

    out_channels: int
    gives_vectors = False

    def read(self, features: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(B, T, C, H, W), state -> vectors (B, T, out_channels) or map (B, T, C', ...), state."""
        raise NotImplementedError

    def forward(
        self,
        features: Tensor,
        state: Any = None,
        *,
        every_frame: bool = False,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """As `GraphBlock.forward`; the trace is None."""
        out, state = self.read(features, state)
        if self.gives_vectors and not every_frame:
            out = out[:, -1]
        return answer(out, state, None, return_state, return_trace)


class MeanPool(Baseline):
    """Leaves features as they are: the classifier's mean over space and frames is all.

    Args:
        channels: C of the features.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.out_channels = channels

    def read(self, features: Tensor, state: tuple[()] | None) -> tuple[Tensor, tuple[()]]:
        """State: (), there is nothing to carry."""
        if state:
            raise ValueError("a mean carries nothing else, got the state of another model")
        return features, ()


class MeanPoolLSTM(Baseline):
    """Mean pooling over space, then an LSTM over frames (RSTG, appendix D).

    Args:
        channels: C of the features.
        hidden: of the LSTM.
    """

    gives_vectors = True

    def __init__(self, channels: int, *, hidden: int = 512):  # appendix D
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, batch_first=True)
        self.out_channels = hidden

    def read(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """State: (2, 1, B, hidden)."""
        return _walk(self.lstm, features.mean((-2, -1)), state)


class ConvLSTM(Baseline):
    """Three more convolutions that keep the map's size, then the same LSTM on the whole map.

    RSTG, appendix D, "ConvNet + LSTM": stride 1, no pooling, batch norm and ReLU between. The map
    is pooled to a stated grid before it is flattened, so that any H and W will do.

    Args:
        channels: C of the features.
        hidden: of the LSTM.
    """

    gives_vectors = True

    def __init__(self, channels: int, *, hidden: int = 512):  # appendix D
        super().__init__()
        widths, grid = (128, 128, 32), 8
        convs = (_conv(*pair) for pair in zip((channels, *widths), widths, strict=False))
        self.layers = nn.Sequential(*(layer for conv in convs for layer in conv))
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.lstm = nn.LSTM(widths[-1] * grid * grid, hidden, batch_first=True)
        self.out_channels = hidden

    def read(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """State: (2, 1, B, hidden)."""
        maps = self.pool(self.layers(features.flatten(0, 1)))  # (B * T, C, grid, grid)
        frames = maps.flatten(1).unflatten(0, features.shape[:2])
        return _walk(self.lstm, frames, state)


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
        check_features(features, self.out_channels)
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


class NonLocal(nn.Module):
    """y_i = x_i + W_z sum_j softmax_j(theta(x_i) . phi(x_j)) g(x_j) over all of space and time.

    Wang et al. 2018, embedded Gaussian, keys and values max-pooled by 2 in space; the last norm
    starts at zero, so a fresh block changes nothing.

    Args:
        channels: C.
        inner: channels of queries, keys and values; None for half of C, as in the paper.
    """

    def __init__(self, channels: int, *, inner: int | None = None):
        super().__init__()
        inner = channels // 2 if inner is None else inner
        self.query = nn.Conv3d(channels, inner, 1)
        self.key = nn.Conv3d(channels, inner, 1)
        self.value = nn.Conv3d(channels, inner, 1)
        self.out = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same."""
        pooled = nn.functional.max_pool3d(x, (1, 2, 2)) if min(x.shape[-2:]) > 1 else x
        query, key, value = (
            layer(part).flatten(2).transpose(1, 2)[:, None]  # (B, 1, places, inner)
            for layer, part in ((self.query, x), (self.key, pooled), (self.value, pooled))
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return x + self.norm(self.out(seen.transpose(1, 2).unflatten(2, x.shape[2:])))


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
        check_features(features, self.out_channels)
        return self.blocks(features.transpose(1, 2)).transpose(1, 2), None


def _walk(lstm: nn.LSTM, frames: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, T, D) -> what an LSTM says after each frame (B, T, hidden), state (2, 1, B, hidden)."""
    out, last = lstm(frames, None if state is None else tuple(state))
    return out, torch.stack(last)


def _conv(inner: int, outer: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)
    layers = nn.Sequential(conv, nn.BatchNorm2d(outer), nn.ReLU(inplace=True))
    return layers.to(memory_format=torch.channels_last)


def check_features(features: Tensor, channels: int | None = None) -> None:
    """Raises ValueError for another shape than (B, T, channels, H, W), or none at all."""
    if features.dim() != 5 or channels not in (None, features.shape[2]) or 0 in features.shape:
        raise ValueError(
            f"features must be (B, T, {channels or 'C'}, H, W) and not empty, got "
            f"{tuple(features.shape)}; for per-frame maps use x.unflatten(0, (B, T))"
        )
