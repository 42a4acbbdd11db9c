"""Charts of numbers: a prediction, a confusion matrix, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from interlace.visualize.canvas import (
    ACCENT,
    GOOD,
    HEAT,
    INK,
    LINE,
    MUTED,
    WHOLE,
    Array,
    fade,
    inches_across,
    new_figure,
    new_panels,
    quiet,
    scale_bar,
    show_matrix,
)
from interlace.visualize.view import as_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def as_scores(scores: Any, names: Sequence[str]) -> Array:
    """Checks probabilities (num_classes,) that sum to 1."""
    scores = as_array(scores).astype(np.float64)
    if scores.shape != (len(names),):
        raise ValueError(
            f"scores must be ({len(names)},), one per name, got {scores.shape}; "
            "take one clip of a batch with scores[b]"
        )
    if not (scores.min() >= 0 and abs(scores.sum() - 1) <= 0.02):  # so that NaN does not pass
        raise ValueError(
            f"scores must be probabilities that sum to 1, got a sum of {scores.sum():.3g} and a "
            f"least value of {scores.min():.3g}; pass logits.softmax(-1)"
        )
    return scores


def prediction_figure(scores: Any, names: Sequence[str], *, label: int | None = None) -> Figure:
    """The five most probable classes as bars; the true one is green.

    Args:
        scores: (num_classes,) probabilities.
        label: the true class; one that is not among the bars is added below them.
    """
    scores = as_scores(scores, names)
    ranked = np.argsort(-scores, kind="stable")
    shown = ranked[:5].tolist()
    if label is not None:
        check_label(label, names)
        if label not in shown:
            shown.append(label)
    written = [fill(names[index], 26, max_lines=2, placeholder=" …") for index in shown]
    longest = max(len(line) for name in written for line in name.split("\n"))
    left = 0.075 * longest + 0.14
    figure = new_figure(4, 0.34 * len(shown) + 0.1)
    axes = figure.add_axes((left / 4, 0.02, (4 - left - 0.6) / 4, 0.96))
    colours = [GOOD if index == label else ACCENT for index in shown]
    bars = axes.barh(range(len(shown)), scores[shown], height=0.62, color=colours)
    axes.set_ylim(len(shown) - 0.45, -0.55)
    axes.set_xlim(0, 1)
    axes.set_yticks(range(len(shown)), written)
    axes.set_xticks([])
    quiet(axes, size=8.5)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", colors=INK)
    notes = [percent(scores[index]) for index in shown]
    if len(shown) > 5:
        notes[-1] += f"  (rank {ranked.tolist().index(label) + 1})"
    axes.bar_label(bars, notes, padding=2, fontsize=8, color=INK)
    return figure


def confusion_figure(confusion: Any, names: Sequence[str]) -> Figure:
    """How often a true class (row) was taken for another (column), as a share of the row.

    Args:
        confusion: (num_classes, num_classes) counts. A class without videos stays an empty row.
    """
    counts = as_array(confusion).astype(np.float64)
    classes = len(names)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"confusion must be ({classes}, {classes}), one row and column per name, "
            f"got {counts.shape}; rows are true classes"
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    labels = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
    letters = 0.075 * max(map(len, labels))  # inches of the longest
    upright = classes > 8 or letters > 0.45
    left = max(0.95, 0.35 + letters)
    figure, (axes,) = new_panels(
        1, 1, ratio=1.0, widest=max(3.2, 0.5 * classes),
        left=left, right=0.8, top=0.12, foot=0.4 + letters * upright,
    )  # fmt: skip
    from matplotlib.colors import PowerNorm

    side = inches_across(axes)
    each = -(-classes // 80)  # of more than 80 classes, not every one finds room for its name
    named = [name if k % each == 0 else "" for k, name in enumerate(labels)]
    heat = show_matrix(
        axes,
        shares,
        named,
        named,
        size=float(np.clip(0.66 * 72 * side / classes * each, 4, 8)),
        cmap=fade(HEAT),
        norm=PowerNorm(0.5, vmin=0, vmax=1),  # so that an error in a hundred is seen
        gid="confusion",
    )
    axes.tick_params(axis="x", rotation=90 if upright else 0)
    axes.set_xticks(np.arange(0.5, classes - 1), minor=True)
    axes.set_yticks(np.arange(0.5, classes - 1), minor=True)
    axes.grid(which="minor", color=LINE, lw=0.35)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted", fontsize=8.5, color=INK)
    axes.set_ylabel("true", fontsize=8.5, color=INK)
    for row, column in np.argwhere(counts > 0) if classes <= 12 else ():
        axes.text(column, row, f"{counts[row, column]:g}", ha="center", va="center", fontsize=7.5,
                  color="#ffffff" if shares[row, column] > 0.5 else INK)  # fmt: skip
    scale = scale_bar(heat, tallest=2.4)
    scale.set_ticks([0, 0.01, 0.1, 0.5, 1], labels=["0 %", "1 %", "10 %", "50 %", "100 %"])
    return figure


def curve_figure(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, xlabel: str, ylabel: str
) -> Figure:
    """Named curves on common axes, each with its last value.

    Args:
        curves: name -> (steps, values), as many of the one as of the other.
    """
    figure = new_figure(WHOLE, 3.3)
    axes = figure.add_axes((0.075, 0.15, 0.84, 0.8))
    colours = (ACCENT, "#d97706", "#c2408f", "#7c5ce0", "#0e9f6e", "#dc4a4a")
    ends = []
    for n, (name, (x, y)) in enumerate(curves.items()):
        colour = colours[n % len(colours)]
        axes.plot(x, y, color=colour, lw=1.8, label=name, solid_capstyle="round", gid="curve")
        axes.plot(x[-1], y[-1], "o", color=colour, ms=4)
        ends.append((x[-1], y[-1], colour))
    quiet(axes, size=8)
    axes.grid(axis="y", color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.set_xlabel(xlabel, fontsize=8.5, color=MUTED)
    axes.set_ylabel(ylabel, fontsize=8.5, color=MUTED)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x == int(x) else f"{x:g}")
    places = _apart([y for _, y, _ in ends], 0.06 * np.ptp(axes.get_ylim()))
    axes.set_ylim(top=max(axes.get_ylim()[1], *places))  # beyond, nothing is written
    for (step, value, colour), place in zip(ends, places, strict=True):
        axes.annotate(f"{value:.3g}", (step, place), (7, 0), textcoords="offset points",
                      va="center", fontsize=8, color=colour)  # fmt: skip
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
    return figure


def check_label(label: int, names: Sequence[str]) -> None:
    if not 0 <= label < len(names):
        raise ValueError(
            f"label must be 0 to {len(names) - 1}, got {label}; leave it out where it is unknown"
        )


def percent(share: float) -> str:
    """A share as text: "92.1 %"."""
    return f"{100 * share:.1f} %"


def _apart(values: Sequence[float], least: float) -> Array:
    """Places near the values that are at least so far from each other."""
    order = np.argsort(values)
    steps = least * np.arange(len(values))
    places = np.empty(len(values))
    places[order] = np.maximum.accumulate(np.array(values)[order] - steps) + steps
    return places
