"""The space stage: send, gather and update among the nodes of one frame (RSTG, section 2.1).

All frames of a call go through at once; only edges that exist get a message.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interlace.graph.checkpoint import again_if
from interlace.graph.edges import Edges

LEAST_MASS = 1e-4  # what a silent node still weighs, so that attention has a logarithm of it
LARGE = 3 * 2**18  # numbers in all messages of a call, from which on they are computed twice


class Send(nn.Module):
    """m_ij = MLP_s([v_j | v_i]), what sender j tells receiver i (eqs. 1 and 2).

    The first layer is a sum of a sender's and a receiver's part, W_s v_j + W_r v_i, so it costs N
    products and not one for each edge.

    Args:
        width: D of nodes and messages.
        layers: linear layers of the MLP, each followed by a ReLU.
        positions: size of the position code joined to each node before sending; 0 for none.
        relations: E, what messages carry of how their two nodes are related, beside these.
    """

    def __init__(self, width: int, *, layers: int = 2, positions: int = 0, relations: int = 0):
        super().__init__()
        if layers < 1:
            raise ValueError(f"a message needs at least one layer, got layers={layers}")
        self.sender = nn.Linear(width + positions, width)
        self.receiver = nn.Linear(width + positions, width, bias=False)
        self.deeper = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.relation = nn.Linear(relations, width, bias=False) if relations else None
        self.positions = positions

    def forward(
        self,
        nodes: Tensor,
        edges: Edges,
        positions: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> Tensor:
        """nodes (B, T, N, D), positions (..., N, P) -> messages (B, T, edges, D).

        relations (B, T, N, N, E), receiver first.
        """
        if self.positions:
            if positions is None:
                raise ValueError("this space stage sends positions, but the graph gave it none")
            nodes = torch.cat((nodes, positions.to(nodes.dtype).expand(*nodes.shape[:-1], -1)), -1)
        elif positions is not None:
            size = positions.shape[-1]
            raise ValueError(
                f"the graph gives positions that `Send` does not take: Send(..., positions={size})"
            )
        if relations is not None and self.relation is None:
            size = relations.shape[-1]
            raise ValueError(
                f"the graph gives relations that `Send` does not take: Send(..., relations={size})"
            )
        messages = edges.add(self.sender(nodes), self.receiver(nodes))
        if self.relation is not None:
            if relations is None:
                raise ValueError("this space stage sends relations, but the graph gave it none")
            related = edges.of_pairs(relations).to(self.relation.weight.dtype)
            messages = messages + self.relation(related).to(messages.dtype)
        messages = messages.relu()
        for layer in self.deeper:
            messages = layer(messages).relu()
        return messages


class SumGather(nn.Module):
    """g_i = sum of the messages to i: every message counts the same (section 2.1)."""

    def forward(
        self, nodes: Tensor, messages: Tensor, edges: Edges, mass: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """-> gathered (B, T, N, D), weights (B, T, 1, N, N); a sender counts by its mass."""
        weights = edges.mask(nodes.shape[-2], nodes.device).to(nodes.dtype)
        weights = weights.expand(*nodes.shape[:2], 1, -1, -1)
        if mass is not None:
            weights = weights * mass.to(weights.dtype)[:, :, None, None]
        return edges.collect(weights, messages).squeeze(2), weights


class MeanGather(SumGather):
    """g_i = mean of the messages to i."""

    def forward(
        self, nodes: Tensor, messages: Tensor, edges: Edges, mass: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """-> gathered (B, T, N, D), weights (B, T, 1, N, N); a sender counts by its mass."""
        gathered, weights = super().forward(nodes, messages, edges, mass)
        least = 1.0 if mass is None else LEAST_MASS
        heard = weights[:, :, 0].sum(-1, keepdim=True).clamp(min=least)
        return gathered / heard, weights / heard[:, :, None]


class DotGather(nn.Module):
    """g_i = sum_j softmax_j((W_1 v_j) . (W_2 v_i)) m_ij over the neighbours j of i (eqs. 3 and 4).

    With several heads, each weighs a projection of the messages to D / heads in its own way. With
    relations, a bias MLP_r(e_ij) of each head is added to the logits, as edges bias attention in
    Graphormer (Ying et al., 2021): a node can listen to those that move as it does.

    Args:
        width: D of nodes and messages.
        heads: must divide D.
        scaled: divides the logits by sqrt(D / heads) (Vaswani et al., 2017), so that wide nodes do
            not choose one sender before they have learnt whom; the paper does not.
        relations: E, how many numbers say how two nodes are related; 0 for none.
    """

    def __init__(self, width: int, *, heads: int = 1, scaled: bool = False, relations: int = 0):
        super().__init__()
        self.heads = _check_heads(width, heads)
        self.scale = (width // heads) ** -0.5 if scaled else 1.0
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.message = HeadProjection(width, heads)
        self.relation = relation_bias(relations, heads) if relations else None

    def logits(self, nodes: Tensor) -> Tensor:
        """(B, T, N, D) -> (B, T, heads, N receiver, N sender)."""
        query = self.query(nodes).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
        key = self.key(nodes).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
        logits = query @ key.transpose(-1, -2)
        return logits if self.scale == 1 else logits * self.scale

    def forward(
        self,
        nodes: Tensor,
        messages: Tensor,
        edges: Edges,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """-> gathered (B, T, N, D), weights (B, T, heads, N, N), proportional to mass_j, too.

        relations (B, T, N, N, E), receiver first.
        """
        logits = self.logits(nodes)
        if self.relation is not None:
            if relations is None:
                raise ValueError("this space stage weighs relations, but the graph gave it none")
            bias = self.relation(relations.to(logits.dtype))  # (B, T, N, N, heads)
            logits = logits + bias.movedim(-1, 2)
        if mass is not None:
            logits = logits + mass.clamp(min=LEAST_MASS).log()[:, :, None, None]
        weights = edges.softmax(logits)
        return self.message(edges.collect(weights, messages), weights), weights


def relation_bias(relations: int, heads: int, *, hidden: int = 32) -> nn.Module:
    """MLP_r: how two nodes are related (..., E) -> how much each head listens (..., heads).

    A linear one was no better than none: what counts is whether a number is near its largest.
    """
    return nn.Sequential(
        nn.Linear(relations, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False)
    )


class AdditiveGather(DotGather):
    """As `DotGather`, with logits leaky_relu(w_1 . v_j + w_2 . v_i), slope 0.2."""

    def __init__(self, width: int, *, heads: int = 1, relations: int = 0):
        nn.Module.__init__(self)
        self.heads = _check_heads(width, heads)
        self.scale = 1.0
        self.query = nn.Linear(width, heads)
        self.key = nn.Linear(width, heads)
        self.message = HeadProjection(width, heads)
        self.relation = relation_bias(relations, heads) if relations else None

    def logits(self, nodes: Tensor) -> Tensor:
        """(B, T, N, D) -> (B, T, heads, N receiver, N sender)."""
        query = self.query(nodes).transpose(-1, -2)[..., :, None]  # (B, T, heads, N, 1)
        key = self.key(nodes).transpose(-1, -2)[..., None, :]
        return nn.functional.leaky_relu(query + key, 0.2)


class HeadProjection(nn.Module):
    """Joins what the heads gathered: head h keeps W_h (sum_j a_ij m_ij) + b_h.

    The projection is linear, so it follows the sum, whose weights are 1 together: N products and
    not one for each edge. Who hears nobody, whose weights are all 0, gets 0. One head has none.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.linear = nn.Linear(width, width) if heads > 1 else None

    def forward(self, gathered: Tensor, weights: Tensor) -> Tensor:
        """gathered (B, T, heads, N, D), weights (B, T, heads, N, N) -> (B, T, N, D)."""
        if self.linear is None:
            return gathered.squeeze(2)
        heads = gathered.shape[2]
        joined = self.linear(gathered)  # (B, T, heads, N, D), of which each head keeps its part
        joined = joined * weights.sum(-1, keepdim=True).to(joined.dtype)
        own = joined.unflatten(-1, (heads, -1)).diagonal(dim1=2, dim2=-2)
        return own.transpose(-1, -2).flatten(-2)  # (B, T, N, D)


