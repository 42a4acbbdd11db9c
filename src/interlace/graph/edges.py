"""Edges: who hears whom, and the messages along them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.graph.linear import linear, product

CHUNK = 2**18  # numbers of all messages that are worked on at once: they should fit into a cache
KEPT = 3  # chunks a call may have for its messages to be kept for the backward pass


class Edges(nn.Module):
    """The directed edges of a graph, ordered by receiver, then sender.

    Values move between nodes and edges by products with thin 0/1 matrices, or by broadcasting
    where every pair is joined: no indexing, which is slow in both directions on CPUs.

    Args:
        adjacency: (N, N) bool, [i, j] true where receiver i hears sender j; None joins every pair,
            each node with itself too, for any N.
    """

    from_sender: Tensor | None
    from_receiver: Tensor | None
    adjacency: Tensor | None

    def __init__(self, adjacency: Tensor | None = None):
        super().__init__()
        if adjacency is None:
            for name in ("adjacency", "from_sender", "from_receiver"):
                self.register_buffer(name, None)
            return
        if adjacency.dim() != 2 or adjacency.shape[0] != adjacency.shape[1]:
            raise ValueError(f"adjacency must be (N, N), got {tuple(adjacency.shape)}")
        receiver, sender = adjacency.bool().nonzero(as_tuple=True)
        count = len(adjacency)
        self.register_buffer("adjacency", adjacency.bool(), persistent=False)
        for name, index in (("from_sender", sender), ("from_receiver", receiver)):
            incidence = F.one_hot(index, count).to(torch.get_default_dtype())  # (E, N)
            self.register_buffer(name, incidence, persistent=False)

    def mask(self, count: int, device: torch.device) -> Tensor:
        """(N, N) bool, [i, j] true where i hears j."""
        if self.adjacency is None:
            return torch.ones(count, count, dtype=torch.bool, device=device)
        if count != len(self.adjacency):
            raise ValueError(f"the graph has edges for {len(self.adjacency)} nodes, got {count}")
        return self.adjacency

    def add(self, sent: Tensor, received: Tensor) -> Tensor:
        """Adds what sender and receiver bring to each edge: (..., N, D) twice -> (..., E, D)."""
        if self.from_sender is None or self.from_receiver is None:
            return (sent[..., None, :, :] + received[..., :, None, :]).flatten(-3, -2)
        self.mask(sent.shape[-2], sent.device)
        both = torch.cat((self.from_sender, self.from_receiver), dim=1).to(sent.dtype)
        return both @ torch.cat((sent, received), dim=-2)

    def sum_to_nodes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The transpose of `add`: (..., E, D) -> sums at senders and at receivers (..., N, D)."""
        if self.from_sender is None or self.from_receiver is None:
            count = round(values.shape[-2] ** 0.5)
            square = values.unflatten(-2, (count, count))  # (B, T, receiver, sender, D)
            return square.sum(-3), square.sum(-2)
        both = torch.cat((self.from_sender, self.from_receiver), dim=1).to(values.dtype)
        sent, received = (both.t() @ values).chunk(2, dim=-2)
        return sent, received

    def softmax(self, logits: Tensor) -> Tensor:
        """Softmax over the senders that each receiver hears; 0 elsewhere and for the isolated."""
        if self.adjacency is None:
            return logits.softmax(-1)
        mask = self.mask(logits.shape[-1], logits.device)
        lowest = torch.finfo(logits.dtype).min
        return logits.masked_fill(~mask, lowest).softmax(-1) * mask

    def collect(self, weights: Tensor, messages: Tensor) -> Tensor:
        """Weighted sums of the messages to each node.

        Args:
            weights: (..., heads, N, N), receiver first.
            messages: (..., E, D).

        Returns:
            (..., heads, N, D).
        """
        weights = weights.to(messages.dtype)
        if self.from_sender is None or self.from_receiver is None:
            square = messages.unflatten(-2, weights.shape[-2:])  # (..., receiver, sender, D)
            return (weights.transpose(-2, -3) @ square).transpose(-2, -3)
        onto = self._onto_edges(weights)  # (..., heads, N, E)
        return (onto.flatten(-3, -2) @ messages).unflatten(-2, weights.shape[-3:-1])

    def collect_backward(
        self, grad: Tensor, weights: Tensor, messages: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of `collect`: (..., heads, N, D) -> those of the weights and the messages."""
        weights = weights.to(messages.dtype)
        if self.from_sender is None or self.from_receiver is None:
            square = messages.unflatten(-2, weights.shape[-2:])
            rows = grad.transpose(-2, -3)  # (..., receiver, heads, D)
            to_weights = (rows @ square.transpose(-1, -2)).transpose(-2, -3)
            to_messages = weights.movedim(-3, -1) @ rows  # (..., receiver, sender, D)
            return to_weights, to_messages.flatten(-3, -2)
        onto = self._onto_edges(weights).flatten(-3, -2)  # (..., heads * N, E)
        flat = grad.flatten(-3, -2)  # (..., heads * N, D)
        to_onto = (flat @ messages.transpose(-1, -2)).unflatten(-2, weights.shape[-3:-1])
        to_onto = to_onto * self.from_receiver.to(grad.dtype).t()
        return to_onto @ self.from_sender.to(grad.dtype), onto.transpose(-1, -2) @ flat

    def _onto_edges(self, weights: Tensor) -> Tensor:
        """(..., heads, N, N) -> (..., heads, N, E): each receiver's weights of its own edges."""
        assert self.from_sender is not None
        assert self.from_receiver is not None
        sender, receiver = self.from_sender.to(weights.dtype), self.from_receiver.to(weights.dtype)
        return weights @ sender.t() * receiver.t()


class Messages(NamedTuple):
    """m_ij = MLP_s([v_j | v_i]) on every edge: what is needed to compute them, not their values.

    There are many more edges than nodes, so messages are computed a few frames at a time while
    they are collected, and once more in the backward pass. Nothing with a row for each edge is
    kept, unless all of it is small: it costs one product more and several times less memory.
    """

    sent: Tensor  # (B, T, N, D), the sender's part of the first layer
    received: Tensor  # (B, T, N, D), the receiver's part
    layers: Sequence[nn.Linear]  # the other layers
    edges: Edges

    def dense(self) -> Tensor:
        """(B, T, E, D): all messages at once, receiver by receiver."""
        messages = self.edges.add(self.sent, self.received).relu()
        for layer in self.layers:
            messages = layer(messages).relu()
        return messages

    def collect(self, weights: Tensor) -> Tensor:
        """Weighted sums (B, T, heads, N, D), with weights (B, T, heads, N, N), receiver first."""
        parameters = [p for layer in self.layers for p in (layer.weight, layer.bias)]
        parts = (weights, self.sent, self.received, *parameters)
        if torch.is_grad_enabled() and any(part.requires_grad for part in parts):
            return _Collect.apply(self.edges, *parts)
        return _collect(self.edges, *parts, kept=None)


def _collect(
    edges: Edges,
    weights: Tensor,
    sent: Tensor,
    received: Tensor,
    *parameters: Tensor,
    kept: list[Tensor] | None,
) -> Tensor:
    """What every layer gave goes to `kept`, chunk by chunk."""
    layers = _layers(parameters, sent.dtype)
    parts = []
    for w, s, r in _chunks(edges, weights, sent, received):
        values = _mlp(edges.add(s, r), layers)
        parts.append(edges.collect(w, values[-1]))
        if kept is not None:
            kept += values
    return torch.cat(parts).unflatten(0, sent.shape[:2])


class _Collect(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, edges: Edges, weights: Tensor, sent: Tensor, received: Tensor, *parameters: Tensor
    ) -> Tensor:
        kept: list[Tensor] = []
        small = len(sent.flatten(0, 1)) * _numbers(edges, sent) <= KEPT * CHUNK
        out = _collect(edges, weights, sent, received, *parameters, kept=kept if small else None)
        ctx.edges, ctx.count = edges, len(parameters)
        ctx.save_for_backward(weights, sent, received, *parameters, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        edges, (weights, sent, received, *others) = ctx.edges, ctx.saved_tensors
        parameters, kept = others[: ctx.count], others[ctx.count :]
        layers = _layers(parameters, sent.dtype)
        grads = [torch.zeros_like(p) for p in parameters]
        to_nodes = []
        for g, w, s, r in _chunks(edges, grad, weights, sent, received):
            if kept:
                values, kept = kept[: len(layers) + 1], kept[len(layers) + 1 :]
            else:
                values = _mlp(edges.add(s, r), layers)
            to_weights, to_value = edges.collect_backward(g, w, values[-1])
            for k in reversed(range(len(layers))):
                to_value = _relu_backward(to_value, values[k + 1]).flatten(0, -2)
                grads[2 * k] += product(to_value.t(), values[k].flatten(0, -2))
                grads[2 * k + 1] += to_value.sum(0)
                to_value = product(to_value, layers[k][0]).view_as(values[k])
            to_value = _relu_backward(to_value, values[0])
            to_nodes.append((to_weights.to(weights.dtype), *edges.sum_to_nodes(to_value)))
        joined = [
            torch.cat(parts).unflatten(0, sent.shape[:2]) for parts in zip(*to_nodes, strict=True)
        ]
        return None, *joined, *grads


def _layers(parameters: Sequence[Tensor], dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    cast = [p.to(dtype) for p in parameters]
    return list(zip(cast[::2], cast[1::2], strict=True))


def _mlp(first: Tensor, layers: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """What comes out of every layer of the MLP; `first` is overwritten."""
    values = [first.relu_()]
    for weight, bias in layers:
        values.append(linear(values[-1], weight, bias, relu=True))
    return values


def _relu_backward(grad: Tensor, out: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(grad, out, 0)


def _chunks(edges: Edges, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Values of a few frames at a time: (B, T, ...) -> (frames, ...)."""
    flat = [tensor.flatten(0, 1) for tensor in tensors]
    frames = max(1, CHUNK // max(1, _numbers(edges, tensors[-1])))
    if torch.compiler.is_compiling():
        frames = len(flat[0])
    return zip(*(tensor.split(frames) for tensor in flat), strict=True)


def _numbers(edges: Edges, nodes: Tensor) -> int:
    """How many numbers the messages of a frame have."""
    count, width = nodes.shape[-2:]
    return width * (count * count if edges.from_sender is None else len(edges.from_sender))
