"""The pictures of RESULTS.md, from trained runs: where DyReg-GNN's regions went, and how.

    .venv/bin/python reproduce/figures.py RUNS --digits mnist

RUNS holds the runs of seed 0 as `interlace reproduce` leaves them. Writes docs/figures/dyreg_*.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from paper_figures import compare_figure, places_figure
from torch import Tensor

from interlace.evaluation.region_metrics import region_metrics
from interlace.models.registry import create_model
from interlace.reports.digits import HeldOutDigits, choose_clips
from interlace.reports.held_out import DigitChoice
from interlace.reports.run import read_curves
from interlace.visualize import (
    animate_regions,
    curve_figure,
    paths_figure,
    regions_figure,
    save_gif,
    sizes_figure,
    view_clip,
)

OUT = Path(__file__).parent.parent / "docs/figures"
SHOWN = {
    "static": "dyreg_static",
    "constant in time": "dyreg_constant",
    "semantic": "dyreg_semantic",
    "dynamic": "dyreg",
}
CURVES = {
    "fixed": "dyreg_fixed",
    "static": "dyreg_static",
    "centres only": "dyreg_position_only",
    "dynamic": "dyreg",
}


@torch.no_grad()
def mean_places(model: Any, trained: HeldOutDigits, videos: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each node's box over the frames of the first videos."""
    seen = []
    for start in range(0, videos, 100):
        batch = trained.videos.batch(range(start, start + 100))
        seen.append(model.eval()(batch.video, return_trace=True)[1].boxes.flatten(0, 1))
    boxes = torch.cat(seen)
    return boxes.mean(0), boxes.std(0)


def run_of(runs: Path, model: str) -> Path | None:
    """The folder of a small model's run with seed 0, if it is there."""
    return next(iter(sorted(runs.glob(f"small_{model}_3digits_seed0_*"))), None)


@torch.no_grad()
def first_distance(trained: HeldOutDigits) -> float:
    """Dist of the regions of a fresh model of the same name, on the first videos."""
    model = create_model(trained.card["model"], num_classes=trained.card["num_classes"]).eval()
    batch = trained.videos.batch(range(200))
    return region_metrics(model(batch.video, return_trace=True)[1].boxes, batch.boxes).dist


def main() -> None:
    """Writes all pictures whose runs are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--digits", default="mnist")
    given = parser.parse_args()

    def trained(model: str) -> HeldOutDigits:
        run = run_of(given.runs, model)
        if run is None:
            raise FileNotFoundError(f"{given.runs} has no run of {model}_small with seed 0")
        return HeldOutDigits(
            run / "best.safetensors", DigitChoice(digits=given.digits, videos=1000)
        )

    one = trained("dyreg")
    index = choose_clips(one.model, one.videos, 1)[0]
    clip = one.videos.batch([index])
    objects = {"boxes": clip.boxes[0], "highlight": clip.synchronous[0]}
    views = {}
    for label, model in SHOWN.items():
        if run_of(given.runs, model) is not None:
            _, trace = trained(model).model.eval()(clip.video, return_trace=True)
            views[label] = view_clip(trace, clip.video[0], **objects)
    view = views["dynamic"]

    fresh = create_model(one.card["model"], num_classes=one.card["num_classes"])
    before, before_spread = mean_places(fresh, one, 100)
    after, after_spread = mean_places(one.model, one, 1000)
    figures = {
        "regions": regions_figure(view),
        "paths": paths_figure(view),
        "sizes": sizes_figure(view),
        "places": places_figure(
            before, after, before_spread=before_spread, after_spread=after_spread
        ),
        "compare": compare_figure(views, maps=[k for k in views if k == "semantic"]),
    }
    for name, label in (("distance", "Dist, fraction of the frame"), ("accuracy", "accuracy")):
        curves = {}
        for shown, model in CURVES.items():
            column = f"validation/{name}"
            run = run_of(given.runs, model)
            found = {} if run is None else read_curves(run / "logs/csv", (column,))
            if found:
                steps, values = found[column]
                start = [first_distance(trained(model))] if name == "distance" else []
                curves[shown] = ([0] * len(start) + steps, start + values)
        figures[f"{name}_curve"] = curve_figure(curves, xlabel="step", ylabel=label)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(OUT / f"dyreg_{name}.png", dpi=110)
    save_gif(OUT / "dyreg.gif", animate_regions(view))


if __name__ == "__main__":
    main()
