"""One clip explained: pictures, and sentences that are read off the tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from interlace.graph.trace import Trace
from interlace.reports.explained_objects import Table, objects_in_words, who_sits_where
from interlace.reports.explained_regions import (
    film_for_page,
    has_regions,
    region_pictures,
    regions_in_words,
)
from interlace.visualize.canvas import Array, is_photograph
from interlace.visualize.charts import as_scores, check_label, percent, prediction_figure
from interlace.visualize.frames import frames_figure
from interlace.visualize.graph import animate, graph_figure
from interlace.visualize.heatmaps import attention_figure, kernels_figure
from interlace.visualize.regions import animate_regions
from interlace.visualize.view import ClipView, as_frames, as_objects, view_clip

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class ClipReport:
    """What a report shows of one clip.

    Attributes:
        title: one line.
        text: paragraphs, plain text.
        figures: caption -> a figure, or the bytes of a png, gif or mp4.
        files: name -> a figure, a film, uint8 (T, H, W, 3), or the bytes of one, that is worth a
            file of its own; `save_pictures` writes them.
        above: a word or two above the title; "" names the clip by its place in the report.
        tables: caption -> table.
    """

    title: str
    text: list[str] = field(default_factory=list)
    figures: dict[str, Figure | bytes] = field(default_factory=dict)
    files: dict[str, Figure | Array | bytes] = field(default_factory=dict)
    above: str = ""
    tables: dict[str, Table] = field(default_factory=dict)


def explain_clip(
    video: Any,
    trace: Trace | None,
    scores: Any,
    names: Sequence[str],
    *,
    clip: int = 0,
    label: int | None = None,
    boxes: Any = None,
    highlight: Any = None,
    box_names: Sequence[str] | None = None,
) -> ClipReport:
    """Draws all that a trace tells of a clip, and says it in words.

    Regions that are no cells of grids are drawn frame by frame, and as a film; if they move, so
    are their paths and sizes. With true boxes a table says which node sits on which of them.

    Args:
        video: uint8 (T, C, H, W).
        trace: of the model's graph; None of a model without one.
        scores: (num_classes,) probabilities.
        names: of the classes.
        clip: which clip of the trace this is.
        label: the true class, where known.
        boxes: (T, D, 4) true boxes, where known.
        highlight: the boxes that decide the label, as indices or a mask (D,).
        box_names: what is in each box, such as "digit 8"; None: "object 0" and so on.
    """
    title, said = verdict(scores, names, label)
    frames = len(as_frames(video))
    _, matters = as_objects(boxes, highlight, frames)
    strip = f"{frames} frames"
    if len(matters):
        strip += ", with the true boxes"
        strip += " (green: those that decide the label)" if matters.any() else ""
    shown: dict[str, Figure | bytes] = {
        "What it says": prediction_figure(scores, names, label=label),
        strip: frames_figure(video, boxes=boxes, highlight=highlight),
    }
    if trace is None:
        return ClipReport(title, [said, "This model has no graph to look at."], shown)
    view = view_clip(trace, video, clip=clip, boxes=boxes, highlight=highlight)
    graph = explain_graph(view, box_names=box_names)
    films = {caption: film for caption, film in graph.figures.items() if "in motion" in caption}
    figures = films | shown | graph.figures
    return ClipReport(title, [said, *graph.text], figures, graph.files, tables=graph.tables)


def explain_graph(
    view: ClipView, *, film: bytes | None = None, box_names: Sequence[str] | None = None
) -> ClipReport:
    """What one graph of a model did on a clip, whatever the model then said.

    Args:
        view: the clip, as the graph saw it.
        film: an mp4 of the regions in motion; None makes one of the frames at hand.
        box_names: of the true boxes, see `explain_clip`.
    """
    text, tables = [_graph_in_words(view)], {}
    if view.speakers and not any(view.names):
        text.append(regions_in_words(view))
    if view.speakers and view.num_rounds:
        text.append(_messages_in_words(view))
    if view.num_rounds and view.matters.any():
        text += filter(None, [objects_in_words(view)])
    if view.speakers and len(view.matters) and not any(view.names):
        marked = " (green: on one that decides the label)" if view.matters.any() else ""
        tables[f"Who sits where, and listens to whom{marked}"] = who_sits_where(view, box_names)

    photograph = is_photograph(view.frames[0])
    own = has_regions(view)
    regions = region_pictures(view) if own else {}
    figures: dict[str, Figure | bytes] = {}
    files: dict[str, Figure | Array | bytes] = {}
    if film is not None:
        figures["Regions in motion"] = files["regions_in_motion"] = film
    elif own:
        files["regions_in_motion"] = drawn = animate_regions(view)
        figures["Regions in motion"] = film_for_page(drawn, photograph=photograph)
    motion = animate(view, scale=1 if photograph else None)
    of_round = f": messages of round {view.num_rounds - 1}" if view.num_rounds else ""
    figures[f"The graph in motion{of_round}"] = film_for_page(motion, photograph=photograph)
    figures |= regions
    figures["The graph over frames and rounds"] = graph_figure(view)
    if view.num_rounds and view.speakers:
        figures["Who listens to whom"] = attention_figure(view)
    if view.speakers:
        kernels = figures["Where nodes look"] = kernels_figure(view)
    if own and view.speakers:
        files |= {caption.lower().replace(" ", "_"): figure for caption, figure in regions.items()}
        files["kernels"] = kernels
    return ClipReport("The graph", text, figures, files, tables=tables)


def verdict(scores: Any, names: Sequence[str], label: int | None = None) -> tuple[str, str]:
    """What a model says of a clip, as a title and as a sentence.

    Args:
        scores: (num_classes,) probabilities.
        names: of the classes.
        label: the true class, where known.
    """
    scores = as_scores(scores, names)
    guess = int(scores.argmax())
    title = f"Says “{names[guess]}”"
    said = f"The model says “{names[guess]}” with probability {percent(scores[guess])}"
    if label is None:
        return title, f"{said}."
    check_label(label, names)
    if label == guess:
        return f"{title}: right", f"{said}, which is right."
    return (
        f"{title}: wrong, it is “{names[label]}”",
        f"{said}; the true label is “{names[label]}”, which it gives {percent(scores[label])}.",
    )


def _graph_in_words(view: ClipView) -> str:
    kinds = Counter(name.split(",")[0] for name in view.names)
    parts = [
        "one over the whole frame" if kind == "whole frame"
        else f"{_count(count, 'cell')} of a {kind}"
        for kind, count in kinds.items()
    ]  # fmt: skip
    what = f": {_listed(parts)}" if view.names[0] else ", each with a region of its own"
    nodes = f"The graph has {_count(view.num_nodes, 'node')}{what}.{_silence_in_words(view)}"
    if not view.num_rounds:
        return f"{nodes} It passes no messages (K = 0): each node follows its region through time."
    heads = f"; weights are the mean of {view.heads} heads" if view.heads > 1 else ""
    rounds = f"In every frame they exchange messages in {_count(view.num_rounds, 'round')}{heads}."
    return f"{nodes} {rounds} Frames, rounds, nodes, rows and columns are counted from 0."


def _silence_in_words(view: ClipView) -> str:
    """How many nodes speak, where any is silent."""
    if view.speaks.all():
        return ""
    if not view.speakers:
        return " A node is silent where there is nothing for it: in this clip all are."
    return (
        " A node is silent where there is nothing for it, and then neither drawn nor counted: "
        f"{len(view.speakers)} of them {'speaks' if len(view.speakers) == 1 else 'speak'} in this "
        f"clip, {view.speaks.sum(axis=1).mean():.1f} in a frame on average."
    )


def _messages_in_words(view: ClipView) -> str:
    sentences = []
    for k in range(view.num_rounds):
        weights = view.messages[:, k]  # (T, N, N)
        strongest = np.unravel_index(np.abs(weights).argmax(), weights.shape)
        (frame, receiver, sender), weight = map(int, strongest), weights[strongest]
        called = view.numbers[frame]
        sentences.append(
            f"The strongest message of round {k} is in frame {called}: {view.describe(receiver)} "
            f"listened to {view.describe(sender)} with weight {weight:.3f}."
            if weight
            else f"No message of round {k} has any weight."
        )
    heard = view.messages[:, -1].mean(axis=0).sum(axis=0)  # (N,), over receivers
    most = int(heard.argmax())
    total = heard.sum()
    if (view.messages[:, -1] >= 0).all() and total > 0:
        sentences.append(
            f"Over the clip, the most heard sender of round {view.num_rounds - 1} is "
            f"{view.describe(most)}, with {percent(heard[most] / total)} of all attention."
        )
    return " ".join(sentences)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
