"""The rounds: a schedule of time and space stages (RSTG, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from interlace.graph.space_stage import SpaceStage
from interlace.graph.state import State, carried

# RSTG, section 3.1.1: which stages follow each other, for K rounds
SCHEDULES = {
    "all-temp": lambda rounds: ("time", "space") * rounds + ("final",),
    "1-temp": lambda rounds: ("space",) * rounds + ("final",),
    "space-only": lambda rounds: ("space",) * rounds + ("mean",),
    "time-only": lambda rounds: ("final",),
    "homogeneous": lambda rounds: ("both",) * rounds,
}


class Recurrence(nn.Module):
    """Runs the stages of a schedule one after another, each over all frames of the call.

    Stage k at frame t hears stage k at frame t - 1, so running stage by stage is the same as
    frame by frame. A stage named twice has one set of weights and a state for each place.

    Args:
        stages: name -> module (nodes, state, positions) -> (nodes, state, attention); told `mass=`
            where nodes can be silent, and `relations=` where messages carry these.
        schedule: names in the order they run, e.g. `SCHEDULES["all-temp"](3)`.
    """

    def __init__(self, stages: Mapping[str, nn.Module], schedule: Sequence[str]):
        super().__init__()
        if set(stages) != set(schedule):
            raise ValueError(f"the schedule runs {sorted(set(schedule))}, got {sorted(stages)}")
        self.stages = nn.ModuleDict(stages)
        self.schedule = tuple(schedule)

    def forward(
        self,
        nodes: Tensor,
        state: State | None = None,
        positions: Tensor | None = None,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, State, list[Tensor]]:
        """Run all rounds over the frames of a clip, or of a chunk of a stream.

        Args:
            nodes: (B, T, N, D).
            state: what the last call returned; None starts a stream.
            positions: (..., N, P) codes that space stages may send along.
            mass: (B, T, N) in [0, 1], how much each node is heard; None: all alike.
            relations: (B, T, N, N, E), receiver first, that messages may carry.

        Returns:
            nodes (B, T, N, D), state (one entry for each stage of the schedule, None where a stage
            remembers nothing), attention of each round (B, T, heads, N, N).
        """
        before = (None,) * len(self.schedule) if state is None else tuple(state)
        if len(before) != len(self.schedule):
            raise ValueError(self._not_mine(before))
        more = {"mass": mass, "relations": relations}
        more = {name: value for name, value in more.items() if value is not None}
        after, attention = [], []
        for name, memory in zip(self.schedule, before, strict=True):
            nodes, memory, weights = self.stages[name](nodes, memory, positions, **more)
            after.append(memory)
            if weights is not None:
                attention.append(weights)
        if state is not None and [m is None for m in before] != [m is None for m in after]:
            raise ValueError(self._not_mine(before))
        return nodes, tuple(after), attention

    def _not_mine(self, state: State) -> str:
        got = ", ".join("None" if m is None else f"{tuple(m.shape)}" for m in state)
        return (
            f"state must be what this same graph returned for the frames before, with an entry for "
            f"each stage of {' > '.join(self.schedule)}; got ({got})"
        )

    def extra_repr(self) -> str:
        return "schedule: " + " > ".join(self.schedule)


class HomogeneousStage(nn.Module):
    """Space and time computed in the same way: a node's own past is one more neighbour.

    "The same set of parameters for the MLPs that compute messages in time and space" (RSTG,
    section 3.1.1). The past is the node as this round left it one frame ago, zero at the start.

    Args:
        space: a stage with edges among 2 N nodes, the present ones first, see `with_past`.
    """

    def __init__(self, space: SpaceStage):
        super().__init__()
        self.space = space

    def forward(
        self,
        nodes: Tensor,
        state: Tensor | None = None,
        positions: Tensor | None = None,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """nodes (B, T, N, D) -> nodes, state (B, N, D), attention (B, T, heads, N, N) in space."""
        if relations is not None:
            raise ValueError("a homogeneous stage has no relations between nodes and their past")
        batch, _, count, width = nodes.shape
        past = carried(state, (batch, count, width), nodes)[:, None]
        if positions is not None:
            positions = positions.expand(*nodes.shape[:3], -1)
            positions = torch.cat((positions, positions), dim=-2)
        if mass is not None:  # a node's own past is always heard
            mass = torch.cat((mass, torch.ones_like(mass)), dim=-1)
        frames, attention = [], []
        for t, present in enumerate(nodes.split(1, dim=1)):  # (B, 1, N, D)
            both = torch.cat((present, past.to(present.dtype)), dim=2)
            here, there = (None if x is None else x[:, t : t + 1] for x in (positions, mass))
            told, weights = self.space.hear(both, here, there)
            own = None if there is None else there[..., :count]
            past = self.space.finish(present, told[:, :, :count], own)
            frames.append(past)
            attention.append(weights[..., :count, :count])
        return torch.cat(frames, dim=1), past[:, 0], torch.cat(attention, dim=1)


def with_past(adjacency: Tensor) -> Tensor:
    """(N, N) edges in space -> (2 N, 2 N): those, and each present node hears its own past."""
    eye, none = torch.eye(len(adjacency), dtype=torch.bool), torch.zeros_like(adjacency)
    present = torch.cat((adjacency, eye.to(adjacency.device)), dim=1)
    return torch.cat((present, torch.cat((none, none), dim=1)))
