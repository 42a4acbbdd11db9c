"""Which node is which: one colour and one line for each, and a place for its number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from interlace.visualize.canvas import INK, Array, inches_across

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Found by search: any two are at least 0.1 apart in OKLab, to an eye that sees red, green and blue
# and to the three kinds that lack one of them (Machado et al., 2009); all stand out from black.
REGION_COLOURS = (
    "#0be3ff", "#f88527", "#dc08ff", "#d0d843", "#6570bc",
    "#fe2764", "#41a8a7", "#c090fe", "#837610",
)  # fmt: skip
REGION_LINES = ("solid", (0, (4, 1.6)), (0, (1.2, 1.2)))
DARK = "#0b0f14"


def node_colour(node: int) -> str:
    """The colour of a node in every picture; the tenth node starts again."""
    return REGION_COLOURS[node % len(REGION_COLOURS)]


def node_line(node: int) -> Any:
    """The line of a node: solid up to the ninth, then dashed, then dotted, then solid again."""
    return REGION_LINES[node // len(REGION_COLOURS) % len(REGION_LINES)]


def place_labels(candidates: Array, radius: float, *, taken: Array | None = None) -> Array:
    """Picks a place for each label so that labels cover neither each other nor what is taken.

    Args:
        candidates: (N, M, 2) places in the frame for each label, the best first.
        radius: of a label.
        taken: (P, 2) points that are better not covered.

    Returns:
        (N, 2), inside the frame. A label that fits nowhere goes where it covers least.
    """
    candidates = candidates.clip(1.15 * radius, 1 - 1.15 * radius)
    placed: list[Array] = []
    for options in candidates:
        cover = np.zeros(len(options))
        for other in placed:
            cover += (2.2 * radius - np.hypot(*(options - other).T)).clip(0) / radius
        for point in [] if taken is None else taken:
            cover += 0.3 * (1.3 * radius - np.hypot(*(options - point).T)).clip(0) / radius
        placed.append(options[int(cover.argmin())])
    return np.array(placed).reshape(-1, 2)


def along_outline(boxes: Array, *, least: float = 0.0) -> Array:
    """Places for labels on the outlines of boxes (N, 4): corners, then along the sides.

    Around a smaller box they are as if its half extents were `least`.
    """
    steps = np.array([-1.0, 1.0, 0.0, -0.5, 0.5])
    ends = np.array([-1.0, 1.0])
    across = np.stack(np.meshgrid(steps, ends), axis=-1).reshape(-1, 2)  # top and bottom
    down = np.stack(np.meshgrid(ends, steps[2:], indexing="ij"), axis=-1).reshape(-1, 2)
    places = np.concatenate([across, down])  # (16, 2)
    places = places[np.argsort(-np.abs(places).sum(axis=1), kind="stable")]
    visible = clipped(boxes)
    return visible[:, None, :2] + visible[:, None, 2:].clip(least) * places


def around(points: Array, radius: float) -> Array:
    """Places for labels around points (N, 2): eight directions, nearer ones first."""
    angles = np.pi * np.arange(8) / 4 - np.pi / 4
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = np.concatenate([reach * radius * circle for reach in (1.7, 3.0, 4.3)])  # (24, 2)
    return points[:, None] + rings


def clipped(boxes: Array) -> Array:
    """What of boxes (..., 4) lies inside the frame, as boxes."""
    low = (boxes[..., :2] - boxes[..., 2:]).clip(0, 1)
    high = (boxes[..., :2] + boxes[..., 2:]).clip(0, 1)
    return np.concatenate([(low + high) / 2, (high - low) / 2], axis=-1)


def panel_unit(axes: Axes, count: int) -> tuple[float, float, float]:
    """Sizes on a panel with so many nodes: of lines, of labels, and a label's radius in the frame.

    The first two are 1 for a panel 160 points wide.
    """
    points = 72 * inches_across(axes)
    unit = float(np.clip(points / 160, 0.7, 2.0))
    label = unit if count <= 12 else 0.85 * unit
    return unit, label, 4.3 * label / points


def casing(line: float) -> Any:
    """A dark edge on both sides of a line, which keeps its colour legible on any picture."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=line + 1.2, foreground=DARK, alpha=0.7), Normal()]


def draw_label(
    axes: Axes, place: Array, node: int, unit: float, *, hollow: bool = False, colour: str = ""
) -> None:
    """A disc with the number of a node, in the node's own colour if none is named.

    A hollow one is dark with a coloured number.
    """
    colour = colour or node_colour(node)
    paper, ink = (DARK, colour) if hollow else (colour, DARK)
    x, y = place
    axes.plot(x, y, "o", ms=8.6 * unit, mfc=paper, mec=ink, mew=0.5, zorder=5,
              gid=f"label of node {node}")  # fmt: skip
    axes.text(x, y, str(node), fontsize=4.9 * unit, color=ink, weight="bold", ha="center",
              va="center_baseline", zorder=6, clip_on=True)  # fmt: skip


def name_panel(axes: Axes, node: int) -> None:
    """The name of a node above its panel, behind a square of its colour."""
    for x, text, colour in ((2, "■", node_colour(node)), (11, f"node {node}", INK)):
        axes.annotate(text, (0, 1), (x, 4), xycoords="axes fraction", textcoords="offset points",
                      color=colour, fontsize=7.5)  # fmt: skip
