"""What one may look at after a forward pass: where nodes looked and whom they listened to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

SPEAKS = 0.5  # of mass, from which pictures and measures take a node for one that speaks


@dataclass(frozen=True)
class Trace:
    """Regions, kernels, attention and nodes of one graph on one batch of clips.

    Returned by `block(features, return_trace=True)`; nothing of it is kept on a module. Tensors
    are detached and belong to the caller.

    Attributes:
        boxes: (B, T, N, 4) regions as (cx, cy, rx, ry) in [0, 1] of the frame, origin top left.
        kernels: (B, T, N, H, W) what each node pooled, non-negative, summing to 1 over (H, W).
        attention: (B, T, K, heads, N, N) weight of the message to receiver i (second last axis)
            from sender j (last axis) in each of K rounds; 0 where no edge is; K = 0 without
            messages. With a softmax gather each row sums to 1; in a homogeneous
            graph the rest of it went to the node's own past.
        nodes: (B, T, N, D) the final nodes.
        mass: (B, T, N) in [0, 1], whether a node had anything to look at; 1 where nodes are never
            silent.
    """

    boxes: Tensor
    kernels: Tensor
    attention: Tensor
    nodes: Tensor
    mass: Tensor
