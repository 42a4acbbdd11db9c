"""Staged: a graph in the middle of a network, then the rest of the network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interlace.models.baselines import Baseline
from interlace.models.classifier import given


class Staged(nn.Module):
    """A block on the features of the first stages, then the stages after it, on each frame.

    out = rest(block(features)), with the face of a `GraphBlock`: what the block carries and shows
    is handed through; the rest sees one frame at a time and carries nothing. DyReg, section 4.2.

    Args:
        block: a graph or a baseline whose readout is a map; None for the plain network.
        rest: frames (M, C, H, W) -> (M, out_channels, H', W').
        out_channels: of the rest.

    Example:
        >>> import interlace
        >>> from interlace.models.backbones.resnet import resnet18_stage
        >>> body = Staged(interlace.RSTG(128, width=32), resnet18_stage(3), out_channels=256)
        >>> body(torch.zeros(1, 2, 128, 16, 16)).shape
        torch.Size([1, 2, 256, 8, 8])
    """

    def __init__(self, block: nn.Module | None, rest: nn.Module, *, out_channels: int):
        super().__init__()
        self.block = NoBlock() if block is None else block
        self.rest = rest
        self.out_channels = out_channels

    def forward(
        self,
        features: Tensor,
        state: Any = None,
        *,
        boxes: Tensor | None = None,
        return_state: bool = False,
        return_trace: bool = False,
    ) -> Any:
        """As `GraphBlock.forward`: features (B, T, C, H, W) -> (B, T, out_channels, H', W').

        The state and the trace are the block's, and boxes are for it.
        """
        out = self.block(
            features, state, return_state=return_state, return_trace=return_trace, **given(boxes)
        )
        maps, *others = out if isinstance(out, tuple) else (out,)
        if maps.dim() != 5:
            raise ValueError(
                "the rest of a network needs a map (B, T, C, H, W) from the block, got "
                f'{tuple(maps.shape)}: build the block with readout="map"'
            )
        frames = maps.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        maps = self.rest(frames).unflatten(0, maps.shape[:2])
        return (maps, *others) if others else maps


class NoBlock(Baseline):
    """Leaves features as they are. There is nothing to carry: the state is empty."""

    def read(self, features: Tensor, state: tuple[()] | None) -> tuple[Tensor, tuple[()]]:
        """State: ()."""
        if state:
            raise ValueError("a network without a block carries nothing, got a state from another")
        return features, ()
