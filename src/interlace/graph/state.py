"""What a stream carries on from call to call."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

State = tuple[Tensor | None, ...]  # of a recurrence: an entry for each stage of its schedule


class GraphState(NamedTuple):
    """All that a graph carries from call to call; its size does not depend on what was seen."""

    regions: Tensor | None
    recurrence: State
    readout: Tensor | None
    motion: Tensor | None = None
    relations: Tensor | None = None


def carried(state: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """The state that a call starts from: zeros at the start of a stream.

    Args:
        state: what the last call returned, or None.
        shape: what it must be for the nodes at hand.
        like: has its device and type; sums and counts need float32 at least.

    Raises:
        ValueError: if the state belongs to another graph, or to another number of clips.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    if state is None:
        return torch.zeros(shape, dtype=dtype, device=like.device)
    if tuple(state.shape) != shape:
        raise ValueError(
            f"state must be {shape}, got {tuple(state.shape)}: pass what this same graph returned "
            "for the frames before of the same clips, or None to start a new stream"
        )
    return state.to(dtype)