class Update(nn.Module):
    """v_i <- MLP_u([v_i | g_i]) (eq. 5), with the same weights for all nodes or a set per scale.

    Args:
        width: D.
        layers: linear layers of the MLP, each followed by a ReLU.
        groups: how many nodes share each set of weights, in order, e.g. (9, 4, 1) for one set per
            scale; None for one set for all.
    """

    def __init__(self, width: int, *, layers: int = 2, groups: Sequence[int] | None = None):
        super().__init__()
        if layers < 1:
            raise ValueError(f"an update needs at least one layer, got layers={layers}")
        self.groups = None if groups is None else list(groups)
        self.mlps = nn.ModuleList(
            nn.ModuleList(nn.Linear(2 * width if k == 0 else width, width) for k in range(layers))
            for _ in range(1 if groups is None else len(groups))
        )

    def forward(self, nodes: Tensor, gathered: Tensor) -> Tensor:
        """nodes and gathered (B, T, N, D) -> (B, T, N, D)."""
        joined = torch.cat((nodes, gathered.to(nodes.dtype)), dim=-1)
        parts = (joined,) if self.groups is None else joined.split(self.groups, dim=-2)
        updated = []
        for part, mlp in zip(parts, self.mlps, strict=True):
            for layer in mlp.children():
                part = layer(part).relu()
            updated.append(part)
        return updated[0] if len(updated) == 1 else torch.cat(updated, dim=-2)


