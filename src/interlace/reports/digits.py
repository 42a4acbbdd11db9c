"""What a trained model looked at: pictures of clips, and the report of a run."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interlace.data.digits.syncmnist import VideoBatch
from interlace.evaluation.evaluate import Evaluation
from interlace.models.classifier import VideoClassifier, given, traces_of
from interlace.reports import ClipReport, explain_clip, save_pictures, write_report
from interlace.training.lessons import Videos
from interlace.visualize import confusion_figure, curve_figure, frames_figure, prediction_figure


@torch.no_grad()
def explain_videos(
    model: VideoClassifier, videos: Videos, indices: Sequence[int]
) -> list[ClipReport]:
    """Pictures and sentences for some videos of a data set.

    Args:
        model: a classifier; one without a graph gets pictures of its prediction only.
        videos: of the data set it was trained for.
        indices: which.
    """
    names = class_names(videos)
    model.eval()
    reports = []
    for index in indices:
        one = videos.batch([index])
        logits, trace = model(one.video, return_trace=True, **_boxes(model, one))
        scores, label = logits[0].softmax(0), int(one.label)
        boxes, pair = one.boxes[0], one.synchronous[0]
        trace = next(iter(traces_of(trace).values()), None)
        if trace is None:
            reports.append(_without_graph(one.video[0], scores, names, label, boxes, pair))
        else:
            reports.append(
                explain_clip(
                    one.video[0],
                    trace,
                    scores,
                    names,
                    label=label,
                    boxes=boxes,
                    highlight=pair,
                )
            )
        reports[-1].text.append(f"This is video {index} of the {videos.split} split.")
    return reports


@torch.no_grad()
def choose_clips(
    model: VideoClassifier, videos: Videos, count: int, *, search: int = 60
) -> list[int]:
    """Which videos tell most of a model: with digits that move together, right and wrong in turn.

    The same model always gets the same videos. Where right or wrong ones run out, the others fill
    up; videos in which nobody moves alike come last.

    Args:
        count: how many, or as many as there are.
        search: how many videos, from the first, to choose from.
    """
    count = min(max(count, 0), len(videos))
    if not count:
        return []
    model.eval()
    right: list[int] = []
    wrong: list[int] = []
    still: list[int] = []
    looked_at = range(min(max(search, count), len(videos)))
    for first in looked_at[::20]:
        indices = looked_at[first : first + 20]
        batch = videos.batch(indices)
        hits = model(batch.video, **_boxes(model, batch)).argmax(1) == batch.label
        pairs = batch.synchronous.any(1)
        for index, pair, hit in zip(indices, pairs.tolist(), hits.tolist(), strict=True):
            (still if not pair else right if hit else wrong).append(index)
    turns = min(len(right), len(wrong))
    mixed = [index for both in zip(right, wrong, strict=False) for index in both]
    return [*mixed, *right[turns:], *wrong[turns:], *still][:count]


def _boxes(model: VideoClassifier, batch: VideoBatch) -> dict[str, Tensor]:
    """The true boxes, for a model that is told where to look."""
    return given(batch.boxes if getattr(model, "needs_boxes", False) else None)


def _without_graph(
    video: Tensor, scores: Tensor, names: list[str], label: int, boxes: Tensor, pair: Tensor
) -> ClipReport:
    """What there is to show of a model without a graph."""
    said = names[int(scores.argmax())]
    return ClipReport(
        title=f"Predicted {said}, is {names[label]}",
        text=["This model has no graph to look at."],
        figures={
            "The frames": frames_figure(video, boxes=boxes, highlight=pair),
            "The five highest scores": prediction_figure(scores, names, label=label),
        },
    )


def run_report(
    path: str | Path,
    *,
    title: str,
    model: VideoClassifier,
    videos: Videos,
    result: Evaluation,
    summary: Mapping[str, str],
    clips: int,
    logs: str | Path | None = None,
) -> Path:
    """One HTML page on a trained model.

    Args:
        path: of the page.
        title: its headline.
        model: what was trained.
        videos: held out.
        result: of the model on them.
        summary: name -> value, shown on top below the accuracy.
        clips: how many videos to explain; `choose_clips` says which. Pictures of theirs that are
            worth a file of their own come into the folder pictures/ beside the page.
        logs: folder with the CSV logs of the run, for its learning curve.
    """
    figures: dict[str, Any] = {}
    curves = {} if logs is None else read_curves(logs, ("train/accuracy", "validation/accuracy"))
    if curves:
        figures["Accuracy while training"] = curve_figure(
            {name.split("/")[0]: curve for name, curve in curves.items()},
            xlabel="step",
            ylabel="accuracy",
        )
    figures["Which classes are taken for which"] = confusion_figure(
        result.confusion, class_names(videos)
    )
    head = {
        "Held-out accuracy": f"{result.top1:.1%}",
        "Top-5": f"{result.top5:.1%}",
        "Held-out videos": f"{result.count:,}",
        "Most frequent class": f"{float(result.confusion.sum(1).max()) / result.count:.1%}",
    }
    reports = explain_videos(model, videos, choose_clips(model, videos, clips))
    page = write_report(
        path, title=title, summary=head | dict(summary), figures=figures, clips=reports
    )
    for n, report in enumerate(reports):
        save_pictures(page.parent / "pictures", report, prefix=f"clip_{n}_")
    return page


def class_names(videos: Videos) -> list[str]:
    """The label of every class in words."""
    return [videos.class_name(label) for label in range(videos.num_classes)]


def read_curves(
    logs: str | Path, names: Sequence[str], *, smooth: int = 20
) -> dict[str, tuple[list[int], list[float]]]:
    """Curves from the CSV logs of a run, the parts of a resumed one joined.

    Args:
        logs: the run's logs/csv folder.
        names: of columns.
        smooth: lines to average training curves over.

    Returns:
        name -> (steps, values), without the names that were never logged.
    """
    values: dict[str, dict[int, float]] = {name: {} for name in names}
    for part in sorted(Path(logs).glob("*/metrics.csv")):
        with part.open(newline="") as file:
            for row in csv.DictReader(file):
                for name in names:
                    if row.get(name):
                        values[name][int(row["step"])] = float(row[name])
    curves = {}
    for name, points in values.items():
        if not points:
            continue
        steps = sorted(points)
        series = [points[step] for step in steps]
        if name.startswith("train/"):
            series = [
                sum(series[max(0, k - smooth + 1) : k + 1]) / min(k + 1, smooth)
                for k in range(len(series))
            ]
        curves[name] = (steps, series)
    return curves
