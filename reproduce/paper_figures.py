"""Figures 2 and 5 of the paper on DyReg-GNN: several models on one clip, and where nodes stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from interlace.visualize.canvas import (
    INK,
    Array,
    backdrop,
    caption,
    new_panels,
    show_frame,
    show_heat,
)
from interlace.visualize.choosing import choose, choose_nodes, nodes_note
from interlace.visualize.palette import node_colour
from interlace.visualize.regions import draw_objects, draw_regions
from interlace.visualize.view import ClipView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP = "#ffa51f"  # of maps; not a node's, as only one node's map is drawn


def compare_figure(
    views: Mapping[str, ClipView],
    *,
    frames: Sequence[int] | None = None,
    maps: Collection[str] = (),
) -> Figure:
    """What several models looked at in the same frames (DyReg-GNN, Figure 2).

    Args:
        views: name of a model -> its view of one clip, all with the same frames. True boxes are
            drawn as thin grey lines, those that matter white.
        frames: which frames (rows); default: three, evenly spread.
        maps: names of models whose kernels are maps of any form and not regions, as those of
            semantic nodes: the kernel of the node with the most concentrated ones is drawn as heat.
    """
    first = next(iter(views.values()))
    shown = choose(frames, first.num_frames, "frames", most=3)
    columns = len(views)
    figure, panels = new_panels(
        columns * len(shown), columns, ratio=first.ratio, widest=3.0, left=0.26, top=0.42
    )
    for place, axes in enumerate(panels):
        row, column = divmod(place, columns)
        t, (name, view) = shown[row], list(views.items())[column]
        node = most_concentrated(view.kernels)
        chosen = choose_nodes(None, view.num_nodes, view.speakers)
        show_frame(axes, view.frames[t], dim=backdrop(view.frames))
        draw_objects(axes, view, t)
        if name in maps:
            about = f"node {node}: map"
            show_heat(axes, view.kernels[t, node], MAP, most=view.kernels[shown, node].max(),
                      alpha=0.85, gid=f"kernel of node {node} in frame {t}")  # fmt: skip
        else:
            about = f"{view.num_nodes} nodes" + nodes_note(chosen, view.num_nodes)
            draw_regions(axes, view.boxes[t], view.in_frame(t, chosen))
        if not row:
            axes.set_title(f"{name}\n{about}", fontsize=8, color=INK)
        if not column:
            axes.set_ylabel(f"frame {view.numbers[t]}")
    note = "Rectangles: what each node pools from. Dots: their centres."
    if maps:
        note += (
            " Heat: share of a position in what one node pools, in each model up to its largest."
        )
    caption(figure, note, left=0.26)
    return figure


def most_concentrated(kernels: Array) -> int:
    """Which node's kernels (T, N, H, W) lie on the fewest places: the least mean entropy."""
    share = np.maximum(kernels.astype(np.float64), 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return int((-(share * logs)).sum(axis=(2, 3)).mean(axis=0).argmin())


def places_figure(
    before: Tensor, after: Tensor, *, before_spread: Tensor, after_spread: Tensor
) -> Figure:
    """The mean region of each node before and after training (DyReg-GNN, Figure 5).

    Args:
        before: (N, 4) mean boxes (cx, cy, rx, ry) over a data set, fractions of the frame.
        after: (N, 4), the same nodes.
        before_spread, after_spread: (N, 4) standard deviations; those of cx and cy are drawn as an
            ellipse around the centre whose half axes are one standard deviation.
    """
    from matplotlib.patches import Ellipse

    chosen = choose_nodes(None, len(before))
    figure, panels = new_panels(
        2, 2, ratio=1.0, widest=4.2, gaps=(0.3, 0.0), left=0.45, right=0.45, top=0.28
    )
    titles = "before training", "after training"
    means, spreads = (before, after), (before_spread, after_spread)
    for axes, title, mean, spread in zip(panels, titles, means, spreads, strict=True):
        axes.set_title(title, fontsize=9.5, color=INK)
        show_frame(axes, np.full((1, 1, 3), 16, dtype=np.uint8))
        for third in (1 / 3, 2 / 3):
            axes.axhline(third, color="#2b323b", lw=0.6, zorder=1)
            axes.axvline(third, color="#2b323b", lw=0.6, zorder=1)
        for n in chosen:
            ellipse = Ellipse(mean[n, :2].tolist(), *(2 * spread[n, :2]).tolist(), alpha=0.28, lw=0,
                              fc=node_colour(n), zorder=2, gid=f"spread of node {n}")  # fmt: skip
            axes.add_patch(ellipse)
        draw_regions(axes, mean.double().numpy(), chosen)
    note = (
        "Mean region of each node: its outline and its centre. "
        "Ellipse: one standard deviation of the centre."
    )
    caption(figure, note + nodes_note(chosen, len(before)), left=0.45)
    return figure
