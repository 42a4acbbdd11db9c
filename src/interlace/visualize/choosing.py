"""Which nodes and frames of a clip a picture shows, and what its caption says of that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interlace.visualize.canvas import Array


def choose(chosen: Sequence[int] | None, count: int, what: str, *, most: int) -> list[int]:
    """The chosen indices, checked, or at most `most` spread evenly over `count`."""
    if chosen is None:
        return np.unique(np.linspace(0, count - 1, min(count, most)).round()).astype(int).tolist()
    for index in chosen:
        if not 0 <= index < count:
            raise ValueError(
                f"{what} must be in 0 to {count - 1}, got {index}; this clip has {count} of them"
            )
    return [int(index) for index in chosen]


def choose_nodes(
    chosen: Sequence[int] | None,
    count: int,
    speakers: Sequence[int] | None = None,
    *,
    most: int = 20,
) -> list[int]:
    """The chosen nodes, checked, or all that speak; of more than 20, which no eye tells apart, 20.

    Args:
        chosen: None: by default.
        count: of all nodes.
        speakers: those that are not silent in all of the clip; None: all.
        most: how many at most, by default spread evenly.
    """
    if chosen is not None or speakers is None:
        return choose(chosen, count, "nodes", most=most)
    return [speakers[k] for k in choose(None, len(speakers), "nodes", most=most)]


def nodes_note(shown: Sequence[int], count: int, speaks: Array | None = None) -> str:
    """What a caption adds where not every node is drawn, or not in every frame.

    Args:
        shown: nodes.
        count: of all nodes.
        speaks: bool (T, N), where nodes that may be silent are not.
    """
    if speaks is None or speaks.all():
        return "" if len(shown) == count else f" {len(shown)} of {count} nodes are drawn."
    if not speaks.any():
        return " No node speaks in this clip."
    some = "" if len(shown) == count else f"{len(shown)} of {count} "
    return f" Drawn: {some}nodes, where they speak."
