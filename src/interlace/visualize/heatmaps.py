"""Tensors as heat: attention between nodes, and the kernels by which nodes pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interlace.visualize.canvas import (
    HEAT,
    INK,
    caption,
    fade,
    inches_across,
    new_panels,
    scale_bar,
    show_frame,
    show_heat,
    show_matrix,
)
from interlace.visualize.frames import outline
from interlace.visualize.view import ClipView, choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attention_figure(view: ClipView) -> Figure:
    """Attention averaged over frames and heads, receiver x sender, one map per round.

    The drawn values are those of `trace.attention[clip].mean((0, 2))`, on one colour scale.
    """
    if not view.num_rounds:
        raise ValueError(
            "attention_figure needs a graph with messages, got K = 0 rounds; "
            "draw its regions with graph_figure or kernels_figure"
        )
    mean = view.attention.mean(axis=0)  # (K, N, N)
    most = float(np.abs(mean).max()) or 1.0
    signed = mean.min() < 0
    columns = -(-view.num_rounds // -(-view.num_rounds // 3))
    figure, panels = new_panels(
        view.num_rounds, columns, ratio=1.0, widest=4.2, gaps=(0.3, 0.85),
        left=1.15, right=0.6, top=0.3, foot=0.65,
    )  # fmt: skip
    size = float(np.clip(7.5 * 14 * inches_across(panels[0]) / (2.4 * view.num_nodes), 3.5, 7.5))
    for k, axes in enumerate(panels):
        first = k % columns == 0
        heat = show_matrix(
            axes,
            mean[k],
            _short_names(view) if first else [""] * view.num_nodes,
            [str(n) for n in range(view.num_nodes)],
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
    caption(figure, f"Weight of the message, mean over frames{heads}.", left=1.15)
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

    columns, left, top = (len(shown), 1.05, 0.24) if named else (len(chosen), 0.26, 0.42)
    figure, panels = new_panels(
        len(chosen) * len(shown), columns, ratio=view.ratio, widest=2.2, gaps=(0.06, 0.06),
        left=left, top=top,
    )  # fmt: skip
    rows = np.array(panels).reshape(-1, columns)
    of_node = rows if named else rows.T  # (nodes, frames)
    for n, row in zip(chosen, of_node, strict=True):
        most = float(view.kernels[shown, n].max())
        for t, axes in zip(shown, row, strict=True):
            grey = view.frames[t].mean(-1, keepdims=True).repeat(3, axis=-1)
            show_frame(axes, grey, dim=0.6)
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
    caption(figure, note if named else f"{note} Full colour: max.", left=left)
    return figure


def _short_names(view: ClipView) -> list[str]:
    """Names for an axis: "3×3 r2 c1 · 7", the node's number last, as below its column."""
    short = [
        name.replace(" grid, row ", " r").replace(", column ", " c").replace("whole ", "")
        for name in view.names
    ]
    return [f"{name} · {n}" if name else str(n) for n, name in enumerate(short)]
