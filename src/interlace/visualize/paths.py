"""Where nodes go over a clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interlace.visualize.canvas import (
    INK,
    WHOLE,
    Array,
    backdrop,
    caption,
    new_panels,
    picture_axes,
    show_frame,
)
from interlace.visualize.choosing import choose_nodes, nodes_note
from interlace.visualize.palette import (
    DARK,
    around,
    casing,
    draw_label,
    name_panel,
    node_colour,
    node_line,
    panel_unit,
    place_labels,
)
from interlace.visualize.view import ClipView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def paths_figure(view: ClipView, *, nodes: Sequence[int] | None = None) -> Figure:
    """The paths of the centres of regions over a clip: all together, and each node alone.

    What lies below is the mean of the frames, which shows where things moved. A path breaks where
    its node is silent.

    Args:
        view: a clip; the paths of its true boxes are drawn grey.
        nodes: which nodes; default: all that speak, of more than 20 as many spread evenly.
    """
    chosen = choose_nodes(nodes, view.num_nodes, view.speakers)
    centres = view.spoken_boxes[..., :2]
    below, ratio = view.frames.mean(axis=0), view.ratio
    dim = 1.0 if below.mean() <= 64 else backdrop(view.frames)  # of dark frames dark enough

    def draw(axes: Axes, drawn: Sequence[int], unit: float) -> None:
        show_frame(axes, below, dim=dim)
        for n in range(view.objects.shape[1]):
            axes.plot(*view.objects[:, n, :2].T, color="#c3cad3", lw=0.8, alpha=0.75, zorder=2,
                      gid=f"path of object {n}")  # fmt: skip
        for n in drawn:
            draw_path(axes, centres[:, n], n, unit)

    if len(chosen) < 2:
        figure, (together,) = new_panels(1, 1, ratio=ratio, widest=min(4.2, 5 / ratio))
        name = f"node {chosen[0]}" if chosen else "no node"
        together.set_title(name, loc="left", fontsize=8, color=INK)
    else:
        # One large panel as high as the rows of small ones, and together as wide as the page.
        columns = 5 if len(chosen) > 12 else 4 if len(chosen) > 9 else min(3, len(chosen))
        rows = -(-len(chosen) // columns)
        gap, title, between = 0.08, 0.24, 0.24
        extra = (rows - 1) * (title + gap) / ratio
        small = min((WHOLE - between - (columns - 1) * gap - extra) / (columns + rows), 2.2)
        large = rows * small + extra
        figure, panels = new_panels(
            len(chosen), columns, ratio=ratio, widest=small, gaps=(gap, title + gap),
            left=large + between, top=title,
        )  # fmt: skip
        for n, axes in zip(chosen, panels, strict=True):
            name_panel(axes, n)
            draw(axes, [n], 0.8)
        together = picture_axes(figure, 0, title, large, large * ratio)
        together.set_title("all nodes", loc="left", fontsize=8, color=INK)
    unit, size, radius = panel_unit(together, len(chosen))
    draw(together, chosen, unit)
    walked = [n for n in chosen if view.speaks[:, n].any()]
    spoken = [np.flatnonzero(view.speaks[:, n])[[0, -1]] for n in walked]
    starts, ends = (
        np.array([centres[at[end], n] for n, at in zip(walked, spoken, strict=True)]).reshape(-1, 2)
        for end in (0, 1)
    )
    labels = place_labels(around(ends, radius), radius, taken=np.concatenate([ends, starts]))
    for n, label in zip(walked, labels, strict=True):
        draw_label(together, label, n, 0.9 * size, hollow=True)
    note = "Paths of the centres of regions over the mean frame, from the ring to the full dot."
    if len(view.matters):
        note += " Grey: paths of the true boxes."
    caption(figure, note + nodes_note(chosen, view.num_nodes, view.speaks))
    return figure


def draw_path(axes: Axes, centres: Array, node: int, unit: float) -> None:
    """The path (T, 2) of a centre: a ring where it starts, a dot a frame, a disc at its end.

    It breaks at NaN.
    """
    colour, known = node_colour(node), np.flatnonzero(np.isfinite(centres).all(axis=1))
    if not len(known):
        return
    axes.plot(*centres.T, color=colour, lw=1.3 * unit, ls=node_line(node), zorder=3,
              gid=f"path of node {node}", path_effects=casing(1.3 * unit))  # fmt: skip
    axes.plot(*centres.T, "o", ms=2.4 * unit, mfc=colour, mew=0, zorder=3.5)
    if len(known) > 1:
        axes.plot(*centres[known[0]], "o", ms=5 * unit, mfc="none", mec=colour, mew=1.2 * unit,
                  zorder=4, gid=f"start of node {node}")  # fmt: skip
    axes.plot(*centres[known[-1]], "o", ms=5.4 * unit, mfc=colour, mec=DARK, mew=0.5, zorder=4,
              gid=f"end of node {node}")  # fmt: skip
