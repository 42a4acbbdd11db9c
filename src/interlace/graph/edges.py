"""Edges: who hears whom, and how values move between nodes and edges."""

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

    def count(self, nodes: int) -> int:
        """E, among as many nodes."""
        return nodes * nodes if self.from_sender is None else len(self.from_sender)

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

    def of_pairs(self, values: Tensor) -> Tensor:
        """Those of the edges among values of all pairs: (..., N, N, E) -> (..., edges, E)."""
        pairs = values.flatten(-3, -2)
        if self.adjacency is None:
            return pairs
        mask = self.mask(values.shape[-2], values.device)
        return pairs[..., mask.flatten(), :]

    def softmax(self, logits: Tensor) -> Tensor:
        """Softmax over the senders that each receiver hears; 0 elsewhere and for the isolated."""
        if self.adjacency is None:
            return logits.softmax(-1)
        mask = self.mask(logits.shape[-1], logits.device)
        lowest = torch.finfo(logits.dtype).min
        return logits.masked_fill(~mask, lowest).softmax(-1) * mask

    def collect(self, weights: Tensor, messages: Tensor) -> Tensor:
        """Weighted sums of the messages to each node, g_i = sum_j a_ij m_ij.

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
        sender, receiver = self.from_sender.to(weights.dtype), self.from_receiver.to(weights.dtype)
        own = weights @ sender.t() * receiver.t()  # (..., heads, N, E): of each receiver's edges
        return (own.flatten(-3, -2) @ messages).unflatten(-2, weights.shape[-3:-1])
