"""The graph on its frames: nodes, regions and messages, as a figure and as an animation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interlace.visualize.canvas import Array, caption, new_panels, show_frame
from interlace.visualize.choosing import choose, nodes_note
from interlace.visualize.frames import BYSTANDER, MATTERS, drawn_frames, outline
from interlace.visualize.palette import draw_label, panel_unit
from interlace.visualize.view import ClipView, spread_centres

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def graph_figure(
    view: ClipView,
    *,
    frames: Sequence[int] | None = None,
    rounds: Sequence[int] | None = None,
    threshold: float | None = None,
) -> Figure:
    """The graph over frames (columns) and rounds (rows): who listened to whom, and how much.

    Nodes that speak stand at the centres of their regions (those that share a centre, side by
    side); silent ones are left out, with all messages from and to them. An arrow goes from sender
    to receiver in the sender's colour; its width and opacity grow with the weight of the message,
    averaged over heads, on one scale for the whole figure.

    Args:
        frames: which frames; default: four, evenly spread.
        rounds: which rounds; default: all.
        threshold: weight from which a message is drawn; default: the one that about ten messages a
            panel reach. The figure states it.
    """
    shown = choose(frames, view.num_frames, "frames", most=4)
    levels = choose(rounds, view.num_rounds, "rounds", most=view.num_rounds)
    weights = view.messages[np.ix_(shown, levels)]  # (frames, rounds, N, N)
    threshold, strongest = _drawing_range(weights, threshold)

    columns = len(shown)
    figure, panels = new_panels(
        columns * max(1, len(levels)), columns, ratio=view.ratio, widest=3.0, left=0.26
    )
    for place, axes in enumerate(panels):
        row, column = divmod(place, columns)
        message = weights[column, row] if levels else None
        draw_graph(axes, view, shown[column], message, threshold, strongest)
        if not row:
            axes.title.set_text(f"frame {view.numbers[shown[column]]}")
        if not column and levels:
            axes.set_ylabel(f"round {levels[row]}")
    caption(figure, _message_caption(view, threshold, strongest), left=0.26)
    return figure


def animate(view: ClipView, *, scale: int | None = None) -> Array:
    """The clip, enlarged, with its nodes and the strongest messages of the last round.

    Args:
        scale: how many pixels wide a pixel becomes; default: the shorter side gets 384 or more.

    Returns:
        uint8 (T, H * scale, W * scale, 3), for `save_gif` and `save_mp4`.
    """
    weights = view.messages[:, -1:]  # (T, 1 or 0, N, N)
    threshold, strongest = _drawing_range(weights)

    def draw(axes: Axes, t: int) -> None:
        message = weights[t, 0] if view.num_rounds else None
        draw_graph(axes, view, t, message, threshold, strongest)
        for n, matters in enumerate(view.matters):
            colour = MATTERS if matters else BYSTANDER
            outline(axes, view.objects[t, n], colour, 1.5, zorder=1.5)

    return drawn_frames(view.frames, scale, draw)


def draw_graph(
    axes: Axes, view: ClipView, t: int, weights: Array | None, threshold: float, strongest: float
) -> None:
    """One frame of a graph: dimmed picture, regions, messages of `threshold` or more, nodes.

    Silent nodes have none of it.
    A message of the weight `strongest` is drawn boldest; one with half its weight is half as
    opaque and its line half as much wider than the thinnest. A message of a node to itself is a
    ring around it.
    """
    from matplotlib.patches import FancyArrowPatch

    show_frame(axes, view.frames[t], dim=0.5)
    unit, _, _ = panel_unit(axes, view.num_nodes)
    here = view.in_frame(t, range(view.num_nodes))
    places = dict(zip(here, spread_centres(view.boxes[t, here]), strict=True))
    for n in here:
        box, colour = view.boxes[t, n].copy(), view.colours[n]
        box[2:] = (box[2:] - 0.006).clip(0.004)  # cells that touch keep a line each
        outline(axes, box, colour, 0.6 * unit, alpha=0.7, zorder=1)
    if weights is not None:
        order = np.argsort(np.abs(weights), axis=None)  # the strongest on top
        for receiver, sender in zip(*np.unravel_index(order, weights.shape), strict=True):
            weight = float(weights[receiver, sender])
            silent = sender not in places or receiver not in places
            if silent or weight == 0 or abs(weight) < threshold:
                continue
            strength = abs(weight) / strongest
            line, colour = message_width(strength) * unit, view.colours[sender]
            gid = f"message from {sender} to {receiver}"
            if receiver == sender:
                axes.plot(*places[sender], "o", ms=11 * unit, mfc="none", mec=colour, mew=line,
                          alpha=strength, zorder=2, gid=gid)  # fmt: skip
                continue
            axes.add_patch(
                FancyArrowPatch(
                    tuple(places[sender]),
                    tuple(places[receiver]),
                    arrowstyle="-|>",
                    connectionstyle="arc3,rad=0.16",
                    mutation_scale=(3.5 + 4.5 * strength) * unit,
                    shrinkA=4.2 * unit,
                    shrinkB=4.6 * unit,
                    color=colour,
                    lw=line,
                    alpha=strength,
                    zorder=2,
                    gid=gid,
                )
            )
    for n, place in places.items():
        draw_label(axes, place, n, unit, colour=view.colours[n])


def message_width(strength: float) -> float:
    """Line width of a message drawn with this strength, on a panel 160 points wide."""
    return 0.3 + 2.2 * strength


def message_threshold(weights: Array) -> float:
    """A weight, two digits long, that about ten messages of a panel reach.

    Args:
        weights: (..., N, N) the attention of all panels drawn together.
    """
    size = np.sort(np.abs(weights[weights != 0]))[::-1]
    wanted = 10 * int(np.prod(weights.shape[:-2]))
    if wanted >= len(size):
        return 0.0
    weight = float(size[wanted])
    digits = 1 - int(np.floor(np.log10(weight)))
    return round(float(np.floor(weight * 10.0**digits)) / 10.0**digits, digits)


def _drawing_range(weights: Array, threshold: float | None = None) -> tuple[float, float]:
    """The weight from which messages are drawn, and the strongest of them all."""
    if not weights.size:
        return 0.0, 0.0
    if threshold is None:
        threshold = message_threshold(weights)
    return threshold, float(np.abs(weights).max())


def _message_caption(view: ClipView, threshold: float, strongest: float) -> str:
    silent = nodes_note(view.speakers, view.num_nodes, view.speaks)
    if not view.num_rounds:
        note = "Nodes at the centres of their regions. This graph passes no messages (K = 0)."
        return note + silent
    heads = f" (mean of {view.heads} heads)" if view.heads > 1 else ""
    drawn = f"of weight {threshold:g} and more" if threshold else "of every weight above 0"
    return (
        f"Arrows: messages {drawn}{heads}, sender to receiver, in the sender's colour; "
        f"boldest: {strongest:.3f}.{silent}"
    )