class ResidualUpdate(nn.Module):
    """v_i <- v_i + MLP_u([v_i | g_i]): a node starts as itself, so that many rounds train.

    Args:
        update: nodes, gathered -> nodes.
    """

    def __init__(self, update: nn.Module):
        super().__init__()
        self.update = update

    def forward(self, nodes: Tensor, gathered: Tensor) -> Tensor:
        """nodes and gathered (B, T, N, D) -> (B, T, N, D)."""
        return nodes + self.update(nodes, gathered)


class AddUpdate(nn.Module):
    """v_i <- v_i + g_i: no weights (the DyReg-GNN authors' program)."""

    def forward(self, nodes: Tensor, gathered: Tensor) -> Tensor:
        """nodes and gathered (B, T, N, D) -> (B, T, N, D)."""
        return nodes + gathered.to(nodes.dtype)


class TakeUpdate(nn.Module):
    """v_i <- g_i: what was heard replaces the node (DyReg-GNN, eq. 8 to the letter)."""

    def forward(self, nodes: Tensor, gathered: Tensor) -> Tensor:
        """nodes and gathered (B, T, N, D) -> (B, T, N, D)."""
        return gathered.to(nodes.dtype)


class SpaceStage(nn.Module):
    """One exchange of messages: send, gather, update, norm.

    Args:
        send: nodes, edges, positions -> messages, e.g. `Send`; relations too, where there are any.
        gather: nodes, messages, edges -> gathered, weights, e.g. `DotGather`; where nodes can be
            silent, `mass=` too, and `relations=` for one with a `relation` that weighs them.
        update: nodes, gathered -> nodes, e.g. `Update`.
        norm: on the updated nodes; the paper has none, depth in rounds trains better with one.
        adjacency: (N, N) bool, receiver first; None joins every pair, each node with itself too.
    """

    def __init__(
        self,
        send: nn.Module,
        gather: nn.Module,
        update: nn.Module,
        *,
        norm: nn.Module | None = None,
        adjacency: Tensor | None = None,
    ):
        super().__init__()
        self.send = send
        self.gather = gather
        self.update = update
        self.norm = nn.Identity() if norm is None else norm
        self.edges = Edges(adjacency)

    def forward(
        self,
        nodes: Tensor,
        state: None = None,
        positions: Tensor | None = None,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, None, Tensor]:
        """Let the nodes of each frame talk once.

        Args:
            nodes: (B, T, N, D).
            state: not used; every stage has this face.
            positions: (..., N, P) codes for `send`.
            mass: (B, T, N) in [0, 1]: a node without content is not heard, and stays at zero.
            relations: (B, T, N, N, E), receiver first, for `send` and `gather`.

        Returns:
            nodes (B, T, N, D); no state; attention (B, T, heads, N receiver, N sender).
        """
        gathered, attention = self.hear(nodes, positions, mass, relations)
        return self.finish(nodes, gathered, mass), None, attention

    def finish(self, nodes: Tensor, gathered: Tensor, mass: Tensor | None = None) -> Tensor:
        """Update and norm: nodes and gathered (B, T, N, D) -> (B, T, N, D)."""
        updated = self.norm(self.update(nodes, gathered))
        return updated if mass is None else weighed(updated, mass)

    def hear(
        self,
        nodes: Tensor,
        positions: Tensor | None = None,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Send and gather: nodes (B, T, N, D) -> what each was told, and its attention.

        There are many more edges than nodes, so many messages are computed twice in training.
        """
        batch, frames, count, width = nodes.shape
        numbers = batch * frames * self.edges.count(count) * width
        return again_if(numbers > LARGE, self._hear, nodes, positions, mass, relations)

    def _hear(
        self,
        nodes: Tensor,
        positions: Tensor | None,
        mass: Tensor | None,
        relations: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        related = () if relations is None else (relations,)
        messages = self.send(nodes, self.edges, positions, *related)  # (B, T, E, D)
        known = {} if mass is None else {"mass": mass}
        if relations is not None and getattr(self.gather, "relation", None) is not None:
            known["relations"] = relations
        return self.gather(nodes, messages, self.edges, **known)


def weighed(nodes: Tensor, mass: Tensor) -> Tensor:
    """nodes (B, T, N, D), each times its mass (B, T, N)."""
    return nodes * mass[..., None].to(nodes.dtype)


def _check_heads(width: int, heads: int) -> int:
    if heads < 1 or width % heads:
        raise ValueError(f"heads must divide the width of the nodes, got {heads} for {width}")
    return heads
