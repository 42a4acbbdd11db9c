"""Products of matrices for where gradients are written by hand or none are wanted.

On a CPU they are oneDNN's, which takes the ReLU of a linear layer along. In float32 torch itself
asks MKL, which on AMD's cores takes twice as long.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = False) -> Tensor:
    """x W^T + b, and max(0, .) of it; no gradient goes through.

    Args:
        x: (..., D).
        weight: (D', D), of the same type.
        bias: (D'), of the same type.
        relu: whether negative results become zero.

    Returns:
        (..., D'), in memory of its own.
    """
    if _has_one_dnn(x):
        after = "relu" if relu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], "")
    out = F.linear(x, weight, bias)
    return out.relu_() if relu else out


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b of matrices (M, K) and (K, N), in any memory order; no gradient goes through."""
    if a.dtype == torch.float32 and _has_one_dnn(a):
        return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")
    return a @ b


def _has_one_dnn(x: Tensor) -> bool:
    if x.device.type != "cpu" or torch.compiler.is_compiling() or not x.numel():
        return False
    if not (torch.backends.mkldnn.enabled and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    if x.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return x.dtype == torch.float32
