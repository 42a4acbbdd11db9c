"""Where nodes go over a clip, and where they stand on average before and after training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from interlace.visualize.canvas import (
    INK,
    WHOLE,
    backdrop,
    need,
    new_figure,
    picture_axes,
    show_frame,
    write,
)
from interlace.visualize.palette import (
    DARK,
    around,
    casing,
    draw_label,
    node_colour,
    node_line,
    panel_unit,
    place_labels,
)
from interlace.visualize.regions import draw_regions
from interlace.visualize.view import Array, ClipView, as_array, choose_nodes, nodes_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def paths_figure(
    view: ClipView,
    *,
    nodes: Sequence[int] | None = None,
    over: Literal["mean", "last"] = "mean",
) -> Figure:
    """The paths of the centres of regions over a clip: all together, and each node alone.

    Args:
        view: a clip; the paths of its true boxes are drawn grey.
        nodes: which nodes; default: all, of more than 20 as many spread evenly.
        over: what lies below: the mean of the frames, which shows where things moved, or the last.
    """
    chosen = choose_nodes(nodes, view.num_nodes)
    below, ratio = _below(view.frames, over), view.ratio

    columns = 5 if len(chosen) > 12 else 4 if len(chosen) > 9 else max(1, min(3, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    gap, between, title, foot = 0.08, 0.24, 0.2, 0.32
    # One large panel as high as the rows of small ones, and together as wide as the page.
    extra = (rows - 1) * (title + gap) / ratio
    small = min((WHOLE - between - (columns - 1) * gap - extra) / (columns + rows), 2.2)
    large = rows * small + extra if len(chosen) > 1 else min(4.2, 5 / ratio)
    figure = new_figure(WHOLE, title + large * ratio + foot)
    write(figure, 0, 0.03, "all nodes" if len(chosen) > 1 else f"node {chosen[0]}", color=INK)
    axes = picture_axes(figure, 0, title, large, large * ratio)
    show_frame(axes, below)
    _object_paths(axes, view.objects)
    unit, size, radius = panel_unit(axes, len(chosen))
    ends = view.boxes[-1, chosen, :2]
    starts = view.boxes[0, chosen, :2]
    labels = place_labels(around(ends, radius), radius, taken=np.concatenate([ends, starts]))
    for n, label in zip(chosen, labels, strict=True):
        draw_path(axes, view.boxes[:, n, :2], n, unit)
        draw_label(axes, label, n, 0.9 * size, hollow=True)
    for place, n in enumerate(chosen if len(chosen) > 1 else []):
        x = large + between + place % columns * (small + gap)
        y = place // columns * (small * ratio + title + gap)
        write(figure, x, y + 0.03, "■", color=node_colour(n), fontsize=7)
        write(figure, x + 0.13, y + 0.03, f"node {n}", color=INK, fontsize=7.5)
        axes = picture_axes(figure, x, y + title, small, small * ratio)
        show_frame(axes, below)
        _object_paths(axes, view.objects)
        draw_path(axes, view.boxes[:, n, :2], n, 0.8)
    note = f"Paths of the centres of regions over the {over} frame, from the ring to the full dot."
    if len(view.matters):
        note += " Grey: paths of the true boxes."
    write(figure, 0, title + large * ratio + 0.07, note + nodes_note(chosen, view.num_nodes),
          fontsize=7.5)  # fmt: skip
    return figure


def places_figure(
    before: Any,
    after: Any,
    *,
    before_spread: Any = None,
    after_spread: Any = None,
    titles: tuple[str, str] = ("before training", "after training"),
    ratio: float = 1.0,
) -> Figure:
    """The mean region of each node before and after training (DyReg-GNN, Figure 5).

    Args:
        before: (N, 4) mean boxes (cx, cy, rx, ry) over a data set, fractions of the frame.
        after: (N, 4), the same nodes.
        before_spread, after_spread: (N, 2) standard deviation of cx and cy, or (N, 4) of all;
            drawn as an ellipse around the centre whose half axes are one standard deviation.
        titles: of the two panels.
        ratio: height of a frame / its width.
    """
    if not ratio > 0 or not np.isfinite(ratio):
        raise ValueError(f"ratio must be height / width of a frame, above 0, got {ratio}")
    boxes = [
        _per_node(mean, name, "mean", "N", 4)
        for mean, name in ((before, "before"), (after, "after"))
    ]
    if boxes[0].shape != boxes[1].shape:
        raise ValueError(
            f"before and after must hold the same nodes, got {boxes[0].shape} and "
            f"{boxes[1].shape}; pass one mean box for each node"
        )
    count = len(boxes[0])
    spreads = {"before_spread": before_spread, "after_spread": after_spread}
    for name, spread in spreads.items():
        if spread is not None:
            spreads[name] = _per_node(spread, name, "standard deviation", count, 2, 4)[:, :2]
            if spreads[name].min() < 0:
                raise ValueError(
                    f"{name} must be finite and not negative; check what it was made from"
                )
    chosen = choose_nodes(None, count)
    need("matplotlib.patches")
    from matplotlib.patches import Ellipse

    side, gap, top, foot = 4.2, 0.3, 0.28, 0.32
    side = min(side, 6.0 / ratio)
    left = (WHOLE - 2 * side - gap) / 2
    figure = new_figure(WHOLE, top + side * ratio + foot)
    for column, (mean, spread, title) in enumerate(
        zip(boxes, spreads.values(), titles, strict=True)
    ):
        x = left + column * (side + gap)
        write(figure, x + side / 2, 0.05, title, ha="center", color=INK, fontsize=9.5)
        axes = picture_axes(figure, x, top, side, side * ratio)
        show_frame(axes, np.full((1, 1, 3), 16, dtype=np.uint8))
        for third in (1 / 3, 2 / 3):
            axes.plot([0, 1], [third, third], color="#2b323b", lw=0.6, zorder=1)
            axes.plot([third, third], [0, 1], color="#2b323b", lw=0.6, zorder=1)
        for n in chosen:
            if spread is None:
                continue
            axes.add_patch(
                Ellipse(
                    tuple(mean[n, :2]),
                    *(2 * spread[n]),
                    fc=node_colour(n),
                    alpha=0.28,
                    lw=0,
                    zorder=2,
                    gid=f"spread of node {n}",
                )
            )
        draw_regions(axes, mean, chosen)
    note = "Mean region of each node: its outline and its centre."
    if any(spread is not None for spread in spreads.values()):
        note += " Ellipse: one standard deviation of the centre."
    write(figure, left, top + side * ratio + 0.08, note + nodes_note(chosen, count), fontsize=7.5)
    return figure


def draw_path(axes: Axes, centres: Array, node: int, unit: float) -> None:
    """The path (T, 2) of a centre: a ring where it starts, a dot a frame, a disc at its end."""
    colour = node_colour(node)
    axes.plot(*centres.T, color=colour, lw=1.3 * unit, ls=node_line(node), zorder=3,
              gid=f"path of node {node}", path_effects=casing(1.3 * unit))  # fmt: skip
    axes.plot(*centres.T, "o", ms=2.4 * unit, mfc=colour, mew=0, zorder=3.5)
    if len(centres) > 1:
        axes.plot(*centres[0], "o", ms=5 * unit, mfc="none", mec=colour, mew=1.2 * unit, zorder=4,
                  gid=f"start of node {node}")  # fmt: skip
    axes.plot(*centres[-1], "o", ms=5.4 * unit, mfc=colour, mec=DARK, mew=0.5, zorder=4,
              gid=f"end of node {node}")  # fmt: skip


def _object_paths(axes: Axes, objects: Array) -> None:
    for n in range(objects.shape[1]):
        axes.plot(*objects[:, n, :2].T, color="#c3cad3", lw=0.8, alpha=0.75, zorder=2,
                  gid=f"path of object {n}")  # fmt: skip


def _below(pictures: Array, over: str) -> Array:
    if over not in ("mean", "last"):
        raise ValueError(f"over must be 'mean' or 'last', got {over!r}; choose one")
    below = pictures.mean(axis=0) if over == "mean" else pictures[-1]
    dark = pictures.mean() <= 64 and over == "mean"  # the mean of dark frames is dark enough
    return (below * (1.0 if dark else backdrop(pictures))).round().astype(np.uint8)


def _per_node(values: Any, name: str, what: str, nodes: int | str, *sizes: int) -> Array:
    """Numbers (N, size) of one of these sizes, finite."""
    found = as_array(values).astype(np.float64)
    if found.ndim != 2 or nodes not in ("N", len(found)) or found.shape[1] not in sizes:
        raise ValueError(
            f"{name} must be {' or '.join(f'({nodes}, {size})' for size in sizes)}, one {what} of "
            f"the boxes (B, T, N, 4) over all frames per node, got {found.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; check the model's weights")
    return found
