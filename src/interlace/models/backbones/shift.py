"""Temporal shift (TSM): some channels come from the frames beside, for nothing.

Lin, Gan and Han, "TSM: Temporal Shift Module for Efficient Video Understanding", 2019, section 4;
it makes a 2D network see time, and is the backbone of DyReg-GNN on real videos (section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.graph.state import carried
from interlace.models.baselines import Baseline, check_features
from interlace.models.insertion.insert import insert
from interlace.models.insertion.interlaced import Interlaced


class TemporalShift(Baseline):
    """The first 1/8 of the channels of the next frame, the second 1/8 of the previous one.

    Two-sided: it sees one frame ahead, so it needs the whole clip in one call. There are zeros
    before the first frame and after the last.

    Args:
        fraction: 8 moves one channel in 8 to each side.

    Example:
        >>> x = torch.arange(1.0, 4).expand(8, 3).t().reshape(1, 3, 8, 1, 1)  # frames 1, 2, 3
        >>> TemporalShift()(x)[0, :, :3, 0, 0].tolist()  # next, previous, the same
        [[2.0, 0.0, 1.0], [3.0, 1.0, 2.0], [0.0, 2.0, 3.0]]
    """

    def __init__(self, *, fraction: int = 8):  # TSM, figure 2: 1/4 of the channels in all
        super().__init__()
        if fraction < 2:
            raise ValueError(f"fraction must be at least 2, got {fraction}: both sides move")
        self.fraction = fraction

    def moved(self, features: Tensor) -> int:
        """How many channels of (B, T, C, H, W) move to each side."""
        check_features(features)
        channels = features.shape[2]
        if channels < self.fraction:
            raise ValueError(
                f"a shift of 1/{self.fraction} needs at least {self.fraction} channels, "
                f"got {channels}"
            )
        return channels // self.fraction

    def read(self, features: Tensor, state: None) -> tuple[Tensor, None]:
        """(B, T, C, H, W) -> the same."""
        if state is not None:
            raise ValueError(
                "a two-sided shift sees the next frame: it cannot go on from a state; use "
                "CausalShift for streams"
            )
        k = self.moved(features)
        out = features.clone()  # keeps the memory order
        out[:, :-1, :k], out[:, -1, :k] = features[:, 1:, :k], 0
        out[:, 1:, k : 2 * k], out[:, 0, k : 2 * k] = features[:, :-1, k : 2 * k], 0
        return out, None

    def extra_repr(self) -> str:
        return f"fraction={self.fraction}"


class CausalShift(TemporalShift):
    """The first 1/8 of the channels of the previous frame: for streams (TSM, section 4.2).

    Example:
        >>> x = torch.randn(1, 3, 16, 5, 5)
        >>> shift = CausalShift()
        >>> first, state = shift(x[:, :1], return_state=True)
        >>> torch.equal(torch.cat((first, shift(x[:, 1:], state)), 1), shift(x))
        True
    """

    def read(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(B, T, C, H, W) -> the same; state: (B, C // 8, H, W), of the last frame."""
        k = self.moved(features)
        moved = features[:, :, :k]
        first = carried(state, tuple(moved[:, 0].shape), moved)[:, None].to(moved.dtype)
        out = features.clone()  # keeps the memory order
        out[:, :, :k] = torch.cat((first, moved[:, :-1]), dim=1)
        return out, moved[:, -1]


def add_shift(
    network: nn.Module, *, at: Sequence[str] | None = None, causal: bool = False
) -> Interlaced:
    """Puts a temporal shift at the input of each residual block's first convolution.

    Weights keep their names, so those of the 2D network can be loaded before and after.

    Args:
        network: a 2D network; changed in place, as by `insert`.
        at: modules whose input is shifted; None finds `conv1` of every block that has a `conv2`
            too, as in the ResNets of torchvision and timm.
        causal: `CausalShift`, for streams; else `TemporalShift`.

    Returns:
        The network over video, see `Interlaced`.

    Raises:
        ValueError: for a network without such blocks.

    Example:
        >>> from torchvision.models import resnet18
        >>> model = add_shift(resnet18(num_classes=5)).eval()
        >>> model(torch.randn(2, 4, 3, 64, 64)).shape  # (B, T, classes)
        torch.Size([2, 4, 5])
    """
    at = first_convolutions(network) if at is None else at
    if not at:
        raise ValueError(
            "found no residual block with a conv1 and a conv2: name the modules whose input is "
            'to be shifted, at=["blocks.0.conv", ...]'
        )
    kind = CausalShift if causal else TemporalShift
    return insert(network, before={name: kind() for name in at})


def first_convolutions(network: nn.Module) -> list[str]:
    """Names of `conv1` in every block, not the root, that has a `conv1` and a `conv2`.

    Example:
        >>> from torchvision.models import resnet18
        >>> first_convolutions(resnet18())[:3]
        ['layer1.0.conv1', 'layer1.1.conv1', 'layer2.0.conv1']
    """
    inner = network.network if isinstance(network, Interlaced) else network
    return [
        f"{name}.conv1"
        for name, block in inner.named_modules()
        if name and {"conv1", "conv2"} <= dict(block.named_children()).keys()
    ]
