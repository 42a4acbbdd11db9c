"""Norms whose statistics run over several axes, as in the authors' programs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class JointNorm(nn.Module):
    """Normalise over the last `axes` axes together, then one scale and bias per channel.

    With axes = 1 this is `nn.LayerNorm`; with axes = 2 on nodes (B, T, N, D) the mean and variance
    are those of the whole frame's nodes.

    Args:
        channels: size of the last axis.
        axes: how many trailing axes share their statistics.
        eps: added to the variance.
    """

    def __init__(self, channels: int, *, axes: int = 2, eps: float = 1e-5):
        super().__init__()
        self.axes = axes
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = x.shape[-self.axes :]
        normed = nn.functional.layer_norm(x.to(self.weight.dtype), shape, eps=self.eps)
        return normed * self.weight + self.bias

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, axes={self.axes}, eps={self.eps}"
