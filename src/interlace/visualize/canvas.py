"""The paper that pictures are drawn on: matplotlib figures without global state, and inks."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]

# The report swaps these three and the accent for their dark-page twins.
INK, MUTED, LINE, ACCENT = "#1f2328", "#59636e", "#d1d9e0", "#0969da"
GOOD = "#1a7f37"
HEAT = "#2f81f7"  # on white and on black
PHOTOGRAPH = 160  # pixels of the shorter side from which a frame is one
WHOLE = 9.6  # inches of a figure as wide as the page; at 100 dots per inch, 960 pixels


def need(module: str) -> ModuleType:
    """Imports an optional package, or says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(f'pictures need {package}; run: pip install "interlace[plot]"') from error


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, with its own Agg canvas."""
    need("matplotlib.backends.backend_agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def new_panels(
    count: int,
    columns: int,
    *,
    ratio: float,
    widest: float,
    gaps: tuple[float, float] = (0.07, 0.07),
    left: float = 0.0,
    right: float = 0.0,
    top: float = 0.24,
    foot: float = 0.3,
) -> tuple[Figure, list[Axes]]:
    """A figure as wide as the page, with panels of one size.

    Args:
        count: of the panels, row by row.
        columns: how many panels a full row has.
        ratio: height of a panel / its width.
        widest: inches of a panel's width at most.
        gaps: inches between columns and between rows.
        left, right, top, foot: inches beside, above and below all panels.
    """
    across = min((WHOLE - left - right + gaps[0]) / columns - gaps[0], widest)
    down = across * ratio
    rows = max(1, -(-count // columns))
    figure = new_figure(WHOLE, top + rows * (down + gaps[1]) - gaps[1] + foot)
    corners = (
        (left + column * (across + gaps[0]), top + row * (down + gaps[1]))
        for row, column in (divmod(place, columns) for place in range(count))
    )
    return figure, [picture_axes(figure, *corner, across, down) for corner in corners]


def picture_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without frame or ticks, placed in inches from the figure's top left corner.

    Its title and the labels of its axes are small and grey.
    """
    whole_width, whole_height = figure.get_size_inches()
    bottom = whole_height - top - height
    inches = (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    axes = figure.add_axes(inches)
    axes.set(xticks=[], yticks=[])
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    for label in (axes.title, axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=8, color=MUTED)
    return axes


def inches_across(axes: Axes) -> float:
    """How wide axes are."""
    return float(axes.get_window_extent().width / axes.figure.dpi)


def caption(figure: Figure, text: str, *, left: float = 0.02) -> None:
    """A line of text at the foot of a figure, so many inches from its left edge."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 0.24 / height, text, fontsize=7.5, color=MUTED, va="top")


def only_caption(text: str) -> Figure:
    """A figure that only says why there is nothing to see."""
    figure = new_figure(WHOLE, 0.3)
    caption(figure, text)
    return figure


def show_frame(axes: Axes, frame: Array, *, dim: float = 1.0) -> None:
    """A frame (H, W, 3) over [0, 1] x [0, 1], y pointing down.

    Small frames keep their pixels; photographs are shown with two pixels for one of the panel.
    """
    pixels = (frame * dim).round().astype(np.uint8)
    if is_photograph(frame):
        window = axes.get_window_extent()
        pixels = resized(pixels, round(2 * window.height), round(2 * window.width))
    axes.imshow(pixels, extent=(0, 1, 1, 0), aspect="auto", interpolation="none")
    axes.set(xlim=(0, 1), ylim=(1, 0))


def resized(picture: Array, height: int, width: int) -> Array:
    """A picture, uint8 (H, W, 3), smoothly resized."""
    image = need("PIL.Image")
    small = image.fromarray(picture).resize(
        (max(1, width), max(1, height)),
        image.Resampling.BOX if height < picture.shape[0] // 2 else image.Resampling.BICUBIC,
    )
    return np.asarray(small)


def is_photograph(frame: Array) -> bool:
    """Whether a frame (H, W, 3) is too large for anybody to look at its pixels one by one."""
    return min(frame.shape[:2]) >= PHOTOGRAPH


def backdrop(frames: Array) -> float:
    """How much frames (T, H, W, 3) are dimmed below regions: bright ones more than dark ones.

    Photographs, in which there is more to see than bright strokes, are dimmed least.
    """
    return 0.75 if is_photograph(frames[0]) or frames.mean() <= 64 else 0.5


def show_heat(
    axes: Axes,
    kernel: Array,
    colour: str,
    *,
    most: float,
    gid: str,
    alpha: float,
    area: Sequence[float] = (0.5, 0.5, 0.5, 0.5),
) -> None:
    """A kernel (H, W) as heat on an area (cx, cy, rx, ry) of a frame; `most` gets full colour."""
    cx, cy, rx, ry = area
    axes.imshow(
        kernel,
        extent=(cx - rx, cx + rx, cy + ry, cy - ry),
        aspect="auto",
        interpolation="none",
        cmap=fade(colour),
        alpha=alpha,
        vmin=0,
        vmax=most or 1,
        gid=gid,
    )
    axes.set(xlim=(0, 1), ylim=(1, 0))  # all of the frame, of which the kernel may be a part


def show_matrix(
    axes: Axes,
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    size: float,
    **style: Any,
) -> Any:
    """Numbers (R, C) as squares of colour, with names beside and below, as matplotlib's image."""
    heat = axes.imshow(values, interpolation="none", **style)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(colors=MUTED, labelsize=size, length=0, pad=2)
    axes.spines[:].set(visible=True, color=LINE)
    return heat


def scale_bar(heat: Any, *, tallest: float = 9.0) -> Any:
    """What the colours of an image mean, right of it and so many inches high at most."""
    side = inches_across(heat.axes)
    height = min(1.0, tallest / side)
    axes = heat.axes.inset_axes((1 + 0.1 / side, 1 - height, 0.1 / side, height))
    bar = heat.figure.colorbar(heat, cax=axes)
    bar.outline.set_edgecolor(LINE)
    axes.tick_params(colors=MUTED, labelsize=7, length=0, pad=3)
    return bar


def fade(colour: str) -> Any:
    """A colour map from transparent, whatever the page's colour, to `colour`."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    rgb = to_rgb(colour)
    return LinearSegmentedColormap.from_list("fade", [(*rgb, 0.0), (*rgb, 1.0)])


def quiet(axes: Axes, *, size: float = 7.5) -> None:
    """Takes the box off a chart and greys its scales."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(visible=True, color=LINE)
    axes.tick_params(colors=MUTED, labelsize=size, length=0)
