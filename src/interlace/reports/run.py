"""The page of a run: accuracy, confusion, learning curves, and some clips explained."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean as mean
from typing import TYPE_CHECKING

from interlace.evaluation.evaluate import Evaluation
from interlace.record import environment
from interlace.reports.files import save_pictures
from interlace.reports.held_out import Trained
from interlace.reports.page import write_report
from interlace.visualize.charts import confusion_figure, curve_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(
    trained: Trained,
    path: str | os.PathLike[str],
    result: Evaluation,
    *,
    title: str | None = None,
    clips: int = 6,
) -> Path:
    """One HTML page on a trained model.

    What its run left beside the weights, learning curves and the time it took, is on it, too.

    Args:
        trained: a model and its videos.
        path: of the page.
        result: of the model on the videos.
        title: its headline; None: the model, and what it was tried on.
        clips: how many videos to explain. Pictures of theirs that are worth a file of their own
            come into the folder pictures/ beside the page.
    """
    path, run = Path(path), trained.weights.parent
    figures: dict[str, Figure] = {}
    if curves := read_curves(run / "logs/csv", ("train/accuracy", "validation/accuracy")):
        figures["Accuracy while training"] = curve_figure(
            {name.split("/")[0]: curve for name, curve in curves.items()},
            xlabel="step",
            ylabel="accuracy",
        )
    figures["Which classes are taken for which"] = confusion_figure(
        result.confusion, trained.classes
    )
    rates = result.per_class(trained.classes).items()
    hardest = sorted((rate, name) for name, rate in rates if rate is not None)[:3]
    reports = trained.explain(result, clips)
    about = environment()
    summary = {
        "Held-out accuracy": f"{result.top1:.1%}",
        **({} if result.top5 is None else {"Top-5": f"{result.top5:.1%}"}),
        f"Held-out {trained.called}": f"{result.count:,}",
        "Most frequent class": f"{result.most_frequent:.1%}",
        **_training_time(run / "run.json"),
        "Parameters": f"{sum(p.numel() for p in trained.model.parameters()):,}",
        "Hardest classes": ", ".join(f"{name} {rate:.0%}" for rate, name in hardest),
        "Model": trained.card["model"],
        trained.called.capitalize(): trained.about,
        "Explained below": trained.shown,
        "Weights": str(trained.weights),
        "Commit": str(about["commit"]),
        "Hardware": about["hardware"],
    }
    title = title or f"{trained.card['model']} on {trained.about.split(',')[0]}"
    write_report(path, title=title, summary=summary, figures=figures, clips=reports)
    for n, report in enumerate(reports):
        save_pictures(path.parent / "pictures", report, prefix=f"clip_{n}_")
    return path


def _training_time(run: Path) -> dict[str, str]:
    if not run.exists():
        return {}
    return {"Training time": f"{json.loads(run.read_text())['seconds'] / 60:.1f} min"}


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
            series = [mean(series[max(0, k - smooth) : k]) for k in range(1, len(series) + 1)]
        curves[name] = (steps, series)
    return curves
