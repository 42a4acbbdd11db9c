"""Tensors as heat: attention between nodes, and the kernels by which nodes pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interlace.visualize.canvas import (
    HEAT,
    INK,
    Array,
    caption,
    fade,
    inches_across,
    new_panels,
    only_caption,
    scale_bar,
    show_frame,
    show_heat,
    show_matrix,
)
from interlace.visualize.choosing import choose, choose_nodes, nodes_note
from interlace.visualize.frames import outline
from interlace.visualize.view import ClipView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_figure(view: ClipView) -> Figure:
    """Attention averaged over frames and heads, receiver x sender, one map per round.

    The drawn values are those of `trace.attention[clip].mean((0, 2))`, on one colour scale. Of
    nodes that may be silent those are left out that never speak, and the mean is over the frames
    in which the receiver speaks; a silent sender's message has no weight.
    """
    if not view.num_rounds:
        raise ValueError(
            "attention_figure needs a graph with messages, got K = 0 rounds; "
            "draw its regions with graph_figure or kernels_figure"
        )
    chosen = view.speakers
    if not chosen:
        return only_caption(nodes_note(chosen, view.num_nodes, view.speaks).strip())
    mean = mean_attention(view)[:, chosen][:, :, chosen]  # (K, N, N) of those that speak
    most = float(np.abs(mean).max()) or 1.0
    signed = mean.min() < 0
    columns = -(-view.num_rounds // -(-view.num_rounds // 3))
    few = 1.2 + 0.3 * len(chosen)  # inches that are enough for so many nodes
    widest = 4.2 if len(chosen) == view.num_nodes else min(4.2, few)
    figure, panels = new_panels(
        view.num_rounds, columns, ratio=1.0, widest=widest, gaps=(0.3, 0.85),
        left=1.15, right=0.6, top=0.3, foot=0.65,
    )  # fmt: skip
    size = float(np.clip(7.5 * 14 * inches_across(panels[0]) / (2.4 * len(chosen)), 3.5, 7.5))
    for k, axes in enumerate(panels):
        first = k % columns == 0
        heat = show_matrix(
            axes,
            mean[k],
            [_short_name(view, n) if first else "" for n in chosen],
            [str(n) for n in chosen],
            size=size,
            cmap="RdBu_r" if signed else fade(HEAT),
            gid=f"attention of round {k}",
            vmin=-most if signed else 0,
            vmax=most,
        )
        axes.set_title(f"round {k}", fontsize=8.5, color=INK, pad=5)
        axes.set(xlabel="sender", ylabel="receiver" if first else "")
        if k == columns - 1:
            scale_bar(heat)
    heads = f" and {view.heads} heads" if view.heads > 1 else ""
    which = "" if view.speaks.all() else " in which the receiver speaks"
    note = f"Weight of the message, mean over frames{which}{heads}."
    note += nodes_note(chosen, view.num_nodes) if which else ""
    caption(figure, note, left=1.15)
    return figure


def mean_attention(view: ClipView) -> Array:
    """(K, N, N) attention, the mean over the frames in which the receiver speaks."""
    frames = view.speaks.sum(axis=0)  # (N,)
    return view.messages.sum(axis=0) / np.maximum(frames, 1)[:, None]


def kernels_figure(
    view: ClipView, *, nodes: Sequence[int] | None = None, frames: Sequence[int] | None = None
) -> Figure:
    """Where nodes pool from: region kernels as heat over the picture.

    Cells of grids, which have names, are rows and frames columns; nodes without names are columns,
    so that more of them fit, and frames rows.

    Args:
        nodes: which nodes; default: a cell from each grid, or up to nine regions that speak.
        frames: which frames; default: six, or four where nodes are columns, evenly spread.
    """
    named, speakers = any(view.names), view.speakers
    if nodes is None and len(set(view.colours)) < view.num_nodes and named:
        first = {view.colours[n]: n for n in reversed(speakers)}
        nodes = sorted(first.values())
    chosen = choose_nodes(nodes, view.num_nodes, speakers, most=6 if named else 9)
    if not chosen:
        return only_caption(nodes_note(chosen, view.num_nodes, view.speaks).strip())
    shown = choose(frames, view.num_frames, "frames", most=6 if named else 4)

    columns, left, top = (len(shown), 1.05, 0.24) if named else (len(chosen), 0.26, 0.42)
    figure, panels = new_panels(
        len(chosen) * len(shown), columns, ratio=view.ratio, widest=2.2, gaps=(0.06, 0.06),
        left=left, top=top,
    )  # fmt: skip
    rows = np.array(panels).reshape(-1, columns)
    of_node = rows if named else rows.T  # (nodes, frames)
    for n, row in zip(chosen, of_node, strict=True):
        most = float(view.kernels[shown, n][view.speaks[shown, n]].max(initial=0))
        for t, axes in zip(shown, row, strict=True):
            grey = view.frames[t].mean(-1, keepdims=True).repeat(3, axis=-1)
            show_frame(axes, grey, dim=0.6)
            if not view.speaks[t, n]:
                continue
            show_heat(axes, view.kernels[t, n], view.colours[n], most=most, alpha=0.6,
                      area=view.area, gid=f"kernel of node {n} in frame {t}")  # fmt: skip
            outline(axes, view.boxes[t, n], view.colours[n], 0.8)
        if named:
            place = view.names[n].replace("grid, ", "grid\n")
            row[0].set_ylabel(
                f"node {n}\n{place}\nfull colour: {most:.3g}", fontsize=7.5, color=INK,
                linespacing=1.4, rotation=0, ha="right", va="center", ma="left",
            )  # fmt: skip
        else:
            row[0].set_title(f"node {n}\nmax {most:.3g}", fontsize=8, color=INK)
    for t, axes in zip(shown, of_node[0], strict=True):
        name = f"frame {view.numbers[t]}"
        if named:
            axes.title.set_text(name)
        else:
            axes.set_ylabel(name)
    note = "Colour: share of a position in what the node pools; the shares of a frame sum to 1."
    note += "" if named else " Full colour: max."
    note += "" if view.speaks.all() else " Plain frames: the node is silent."
    caption(figure, note, left=left)
    return figure


def _short_name(view: ClipView, node: int) -> str:
    """A name for an axis: "3×3 r2 c1 · 7", the node's number last, as below its column."""
    name = view.names[node]
    short = name.replace(" grid, row ", " r").replace(", column ", " c").replace("whole ", "")
    return f"{short} · {node}" if name else str(node)
