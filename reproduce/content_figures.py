"""The pictures of RESULTS.md on nodes bound to content: how fast they learn, and two films.

    .venv/bin/python reproduce/content_figures.py --digits mnist

Curves are those of the records of seed 0, the films of the weights that ship with the project.
Writes docs/figures/content*.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from interlace.reports.digits import HeldOutDigits, choose_clips
from interlace.reports.held_out import DigitChoice
from interlace.visualize import animate_regions, curve_figure, save_gif, view_clip

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs/figures"
RECORDS = ROOT / "reproduce/results/content"
CURVES = {
    "tasks": {
        "3SyncMNIST": "small_rstg_content_3digits",
        "5SyncMNIST": "small_rstg_content_5digits",
        "MultiSyncMNIST, 3 digits": "small_rstg_objects_3digits",
        "MultiSyncMNIST, 5 digits": "small_rstg_objects_5digits",
        "MultiSyncMNIST, 9 digits": "small_rstg_objects_9digits",
    },
    "parts": {
        "all": "small_ablation_content",
        "no relative motion": "small_ablation_own",
        "in messages only": "small_ablation_unbiased",
        "no motion": "small_ablation_no_motion",
        "a grid": "small_ablation_grid",
        "the paper's all-temp on a grid": "small_ablation_grid_all_temp",
    },
}
FILMS = {"content": "rstg_content", "content_objects": "rstg_objects"}


def draw_curves(name: str, records: dict[str, str]) -> None:
    """Accuracy on validation videos over the videos that the graph had seen, on a log axis."""
    curves = {}
    for label, record in records.items():
        path = RECORDS / f"{record}_seed0.json"
        if path.exists():
            curve = json.loads(path.read_text())["curve"]
            curves[label] = (curve["videos"], curve["accuracy"])
    figure = curve_figure(curves, xlabel="videos seen", ylabel="validation accuracy")
    (axes,) = figure.axes
    axes.set_xscale("log")
    seen = sorted({count for videos, _ in curves.values() for count in (videos[0], videos[-1])})
    axes.set_xticks(seen, [f"{count:,}" for count in seen])
    axes.set_xticks([], minor=True)
    figure.savefig(OUT / f"content_{name}.png", dpi=110)


@torch.no_grad()
def draw_film(name: str, weights: str, digits: str) -> None:
    """Nodes on the digits of one held-out video."""
    shown = DigitChoice(digits=digits, videos=100)
    trained = HeldOutDigits(ROOT / f"weights/{weights}.safetensors", shown)
    clip = trained.videos.batch(choose_clips(trained.model, trained.videos, 1))
    _, trace = trained.model.eval()(clip.video, return_trace=True)
    view = view_clip(trace, clip.video[0], boxes=clip.boxes[0], highlight=clip.synchronous[0])
    save_gif(OUT / f"{name}.gif", animate_regions(view))


def main() -> None:
    """Writes all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", default="mnist", help="mnist, or a folder with its files")
    given = parser.parse_args()
    for name, records in CURVES.items():
        draw_curves(name, records)
    for name, weights in FILMS.items():
        draw_film(name, weights, given.digits)


if __name__ == "__main__":
    main()
