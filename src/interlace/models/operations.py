"""How many operations a model takes: all products of a forward pass, and its norms.

A multiply-add is one operation, and a norm takes two for each number. That is how DyReg-GNN's
Table 12 counts: a TSM-ResNet-50 has 65.4 G multiply-adds for 16 frames of 224 x 224 pixels, 65.8 G
operations with its norms.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.graph.regions.regions import Regions, triangles


@dataclass(frozen=True)
class Operations:
    """What one forward pass takes.

    Attributes:
        products: multiply-adds of convolutions, matrix products, attention and recurrences.
        norms: two for each number that is normalised.
    """

    products: int
    norms: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.products + self.norms


def count_operations(model: nn.Module, shape: Sequence[int]) -> Operations:
    """Counts without computing: shapes alone go through the model.

    Args:
        model: left as it is.
        shape: (B, T, C, H, W) of the video.

    Example:
        >>> from interlace.models.registry import create_model
        >>> count_operations(create_model("tsm_r18"), (1, 8, 3, 224, 224)).total / 1e9
        14.54...
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, GraphBlock) and module.needs_boxes:
            module.regions.forward = partial(_anywhere, module.regions.nodes)
    like = next(model.parameters())
    # what the library's counter does not know, in its unit: a multiply-add is two
    formulas: Any = {**dict.fromkeys(_NORMS, _norm), _ATEN.mkldnn_rnn_layer: _recurrence}
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    # attention is only counted where it is written out in products
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        counter,
        sdpa_kernel(SDPBackend.MATH),
        torch.no_grad(),
    ):
        model(torch.zeros(tuple(shape), dtype=like.dtype, device=like.device))
    counts = counter.get_flop_counts()["Global"]
    norms = sum(flops for operation, flops in counts.items() if operation in _NORMS)
    return Operations((sum(counts.values()) - norms) // 2, norms // 2)


def _anywhere(
    nodes: int, features: Tensor, state: None = None, boxes: None = None
) -> tuple[Regions, None]:
    """Boxes that somebody gives: finding them is no part of the model."""
    return triangles(features.new_full((*features.shape[:2], nodes, 4), 0.5), features), None


_ATEN = torch.ops.aten
_NORMS = (
    _ATEN.native_batch_norm,
    _ATEN._native_batch_norm_legit_no_training,
    _ATEN.native_layer_norm,
    _ATEN.native_group_norm,
)


def _norm(x: Sequence[int], *_: Any, **__: Any) -> int:
    return 4 * math.prod(x)


def _recurrence(x: Sequence[int], first: Any, second: Any, *_: Any, **__: Any) -> int:
    """`nn.LSTM` on a CPU: every frame of every node goes through both matrices, x is (T, M, D)."""
    return 2 * x[0] * x[1] * (math.prod(first) + math.prod(second))
