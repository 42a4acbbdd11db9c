"""Dynamic regions: where each node looks, frame by frame, as a figure and as an animation.

Every node has one colour in all of these pictures (`palette.node_colour`), and its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interlace.visualize.canvas import LINE, Array, backdrop, caption, new_panels, quiet, show_frame
from interlace.visualize.choosing import choose, choose_nodes, nodes_note
from interlace.visualize.frames import drawn_frames, outline
from interlace.visualize.palette import (
    DARK,
    along_outline,
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

OBJECT, OTHER_OBJECT = "#ffffff", "#9aa4b0"
TRAIL = 6  # steps of a centre that stay visible in a film


def regions_figure(
    view: ClipView, *, nodes: Sequence[int] | None = None, frames: Sequence[int] | None = None
) -> Figure:
    """Regions on frames: the outline and the centre of each node's region, with its number.

    DyReg-GNN, Figures 2 to 4. Nodes are drawn in the frames in which they speak.

    Args:
        view: a clip; its true boxes are drawn as thin grey lines, those that matter white.
        nodes: which nodes; default: all that speak, of more than 20 as many spread evenly.
        frames: which frames; default: all, of more than ten as many spread evenly.
    """
    chosen = choose_nodes(nodes, view.num_nodes, view.speakers)
    shown = choose(frames, view.num_frames, "frames", most=10)

    figure, panels = new_panels(
        len(shown), min(len(shown), 5), ratio=view.ratio, widest=3.0, gaps=(0.07, 0.31)
    )
    for t, axes in zip(shown, panels, strict=True):
        axes.title.set_text(f"frame {view.numbers[t]}")
        show_frame(axes, view.frames[t], dim=backdrop(view.frames))
        draw_objects(axes, view, t)
        draw_regions(axes, view.boxes[t], view.in_frame(t, chosen))
    from_where = "what each node pools from" if (view.mass >= 1).all() else "where nodes look"
    note = f"Rectangles: {from_where}. Dots: their centres."
    if len(view.matters):
        white = "; white: those that decide the label" if view.matters.any() else ""
        note += f" Thin grey lines: true boxes{white}."
    caption(figure, note + nodes_note(chosen, view.num_nodes, view.speaks))
    return figure


def animate_regions(view: ClipView) -> Array:
    """The clip, enlarged, with its regions and the last six steps of their centres.

    Returns:
        uint8 (T, H * scale, W * scale, 3), for `save_gif` and `save_mp4`; the shorter side has 384
        pixels or more.
    """
    chosen, boxes = choose_nodes(None, view.num_nodes, view.speakers), view.spoken_boxes

    def draw(axes: Axes, t: int) -> None:
        show_frame(axes, view.frames[t], dim=backdrop(view.frames))
        draw_objects(axes, view, t, line=1.2)
        here = view.in_frame(t, chosen)
        for n in here:
            steps = boxes[max(0, t - TRAIL) : t + 1, n, :2]
            axes.plot(*steps.T, color=node_colour(n), lw=1.6, alpha=0.55, zorder=2.5,
                      gid=f"trail of node {n}")  # fmt: skip
        draw_regions(axes, view.boxes[t], here)

    return drawn_frames(view.frames, None, draw)


def sizes_figure(view: ClipView, *, nodes: Sequence[int] | None = None) -> Figure:
    """How large each node's region is in each frame: rx solid, ry dashed, one panel a node.

    Half extents as fractions of the frame, on one scale; the other nodes lie grey behind. Lines
    break where a node is silent.

    Args:
        nodes: which nodes; default: all that speak, of more than 20 as many spread evenly.
    """
    chosen = choose_nodes(nodes, view.num_nodes, view.speakers)
    columns = max(1, min(5 if len(chosen) > 9 else 3, len(chosen)))
    figure, panels = new_panels(
        len(chosen), columns, ratio=max(0.24, 0.12 * columns), widest=4.0, gaps=(0.22, 0.26),
        left=0.5, top=0.26, foot=0.62,
    )  # fmt: skip
    from matplotlib.ticker import MaxNLocator

    half = view.spoken_boxes[..., 2:]
    most = max(float(np.nan_to_num(half[:, chosen]).max(initial=0)), 1e-3) * 1.08
    time = np.asarray(view.numbers)
    apart = (time[-1] - time[0]) / max(view.num_frames - 1, 1) or 1  # from a frame to the next
    for place, (n, axes) in enumerate(zip(chosen, panels, strict=True)):
        quiet(axes)
        name_panel(axes, n)
        for other in chosen:
            if other != n:
                axes.plot(time, half[:, other], color=LINE, lw=0.5, zorder=1)
        alone = _alone(view.speaks[:, n])
        dots: dict[str, Any] = {"marker": "o", "markevery": alone, "ms": 4} if alone else {}
        for axis, style in ((0, "solid"), (1, (0, (3, 1.4)))):
            axes.plot(time, half[:, n, axis], color=node_colour(n), lw=1.9, ls=style, zorder=3,
                      gid=f"r{'xy'[axis]} of node {n}", **dots)  # fmt: skip
        axes.set_xlim(time[0] - 0.3 * apart, time[-1] + 0.3 * apart)
        axes.set_ylim(0, most)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        if view.num_frames == 1:
            axes.set_xticks(time)
        if place % columns:
            axes.set_yticklabels([])
        if place + columns < len(chosen):
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("frame", labelpad=2)
    note = (
        "Half extents of the regions as fractions of the frame: rx solid, ry dashed; "
        "the other nodes in grey."
    )
    caption(figure, note + nodes_note(chosen, view.num_nodes, view.speaks))
    return figure


def _alone(speaks: Array) -> list[int]:
    """The frames of (T,) in which a node speaks, and in those beside them not: no line is there."""
    around = np.pad(speaks, 1)
    return np.flatnonzero(speaks & ~around[:-2] & ~around[2:]).tolist()


def draw_regions(axes: Axes, boxes: Array, nodes: Sequence[int]) -> None:
    """Outlines, centres and numbers of the chosen nodes' regions.

    Args:
        axes: spanning [0, 1], y down.
        boxes: (N, 4) of one frame.
        nodes: which of them.
    """
    unit, size, radius = panel_unit(axes, len(nodes))
    centres = boxes[list(nodes), :2]
    labels = place_labels(
        along_outline(boxes[list(nodes)], least=1.1 * radius), radius, taken=centres
    )
    for n, label in zip(nodes, labels, strict=True):
        colour = node_colour(n)
        outline(axes, boxes[n], colour, 1.1 * unit, ls=node_line(n), zorder=3,
                gid=f"region of node {n}", path_effects=casing(1.1 * unit))  # fmt: skip
        axes.plot(*boxes[n, :2], "o", ms=3.2 * unit, mfc=colour, mec=DARK, mew=0.4, zorder=4,
                  gid=f"centre of node {n}")  # fmt: skip
        draw_label(axes, label, n, size)


def draw_objects(axes: Axes, view: ClipView, t: int, *, line: float = 0.7) -> None:
    """True boxes of one frame as thin lines, those that matter white and on top."""
    for n in np.argsort(view.matters, kind="stable"):
        colour = OBJECT if view.matters[n] else OTHER_OBJECT
        outline(axes, view.objects[t, n], colour, line, alpha=0.9, zorder=2, gid=f"object {n}")
