"""Edges: who hears whom, and the fast path of a message along them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        """What sender and receiver bring to each edge, added: (B, T, N, D) twice -> (B, T, E, D)."""
        if self.from_sender is None or self.from_receiver is None:
            return (sent[..., None, :, :] + received[..., :, None, :]).flatten(-3, -2)
        self.mask(sent.shape[-2], sent.device)
        both = torch.cat((self.from_sender, self.from_receiver), dim=1).to(sent.dtype)
        return both @ torch.cat((sent, received), dim=-2)

    def sum_to_nodes(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The transpose of `add`: (B, T, E, D) -> sums at senders and at receivers (B, T, N, D)."""
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
            weights: (B, T, heads, N, N), receiver first.
            messages: (B, T, E, D).

        Returns:
            (B, T, heads, N, D).
        """
        weights = weights.to(messages.dtype)
        if self.from_sender is None or self.from_receiver is None:
            square = messages.unflatten(-2, weights.shape[-2:])  # (B, T, receiver, sender, D)
            return torch.einsum("bthij,btijd->bthid", weights, square)
        incidence = self.from_sender.to(messages.dtype).t()  # (N, E)
        onto = weights @ incidence * self.from_receiver.to(messages.dtype).t()  # (B,T,heads,N,E)
        return onto.flatten(2, 3).matmul(messages).unflatten(2, weights.shape[2:4])


def message_layer(
    sent: Tensor, received: Tensor, weight: Tensor, bias: Tensor, edges: Edges
) -> Tensor:
    """relu(W relu(sent_j + received_i) + b) on every edge, keeping only its result for backward.

    What enters the layer is added up again in the backward pass, where autograd would keep it:
    a sum is cheaper than the memory it would take.

    Args:
        sent: (B, T, N, D) the sender's part of the first layer.
        received: (B, T, N, D) the receiver's part.
        weight: (D, D) of the second layer.
        bias: (D,).
        edges: where to compute it.

    Returns:
        (B, T, E, D).
    """
    if torch.is_autocast_enabled(sent.device.type):
        dtype = torch.get_autocast_dtype(sent.device.type)
        sent, received, weight, bias = (x.to(dtype) for x in (sent, received, weight, bias))
    return _MessageLayer.apply(sent, received, weight, bias, edges)


class _MessageLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, sent, received, weight, bias, edges):
        messages = F.linear(edges.add(sent, received).relu_(), weight, bias).relu_()
        ctx.save_for_backward(sent, received, weight, messages)
        ctx.edges = edges
        return messages

    @staticmethod
    def backward(ctx, grad):
        sent, received, weight, messages = ctx.saved_tensors
        grad = torch.where(messages > 0, grad, 0).flatten(0, -2)  # (B * T * E, D)
        hidden = ctx.edges.add(sent, received).relu_()
        flat = hidden.flatten(0, -2)
        grad_weight, grad_bias = grad.t() @ flat, grad.sum(0)
        grad_hidden = torch.where(flat > 0, grad @ weight, 0).view_as(hidden)
        grad_sent, grad_received = ctx.edges.sum_to_nodes(grad_hidden)
        return grad_sent, grad_received, grad_weight, grad_bias, None
