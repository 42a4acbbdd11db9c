"""The time stage: each node's own recurrence over frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.graph.checkpoint import again_if, transformed
from interlace.graph.state import carried

# Numbers in all nodes of a call, from which on the cell runs twice in training. For each of them
# the library's LSTM keeps sixteen.
LARGE = 300_000


class TimeStage(nn.Module):
    """h_i^t = f_time(v_i^t, h_i^(t-1)), one recurrent cell shared by all nodes (RSTG, eq. 6).

    No message crosses nodes here. All frames of a call go through the library's recurrence.

    Args:
        width: D of the nodes.
        cell: "lstm" (RSTG) or "gru" (DyReg, eq. 9).
        residual: a node adds what its cell tells to itself, so that the frame at hand is not lost
            while the cell has not learnt; the papers replace it.
        norm: on what comes out; the papers have none.
    """

    def __init__(
        self,
        width: int,
        *,
        cell: Literal["lstm", "gru"] = "lstm",
        residual: bool = False,
        norm: nn.Module | None = None,
    ):
        super().__init__()
        if cell not in ("lstm", "gru"):
            raise ValueError(f"cell must be 'lstm' or 'gru', got {cell!r}")
        self.cell = nn.LSTM(width, width) if cell == "lstm" else nn.GRU(width, width)
        self.remembers = 2 if cell == "lstm" else 1  # h and c, or h
        self.residual = residual
        self.norm = nn.Identity() if norm is None else norm

    def forward(
        self,
        nodes: Tensor,
        state: Tensor | None = None,
        positions: Tensor | None = None,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, None]:
        """Walk over the frames of `nodes`, on from `state`.

        Args:
            nodes: (B, T, N, D).
            state: what the last call returned; None starts from zero.
            positions: not used; every stage has this face.
            mass, relations: not used.

        Returns:
            nodes (B, T, N, D); state (B, N, D) for a GRU or (B, N, 2 D) for an LSTM; no attention.
        """
        batch, _, count, width = nodes.shape
        state = carried(state, (batch, count, self.remembers * width), nodes)
        if not torch.is_autocast_enabled(nodes.device.type):
            state = state.to(nodes.dtype)
        hidden = [part.flatten(0, 1)[None].contiguous() for part in state.split(width, -1)]
        sequences = nodes.transpose(0, 1).flatten(1, 2)  # (T, B * N, D)
        sequences, *hidden = again_if(nodes.numel() > LARGE, self._walk, sequences, *hidden)
        if sequences.dtype == torch.float32:  # as a GRU under autocast
            sequences = sequences.to(nodes.dtype)
        told = sequences.unflatten(1, (batch, count)).transpose(0, 1)  # (B, T, N, D)
        nodes = self.norm(nodes + told if self.residual else told)
        return nodes, torch.cat(hidden, -1)[0].unflatten(0, (batch, count)), None

    def _walk(self, x: Tensor, *hidden: Tensor) -> list[Tensor]:
        """x (T, M, D) and h, or h and c, (1, M, D) -> the same after it."""
        stuck = x.is_cuda and torch.is_grad_enabled() and not self.cell.training  # cuDNN raises
        if stuck or transformed():
            return frame_by_frame(self.cell, x, *hidden)
        if self.remembers == 1:
            return list(self.cell(x, *hidden))
        out, last = self.cell(x, hidden)
        return [out, *last]


def frame_by_frame(cell: nn.RNNBase, x: Tensor, h: Tensor, c: Tensor | None = None) -> list[Tensor]:
    """An LSTM or GRU of one layer written out, for where the library's has no derivative.

    That has no vmap and no jvp, and on a GPU in evaluation no backward pass.

    Args:
        cell: with the weights.
        x: (T, M, D).
        h: (1, M, D), the hidden state.
        c: (1, M, D), an LSTM's memory; None for a GRU.

    Returns:
        [(T, M, D) all outputs, then h, or h and c, where it ended].
    """
    weight_ih, weight_hh, bias_ih, bias_hh = (
        getattr(cell, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    )
    hidden, memory, shown = h[0], None if c is None else c[0], []
    for seen in F.linear(x, weight_ih, bias_ih).unbind():
        told = F.linear(hidden, weight_hh, bias_hh)
        if memory is None:
            width = hidden.shape[-1]
            gates = (seen[..., : 2 * width] + told[..., : 2 * width]).sigmoid()
            r, z = gates.chunk(2, -1)
            n = (seen[..., 2 * width :] + r * told[..., 2 * width :]).tanh()
            hidden = (1 - z) * n + z * hidden
        else:
            i, f, g, o = (seen + told).chunk(4, -1)
            memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * memory.tanh()
        shown.append(hidden)
    last = [hidden] if memory is None else [hidden, memory]
    return [torch.stack(shown), *(value[None] for value in last)]


class MeanOverTime(nn.Module):
    """The mean of each node over the frames seen so far: what space-only RSTG has for a memory.

    The last frame's nodes are the average over the clip (RSTG, section 3.1.1, "Space-Only RSTG").
    """

    def forward(
        self,
        nodes: Tensor,
        state: Tensor | None = None,
        positions: Tensor | None = None,
        mass: Tensor | None = None,
        relations: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, None]:
        """nodes (B, T, N, D) -> running means (B, T, N, D), state (B, N, D + 1): sum and count."""
        batch, frames, count, width = nodes.shape
        state = carried(state, (batch, count, width + 1), nodes)
        steps = torch.arange(1, frames + 1, dtype=state.dtype, device=nodes.device)
        total = state[:, None, :, :width] + nodes.cumsum(1, dtype=state.dtype)
        seen = state[:, None, :, width:] + steps[:, None, None]  # (B, T, N, 1)
        state = torch.cat((total[:, -1], seen[:, -1]), dim=-1)
        return (total / seen).to(nodes.dtype), state, None
