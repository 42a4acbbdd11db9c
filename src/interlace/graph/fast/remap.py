"""Nodes onto the features through a norm that starts at zero, with no other map than the result."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interlace.graph.fast import suits
from interlace.graph.kernels import Kernel
from interlace.graph.readout import ToMap, ZeroStartNorm

LARGE = 2**21  # numbers in the features of a call, from which on it pays


def remap_suits(features: Tensor, readout: nn.Module, branch: nn.Module | None) -> bool:
    """Whether `add_remapped` may stand for features + branch(readout(...)), and pays.

    It was measured on CPUs. On small maps the plain way is as fast there, and in half precision
    where channels are last in memory.
    """
    if branch is None or not suits((readout, branch), (ToMap, ZeroStartNorm)):
        return False
    last = features.stride(-3) == 1
    half = torch.is_autocast_enabled(features.device.type) or features.dtype == torch.bfloat16
    return features.is_cpu and features.numel() >= LARGE and not (half and last)


def add_remapped(features: Tensor, nodes: Tensor, kernel: Kernel, norm: ZeroStartNorm) -> Tensor:
    """features + norm(remap(nodes, kernel)).

    A place of the map is sum_n K_n v_n. With nodes v_n of mean 0 over channels it has mean 0 and
    variance sum_nm K_n K_m cov(v_n, v_m), by which the kernel is divided. The shift is one more
    node, which is everywhere.

    Args:
        features: (B, T, C, H, W).
        nodes: (B, T, N, C).
        kernel: over (H, W).
        norm: over channels.
    """
    with torch.autocast(nodes.device.type, enabled=False):
        nodes = nodes.to(norm.weight.dtype)
        weights = kernel.dense().flatten(-2).to(nodes.dtype)  # (B, T, N, H * W)
        nodes = nodes - nodes.mean(-1, keepdim=True)
        covariance = nodes @ nodes.mT / nodes.shape[-1]  # (B, T, N, N)
        variance = (weights * (covariance @ weights)).sum(-2, keepdim=True).clamp(min=0)
        weights = weights * (variance + norm.eps).rsqrt()
        shift = norm.bias.expand(*nodes.shape[:2], 1, -1)
        nodes = torch.cat((nodes * norm.weight, shift), dim=-2)  # (B, T, N + 1, C)
        weights = torch.cat((weights, torch.ones_like(weights[:, :, :1])), dim=-2)
    return _add(features, nodes, weights)


def _add(features: Tensor, nodes: Tensor, weights: Tensor) -> Tensor:
    """X_yx + sum_n K_nyx v_n in the memory order of X; weights (B, T, N, H * W)."""
    places, weights = features.flatten(-2), weights.expand(*nodes.shape[:2], -1, -1)
    if torch.is_autocast_enabled(nodes.device.type):  # in one go, X would lose what it has more
        out = places + nodes.mT @ weights
    elif features.stride(-3) == 1:
        flat = (value.flatten(0, 1) for value in (places.mT, weights.mT, nodes))
        out = torch.baddbmm(*flat).unflatten(0, nodes.shape[:2]).mT
    else:
        flat = (value.flatten(0, 1) for value in (places, nodes.mT, weights))
        out = torch.baddbmm(*flat).unflatten(0, nodes.shape[:2])
    return out.unflatten(-1, features.shape[-2:])
