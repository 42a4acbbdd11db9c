"""Tensors as heat: attention between nodes, and the kernels by which nodes pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interlace.visualize.canvas import (
    HEAT,
    INK,
    MUTED,
    WHOLE,
    fade,
    new_figure,
    picture_axes,
    scale_bar,
    show_frame,
    show_heat,
    show_matrix,
    write,
)
from interlace.visualize.frames import outline
from interlace.visualize.view import ClipView, choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_figure(view: ClipView, *, node_names: Sequence[str] | None = None) -> Figure:
    """Attention averaged over frames and heads, receiver x sender, one map per round.

    The drawn values are those of `trace.attention[clip].mean((0, 2))`, on one colour scale.

    Args:
        node_names: per node, what to write beside its row; default: where it looks.
    """
    if not view.num_rounds:
        raise ValueError(
            "attention_figure needs a graph with messages, got K = 0 rounds; "
            "draw its regions with graph_figure or kernels_figure"
        )
    labels = _short_names(view) if node_names is None else list(node_names)
    if len(labels) != view.num_nodes:
        raise ValueError(
            f"node_names must be one per node, {view.num_nodes}, got {len(labels)}; "
            "leave them out to name nodes by where they look"
        )
    mean = view.attention.mean(axis=0)  # (K, N, N)
    low, high = float(mean.min()), float(mean.max())
    signed = low < 0
    most = max(-low, high) or 1.0

    rows = -(-view.num_rounds // 3)
    columns = -(-view.num_rounds // rows)
    left, right, top, between = 1.15, 0.6, 0.3, 0.3
    side = min((WHOLE - left - right - (columns - 1) * between) / columns, 4.2)
    step = side + 0.85
    figure = new_figure(WHOLE, rows * step + 0.05)
    size = float(np.clip(7.5 * 14 * side / (2.4 * view.num_nodes), 3.5, 7.5))
    for k in range(view.num_rounds):
        x, y = left + (k % columns) * (side + between), top + (k // columns) * step
        axes = picture_axes(figure, x, y, side, side)
        first = k % columns == 0
        heat = show_matrix(
            axes,
            mean[k],
            labels if first else [""] * view.num_nodes,
            [str(n) for n in range(view.num_nodes)],
            size=size,
            cmap="RdBu_r" if signed else fade(HEAT),
            gid=f"attention of round {k}",
            vmin=-most if signed else 0,
            vmax=most,
        )
        axes.set_title(f"round {k}", fontsize=8.5, color=INK, pad=5)
        axes.set_xlabel("sender", fontsize=8, color=MUTED)
        if first:
            axes.set_ylabel("receiver", fontsize=8, color=MUTED)
        if k == columns - 1:
            scale_bar(figure, heat, x + side + 0.1, y, side)
    heads = f" and {view.heads} heads" if view.heads > 1 else ""
    foot = "Weight of the message, mean over frames" + heads + "."
    write(figure, left, rows * step - 0.13, foot, fontsize=7.5)
    return figure


def kernels_figure(
    view: ClipView, *, nodes: Sequence[int] | None = None, frames: Sequence[int] | None = None
) -> Figure:
    """Where nodes pool from: region kernels as heat over the picture.

    Cells of grids, which have names, are rows and frames columns; nodes without names are columns,
    so that more of them fit, and frames rows.

    Args:
        nodes: which nodes; default: a cell from each grid, or up to nine regions.
        frames: which frames; default: six, or four where nodes are columns, evenly spread.
    """
    named = any(view.names)
    if nodes is None and len(set(view.colours)) < view.num_nodes and named:
        nodes = [view.colours.index(colour) for colour in dict.fromkeys(view.colours)]
    chosen = choose(nodes, view.num_nodes, "nodes", most=6 if named else 9)
    shown = choose(frames, view.num_frames, "frames", most=6 if named else 4)

    gap, left, top, foot = 0.06, (1.05 if named else 0.26), (0.24 if named else 0.42), 0.3
    across_all, down_all = (len(shown), len(chosen)) if named else (len(chosen), len(shown))
    across = min((WHOLE - left + gap) / across_all - gap, 2.2)
    down = across * view.ratio
    figure = new_figure(WHOLE, top + down_all * (down + gap) + foot)
    for place, n in enumerate(chosen):
        most = float(view.kernels[shown, n].max())
        full = f"full colour: {most:.3g}"
        if named:
            y = top + place * (down + gap) + down / 2
            about = f"{view.names[n]}\n".replace("grid, ", "grid\n").lstrip()
            write(figure, 0.03, y - 0.3, f"node {n}", color=INK, fontsize=8.5)
            write(figure, 0.03, y - 0.1, f"{about}{full}", fontsize=7, linespacing=1.4)
        else:
            x = left + place * (across + gap) + across / 2
            write(figure, x, 0.04, f"node {n}", color=INK, fontsize=8.5, ha="center")
            write(figure, x, 0.22, f"max {most:.3g}", fontsize=7, ha="center")
        for index, t in enumerate(shown):
            column, row = (index, place) if named else (place, index)
            x, y = left + column * (across + gap), top + row * (down + gap)
            axes = picture_axes(figure, x, y, across, down)
            grey = view.frames[t].mean(-1, keepdims=True).repeat(3, axis=-1)
            show_frame(axes, grey, dim=0.6)
            show_heat(axes, view.kernels[t, n], view.colours[n], most=most, alpha=0.6,
                      area=view.area, gid=f"kernel of node {n} in frame {t}")  # fmt: skip
            outline(axes, view.boxes[t, n], view.colours[n], 0.8)
            if place == 0 and named:
                write(figure, x + across / 2, 0.04, f"frame {view.numbers[t]}", ha="center")
            elif place == 0:
                write(
                    figure, 0.03, y + down / 2, f"frame {view.numbers[t]}", rotation=90, va="center"
                )
    foot_at = top + down_all * (down + gap) + 0.06
    note = "Colour: share of a position in what the node pools; the shares of a frame sum to 1."
    note += "" if named else " Full colour: max."
    write(figure, left, foot_at, note, fontsize=7.5)
    return figure


def _short_names(view: ClipView) -> list[str]:
    """Names for an axis: "3×3 r2 c1 · 7", the node's number last, as below its column."""
    short = [
        name.replace(" grid, row ", " r").replace(", column ", " c").replace("whole ", "")
        for name in view.names
    ]
    return [f"{name} · {n}" if name else str(n) for n, name in enumerate(short)]
