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
        self.axes = tuple(range(-axes, 0))
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(
            x.to(self.weight.dtype), self.axes, correction=0, keepdim=True
        )
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, axes={len(self.axes)}, eps={self.eps}"
