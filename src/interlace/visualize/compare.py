"""Several models on one clip, side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from interlace.visualize.canvas import (
    INK,
    WHOLE,
    backdrop,
    new_figure,
    picture_axes,
    show_frame,
    show_heat,
    write,
)
from interlace.visualize.regions import draw_objects, draw_regions
from interlace.visualize.view import Array, ClipView, choose, choose_nodes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MAP = "#ffa51f"  # of maps; not a node's, as only one node's map is drawn


def compare_figure(
    views: Mapping[str, ClipView],
    *,
    frames: Sequence[int] | None = None,
    maps: Collection[str] = (),
    map_node: int | None = None,
    nodes: Sequence[int] | None = None,
) -> Figure:
    """What several models looked at in the same frames (DyReg-GNN, Figure 2).

    Args:
        views: name of a model -> its view of one clip, all with the same frames. True boxes are
            drawn as thin grey lines, those that matter white.
        frames: which frames (rows); default: three, evenly spread.
        maps: names of models whose kernels are maps of any form and not regions, as those of
            semantic nodes: one node's kernel is drawn as heat.
        map_node: which; default: the node whose maps are the most concentrated.
        nodes: which nodes of the other models; default: all, of more than 20 as many spread evenly.
    """
    if not views:
        raise ValueError(
            "views must name at least one model, got none; pass {name: view_clip(trace, video)}"
        )
    for name in maps:
        if name not in views:
            raise ValueError(
                f"maps must name models in views, got {name!r}; choose from {', '.join(views)}"
            )
    first = next(iter(views.values()))
    shown = choose(frames, first.num_frames, "frames", most=3)

    columns = min(len(views), 5)
    blocks = -(-len(views) // columns)
    gap, left, top = 0.07, 0.26, 0.4
    across = min((WHOLE - left + gap) / columns - gap, 3.0)
    down = across * first.ratio
    high = top + len(shown) * (down + gap)
    regions = [name for name in views if name not in maps]
    figure = new_figure(WHOLE, blocks * high + 0.28)
    for place, (name, view) in enumerate(views.items()):
        x = left + place % columns * (across + gap)
        y = place // columns * high
        node = most_concentrated(view.kernels) if map_node is None else map_node
        if name in maps:
            choose([node], view.num_nodes, "map_node", most=1)
            about = f"node {node}: map"
        else:
            chosen = choose_nodes(nodes, view.num_nodes)
            about = f"{len(chosen)} of {view.num_nodes} nodes" if len(chosen) < view.num_nodes \
                else f"{view.num_nodes} node{'s' * (view.num_nodes > 1)}"  # fmt: skip
        middle = x + across / 2
        write(figure, middle, y + 0.03, name, ha="center", color=INK, fontsize=9)
        write(figure, middle, y + 0.21, about, ha="center", fontsize=7)
        for row, t in enumerate(shown):
            at = y + top + row * (down + gap)
            axes = picture_axes(figure, x, at, across, down)
            show_frame(axes, view.frames[t], dim=backdrop(view.frames))
            draw_objects(axes, view, t)
            if name in maps:
                show_heat(axes, view.kernels[t, node], MAP, most=view.kernels[shown, node].max(),
                          alpha=0.85, gid=f"kernel of node {node} in frame {t}")  # fmt: skip
            else:
                draw_regions(axes, view.boxes[t], chosen)
            if place % columns == 0:
                write(figure, 0.03, at + down / 2, f"frame {t}", rotation=90, va="center")
    note = "Rectangles: what each node pools from. Dots: their centres." if regions else ""
    if len(regions) < len(views):
        note += (
            " Heat: share of a position in what one node pools, in each model up to its largest."
        )
    write(figure, left, blocks * high + 0.04, note.strip(), fontsize=7.5)
    return figure


def most_concentrated(kernels: Array) -> int:
    """Which node's kernels (T, N, H, W) lie on the fewest places: the least mean entropy."""
    share = np.maximum(kernels.astype(np.float64), 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return int((-(share * logs)).sum(axis=(2, 3)).mean(axis=0).argmin())
