"""Draws docs/figures/idea.png and idea.svg: a video becomes a graph recurrent in space and time.

Run: python docs/figures/make_idea.py
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

WIDTH, HEIGHT = 900, 336  # pixels at normal size; y points down
INK, MUTED, LINE, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
SCALES = {3: "#0ea5e9", 2: "#f59e0b", 1: "#ec4899"}  # cells a side -> colour
TIME = "#7c3aed"
Point = tuple[float, float]


def main() -> None:
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    axes.axis("off")
    card(axes, 1, 1, WIDTH - 2, HEIGHT - 2, 14, PAPER, LINE)

    draw_video(axes, 22)
    draw_features(axes, 172)
    draw_regions(axes, 306)
    draw_rounds(axes, 406)
    draw_outputs(axes, 752)

    for start, end in ((146, 164), (278, 296), (376, 396), (725, 743)):
        arrow(axes, (start, 172), (end, 172), INK, 1.6)

    folder = Path(__file__).parent
    figure.savefig(folder / "idea.png", dpi=200, transparent=True)
    with matplotlib.rc_context({"svg.hashsalt": "idea"}):
        figure.savefig(folder / "idea.svg", transparent=True, metadata={"Date": None})


def draw_video(axes: Axes, left: float) -> None:
    heading(axes, left, "video", "T frames")
    paths = {"7": ((12, 14), (7, 9)), "2": ((37, 16), (7, 9)), "4": ((64, 13), (-1, 23))}
    for t in range(3):
        x, y = left + 20 * t, 84 + 44 * t
        card(axes, x, y, 76, 76, 3, "#0b0f14", PAPER, zorder=2 + t)
        for digit, ((dx, dy), (vx, vy)) in paths.items():
            place = (x + dx + vx * t, y + dy + vy * t)
            say(axes, *place, digit, size=13, color="#f1f5f9", ha="center", va="center_baseline",
                weight="bold", zorder=2.5 + t)  # fmt: skip
            if t == 2:  # the way it came
                colour = "#a3e635" if digit in "72" else "#94a3b8"
                ends = [(place[0] - t * vx, place[1] - t * vy), (place[0] - vx, place[1] - vy)]
                axes.plot(*zip(*ends, strict=True), color=colour, lw=1.4, ls=(0, (1, 1)), zorder=5)
    say(axes, left, 276, "two digits move as one:\nwhich two?", size=8, color=MUTED)


def draw_features(axes: Axes, left: float) -> None:
    heading(axes, left, "features", "any backbone")
    rng = np.random.default_rng(4)
    for t in range(3):
        x, y, side, cells = left + 16 * t, 90 + 44 * t, 66, 6
        card(axes, x - 1, y - 1, side + 2, side + 2, 2, PAPER, PAPER)
        for row in range(cells):
            for column in range(cells):
                shade = 0.12 + 0.75 * rng.beta(1.2, 3)
                size = side / cells
                axes.add_patch(
                    Rectangle((x + column * size, y + row * size), size - 1, size - 1,
                              fc=mix("#0f766e", shade), lw=0)
                )  # fmt: skip
    say(axes, left, 276, "one map a frame", size=8, color=MUTED)


def draw_regions(axes: Axes, left: float) -> None:
    heading(axes, left, "regions", "grids, 3 scales")
    side, gap = 58, 10
    for n, (cells, colour) in enumerate(SCALES.items()):
        x, y, size = left + 2, 72 + n * (side + gap), side / cells
        for row in range(cells):
            for column in range(cells):
                corner = (x + column * size, y + row * size)
                card(axes, *corner, size - 2.5, size - 2.5, 2, mix(colour, 0.14), colour)
                middle = (corner[0] + size / 2 - 1.2, corner[1] + size / 2 - 1.2)
                axes.add_patch(Circle(middle, 3.4, fc=colour, lw=0))
    say(axes, left, 276, "each region\nis a node", size=8, color=MUTED)


def draw_rounds(axes: Axes, left: float) -> None:
    card(axes, left, 22, 309, 292, 12, "#f6f8fa", LINE)
    say(axes, left + 154, 31, "K rounds", size=11, weight="bold", ha="center", va="top")

    # time: three frames, each node listens to its own past
    card(axes, left + 12, 60, 136, 206, 9, PAPER, LINE)
    say(axes, left + 80, 69, "time stage", size=9.5, weight="bold", color=TIME, ha="center",
        va="top")  # fmt: skip
    colours = [SCALES[3], SCALES[3], SCALES[3], SCALES[2], SCALES[2], SCALES[1]]
    rows = [101 + 24 * n for n in range(6)]
    columns = [left + 34, left + 80, left + 126]
    for y, colour in zip(rows, colours, strict=True):
        arrow(axes, (left + 15, y), (columns[0] - 6.5, y), TIME, 1.3, fade=0.4)
        for start, end in itertools.pairwise(columns):
            arrow(axes, (start + 6.5, y), (end - 6.5, y), TIME, 1.5)
        for x in columns:
            dot(axes, (x, y), colour, 5.6)
    for x, name in zip(columns, ("t − 1", "t", "t + 1"), strict=True):
        say(axes, x, 239, name, size=8, color=MUTED, ha="center", va="top")

    # space: within a frame, neighbours and overlapping scales exchange messages
    card(axes, left + 161, 60, 136, 206, 9, PAPER, LINE)
    say(axes, left + 229, 69, "space stage", size=9.5, weight="bold", color="#0369a1", ha="center",
        va="top")  # fmt: skip
    draw_planes(axes, left + 167)

    arrow(axes, (left + 148.5, 150), (left + 160.5, 150), INK, 1.4)
    loop = [(left + 229, 266), (left + 229, 281), (left + 80, 281), (left + 80, 268)]
    axes.plot(*zip(*loop[:3], strict=True), color=INK, lw=1.4, solid_joinstyle="round")
    arrow(axes, loop[2], loop[3], INK, 1.4)
    say(axes, left + 155, 281, "× K", size=9, weight="bold", ha="center", va="center",
        bbox={"fc": "#f6f8fa", "ec": "#f6f8fa", "pad": 2})  # fmt: skip
    say(axes, left + 154, 296, "time and space take turns, then one last time stage", size=7.6,
        color=MUTED, ha="center", va="top")  # fmt: skip


def draw_planes(axes: Axes, left: float) -> None:
    """Three scales as tilted planes; messages within them and between regions that intersect."""

    def place(scale: int, row: float, column: float) -> Point:
        u, v = (column + 0.5) / scale, (row + 0.5) / scale
        level = {1: 0, 2: 1, 3: 2}[scale]
        return left + 38 + 84 * u - 34 * v, 100 + 49 * level + 38 * v

    for scale, colour in ((3, SCALES[3]), (2, SCALES[2]), (1, SCALES[1])):
        half = 0.5
        corners = [(-half, -half), (-half, scale - half), (scale - half, scale - half),
                   (scale - half, -half)]  # fmt: skip
        plane = [place(scale, row, column) for row, column in corners]
        axes.add_patch(Polygon(plane, fc=mix(colour, 0.10), ec=mix(colour, 0.45), lw=0.9))
        cells = [(row, column) for row in range(scale) for column in range(scale)]
        for n, first in enumerate(cells):
            for second in cells[n + 1 :]:
                if max(abs(first[0] - second[0]), abs(first[1] - second[1])) == 1:
                    path(axes, place(scale, *first), place(scale, *second), mix(colour, 0.55), 0.8)
    for upper, lower in ((1, 2), (2, 3)):
        for row in range(lower):
            for column in range(lower):
                for r in range(upper):
                    for c in range(upper):
                        if overlap(upper, r, lower, row) and overlap(upper, c, lower, column):
                            ends = place(upper, r, c), place(lower, row, column)
                            path(axes, *ends, "#94a3b8", 0.6)
    messages = [
        ((2, 0, 0), (1, 0, 0), 2.2),
        ((2, 1, 1), (1, 0, 0), 1.2),
        ((3, 0, 0), (2, 0, 0), 2.2),
        ((3, 2, 2), (2, 1, 1), 1.6),
    ]
    for sender, receiver, line in messages:
        arrow(axes, place(*sender), place(*receiver), SCALES[sender[0]], line, shrink=4.5)
    for scale, colour in SCALES.items():
        for row in range(scale):
            for column in range(scale):
                dot(axes, place(scale, row, column), colour, 4.2)


def draw_outputs(axes: Axes, left: float) -> None:
    say(axes, left, 27, "readout", size=11, weight="bold", va="top")
    say(axes, left, 45, "sum of the nodes", size=8, color=MUTED, va="top")
    for n in range(9):
        shade = (0.75, 0.3, 0.5, 0.9, 0.2, 0.6, 0.4, 0.8, 0.3)[n]
        axes.add_patch(Rectangle((left + n * 7.6, 66), 6.4, 18, fc=mix("#4f46e5", shade), lw=0))
    arrow(axes, (left + 72, 75), (left + 88, 75), INK, 1.4)
    say(axes, left + 92, 75, "7–2", size=11, weight="bold", va="center")

    axes.plot([left, left + 124], [118, 118], color=LINE, lw=1)
    say(axes, left + 62, 118, "or", size=8, color=MUTED, ha="center", va="center",
        bbox={"fc": PAPER, "ec": PAPER, "pad": 3})  # fmt: skip

    say(axes, left, 143, "remap", size=11, weight="bold", va="top")
    say(axes, left, 161, "back to their regions,", size=8, color=MUTED, va="top")
    say(axes, left, 173, "added to the features", size=8, color=MUTED, va="top")
    rng = np.random.default_rng(2)
    sums = np.zeros((6, 6))
    for scale in SCALES:
        coarse = rng.uniform(0.05, 0.32, (scale, scale))
        sums += coarse.repeat(6 // scale, axis=0).repeat(6 // scale, axis=1)
    for row in range(6):
        for column in range(6):
            corner = (left + column * 8.8, 203 + row * 8.8)
            axes.add_patch(Rectangle(corner, 7.8, 7.8, fc=mix("#4f46e5", sums[row, column]), lw=0))
    say(axes, left + 63, 229, "+", size=13, weight="bold", ha="center", va="center")
    for row in range(6):
        for column in range(6):
            corner = (left + 74 + column * 8.8, 203 + row * 8.8)
            shade = 0.12 + 0.75 * rng.beta(1.2, 3)
            axes.add_patch(Rectangle(corner, 7.8, 7.8, fc=mix("#0f766e", shade), lw=0))
    say(axes, left, 276, "and on through the\nrest of the network", size=8, color=MUTED, va="top")


def overlap(upper: int, r: int, lower: int, row: int) -> bool:
    """Whether cell r of `upper` cells shares more than a border with cell `row` of `lower`."""
    return r * lower < (row + 1) * upper and row * upper < (r + 1) * lower


def heading(axes: Axes, left: float, text: str, below: str) -> None:
    say(axes, left, 27, text, size=11, weight="bold", va="top")
    say(axes, left, 45, below, size=8, color=MUTED, va="top")


def say(axes: Axes, x: float, y: float, text: str, *, size: float, color: str = INK,
        **style: object) -> None:  # fmt: skip
    axes.text(x, y, text, fontsize=size, color=color, **{"va": "top", **style})  # type: ignore[arg-type]


def card(axes: Axes, x: float, y: float, width: float, height: float, radius: float,
         colour: str, edge: str, *, zorder: float = 1) -> None:  # fmt: skip
    style = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=style, fc=colour, ec=edge, lw=1,
                       zorder=zorder)
    )  # fmt: skip


def dot(axes: Axes, place: Point, colour: str, radius: float) -> None:
    axes.add_patch(Circle(place, radius, fc=colour, ec=PAPER, lw=1, zorder=3))


def path(axes: Axes, start: Point, end: Point, colour: str, line: float) -> None:
    axes.plot([start[0], end[0]], [start[1], end[1]], color=colour, lw=line, zorder=1.5)


def arrow(axes: Axes, start: Point, end: Point, colour: str, line: float, *, shrink: float = 0,
          fade: float = 1) -> None:  # fmt: skip
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>,head_length=0.35,head_width=0.19", lw=line,
                        color=colour, mutation_scale=9 + 2 * line, shrinkA=shrink, shrinkB=shrink,
                        alpha=fade, zorder=2.5)
    )  # fmt: skip


def mix(colour: str, share: float) -> str:
    """So much of a colour, the rest white."""
    parts: Sequence[int] = bytes.fromhex(colour.removeprefix("#"))
    return "#" + "".join(f"{round(255 + (part - 255) * min(share, 1)):02x}" for part in parts)


if __name__ == "__main__":
    main()
