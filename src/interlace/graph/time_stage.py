"""The time stage: each node's own recurrence over frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from interlace.graph.cells import Cell
from interlace.graph.state import carried


class TimeStage(nn.Module):
    """h_i^t = f_time(v_i^t, h_i^(t-1)), one recurrent cell shared by all nodes (RSTG, eq. 6).

    No message crosses nodes here. All frames of a call go through the library's fused recurrence.

    Args:
        width: D of the nodes.
        cell: "lstm" (RSTG) or "gru" (DyReg, eq. 9).
    """

    def __init__(self, width: int, *, cell: Literal["lstm", "gru"] = "lstm"):
        super().__init__()
        if cell not in ("lstm", "gru"):
            raise ValueError(f"cell must be 'lstm' or 'gru', got {cell!r}")
        self.cell = Cell(cell, width)

    def forward(
        self, nodes: Tensor, state: Tensor | None = None, positions: Tensor | None = None
    ) -> tuple[Tensor, Tensor, None]:
        """Walk over the frames of `nodes`, on from `state`.

        Args:
            nodes: (B, T, N, D).
            state: what the last call returned; None starts from zero.
            positions: not used; every stage has this face.

        Returns:
            nodes (B, T, N, D); state (B, N, D) for a GRU or (B, N, 2 D) for an LSTM; no attention.
        """
        batch, _, count, width = nodes.shape
        state = carried(state, (batch, count, self.cell.memories * width), nodes)
        hidden = [part.flatten(0, 1)[None].contiguous() for part in state.split(width, -1)]
        sequences = nodes.transpose(0, 1).flatten(1, 2)  # (T, B * N, D)
        sequences, *hidden = self.cell(sequences, hidden)
        nodes = sequences.unflatten(1, (batch, count)).transpose(0, 1).contiguous()  # (B, T, N, D)
        return nodes, torch.cat(hidden, -1)[0].unflatten(0, (batch, count)), None


class MeanOverTime(nn.Module):
    """The mean of each node over the frames seen so far: what space-only RSTG has for a memory.

    The last frame's nodes are the average over the clip (RSTG, section 3.1.1, "Space-Only RSTG").
    """

    def forward(
        self, nodes: Tensor, state: Tensor | None = None, positions: Tensor | None = None
    ) -> tuple[Tensor, Tensor, None]:
        """nodes (B, T, N, D) -> running means (B, T, N, D), state (B, N, D + 1): sum and count."""
        batch, frames, count, width = nodes.shape
        state = carried(state, (batch, count, width + 1), nodes)
        steps = torch.arange(1, frames + 1, dtype=state.dtype, device=nodes.device)
        total = state[:, None, :, :width] + nodes.cumsum(1, dtype=state.dtype)
        seen = state[:, None, :, width:] + steps[:, None, None]  # (B, T, N, 1)
        state = torch.cat((total[:, -1], seen[:, -1]), dim=-1)
        return (total / seen).to(nodes.dtype), state, None
