"""Which node sits on which object, whom it listens to, and how much to the objects that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interlace.reports.explained_regions import may_be_silent
from interlace.visualize.canvas import Array
from interlace.visualize.charts import percent
from interlace.visualize.heatmaps import mean_attention
from interlace.visualize.view import ClipView


@dataclass(frozen=True)
class Table:
    """Rows of text below the names of their columns.

    Attributes:
        columns: names.
        rows: each as long as `columns`.
        green: numbers of the rows that matter.
    """

    columns: list[str]
    rows: list[list[str]]
    green: list[int]


def who_sits_where(view: ClipView, names: Sequence[str] | None = None) -> Table:
    """For each node that speaks: the object that it sits on longest, and whom it hears most.

    A node sits on the object whose box holds its centre, the nearest of several. Whom it listens
    to is told by the mean over the frames in which it speaks of the last round's messages.

    Args:
        view: a clip with true boxes.
        names: of the objects; None: their numbers.
    """
    called = names or [f"object {n}" for n in range(view.objects.shape[1])]
    if len(called) != view.objects.shape[1]:
        raise ValueError(
            f"box_names must be one for each of the {view.objects.shape[1]} boxes, got {called}"
        )
    seats = sits_on(view)  # (T, N)
    counts = np.stack([(seats == n).sum(axis=0) for n in range(len(called))])  # (D, N)
    longest = np.where(counts.any(axis=0), counts.argmax(axis=0), -1)  # (N,)
    last = _to_others(mean_attention(view)[-1]) if view.num_rounds else None
    rows: list[list[str]] = []
    green: list[int] = []
    for n in view.speakers:
        seat, frames = longest[n], int(view.speaks[:, n].sum())
        row = [str(n), f"{frames} of {view.num_frames}", "no box"]
        if seat >= 0:
            part = f", {counts[seat, n]} of {frames} frames" if counts[seat, n] < frames else ""
            row[2] = called[seat] + part
            if view.matters[seat]:
                green.append(len(rows))
        if last is not None:
            other = int(last[n].argmax())
            where = f" on {called[longest[other]]}" if longest[other] >= 0 else ""
            row.append(f"node {other}{where}, {last[n, other]:.3f}" if last[n].any() else "nobody")
        rows.append(row)
    columns = ["node", "frames", "sits on"]
    columns += ["listens most to, weight"] if view.num_rounds else []
    return Table(columns, rows, green)


def sits_on(view: ClipView) -> Array:
    """int (T, N): the object whose box holds the centre of a node that speaks, or -1."""
    gap = np.abs(view.objects[:, None, :, :2] - view.boxes[:, :, None, :2])  # (T, N, D, 2)
    holds = (gap <= view.objects[:, None, :, 2:]).all(axis=-1) & view.speaks[..., None]
    distance = np.where(holds, np.hypot(gap[..., 0], gap[..., 1]), np.inf)  # (T, N, D)
    return np.where(holds.any(axis=-1), distance.argmin(axis=-1), -1)


def objects_in_words(view: ClipView) -> str:
    """The share of attention to nodes on boxes that matter, beside that of even attention.

    "" where nobody could listen to anybody.
    """
    last = np.abs(view.messages[:, -1])  # (T, N, N)
    if may_be_silent(view):  # these look at a part of an object, which need not be its centre
        holds, which = np.isin(sits_on(view), np.flatnonzero(view.matters)), "nodes that sit on"
    else:
        boxes = view.objects[:, view.matters]
        distance = np.abs(boxes[:, None, :, :2] - view.boxes[:, :, None, :2])  # (T, N, D, 2)
        holds = (distance <= view.boxes[:, :, None, 2:]).all(axis=-1).any(axis=-1)  # (T, N)
        which = "regions that hold the centre of"
    both = view.speaks[:, :, None] & view.speaks[:, None, :]
    edges = (view.attention != 0).any(axis=(0, 1)) & both  # (T, N, N)
    even = edges / np.maximum(edges.sum(axis=-1, keepdims=True), 1)
    received = last.sum(axis=-1, keepdims=True)
    share = np.divide(last, received, out=np.zeros_like(last), where=received > 0)
    listening = edges.any(axis=-1)  # (T, N), receivers that have a neighbour
    if not listening.any():
        return ""
    to_objects = (share * holds[:, None]).sum(axis=-1)[listening].mean()
    if_even = (even * holds[:, None]).sum(axis=-1)[listening].mean()
    return (
        f"In round {view.num_rounds - 1}, a node gives on average {percent(to_objects)} of its "
        f"attention to {which} an object that decides the label; attention "
        f"spread evenly over the same edges would give {percent(if_even)}. Attention says whom a "
        "node listened to, not why the model decided as it did."
    )


def _to_others(attention: Array) -> Array:
    """Strengths (N, N) of messages, without those of nodes to themselves."""
    strength = np.abs(attention)
    np.fill_diagonal(strength, 0)
    return strength
