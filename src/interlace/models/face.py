"""The face of a graph: `forward(features, state, boxes=, every_frame=, return_state=, ...)`."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def ask(
    graph: Any,
    features: Tensor,
    state: Any,
    boxes: Tensor | None,
    return_state: bool,
    return_trace: bool,
    every_frame: bool = False,
) -> tuple[Any, Any, Any]:
    """What comes out, the state and the trace; None where it was not asked for.

    Only what is given and asked for is passed on, so that a module with less of the face will do.
    """
    options = {"state": state, "boxes": boxes}
    options = {name: value for name, value in options.items() if value is not None}
    options |= {"every_frame": True} if every_frame else {}
    options |= {"return_state": True} if return_state else {}
    options |= {"return_trace": True} if return_trace else {}
    answered = graph(features, **options)
    out, *others = answered if isinstance(answered, tuple) else (answered,)
    return out, others[0] if return_state else None, others[-1] if return_trace else None


def answer(out: Any, state: Any, trace: Any, return_state: bool, return_trace: bool) -> Any:
    """What comes out alone, or a tuple of it and what was asked for."""
    others = [state] * return_state + [trace] * return_trace
    return (out, *others) if others else out
