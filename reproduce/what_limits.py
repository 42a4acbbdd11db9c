"""What limits a model of SyncMNIST: pairs of digits that hide each other, and what its maps see.

    python reproduce/what_limits.py weights/rstg_content.safetensors

Two digits that move alike keep their distance, so a pair that lies one over the other does so in
every frame. Counts right answers by that distance, the larger of both axes in pixels of the canvas,
of which a digit has 28; and how often the kinds that the maps show most, on average over all
frames, are the digits of the video: no graph that reads the maps is told more.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import torch

from interlace.data.digits.datasets import batches
from interlace.graph.regions.content import presence, read_maps
from interlace.record import environment, write_json
from interlace.reports.digits import HeldOutDigits
from interlace.reports.held_out import DigitChoice

EDGES = (0, 6, 9, 12, 20, 100)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--digits", default="mnist", help="mnist, or a folder with its files")
    parser.add_argument("--videos", type=int, default=4_000)
    parser.add_argument("--out", type=Path, default=Path("reproduce/results/content/limits.json"))
    options = parser.parse_args()
    chosen = DigitChoice(digits=options.digits, videos=options.videos)
    trained = HeldOutDigits(options.weights, chosen)
    model: Any = trained.model.eval()
    right, distance, alike, seen = [], [], [], []
    for batch in batches(trained.videos, 50, "cpu"):
        with torch.autocast("cpu", torch.bfloat16):
            features = model.backbone(batch.video.float() / 255)
            right.append(model.classify(features).argmax(1) == batch.label)
        pair = batch.boxes[:, 0, :2, :2]  # (B, 2, 2): the first two are those that may move alike
        distance.append((pair[:, 0] - pair[:, 1]).abs().amax(-1) * trained.videos.canvas)
        alike.append(batch.synchronous.any(1))
        shown = presence(read_maps(model.body.regions.maps, features)).mean(1)  # (B, kinds)
        best = shown.topk(batch.classes.shape[1]).indices.sort(-1).values
        seen.append((best == batch.classes.sort(-1).values).all(-1))
    hit, far, pairs, named = (torch.cat(parts) for parts in (right, distance, alike, seen))
    rows = []
    for low, high in itertools.pairwise(EDGES):
        here = pairs & (far >= low) & (far < high)
        rows.append(
            {
                "distance": [low, high],
                "videos": int(here.sum()),
                "top1": float(hit[here].float().mean()),
                "errors": int((here & ~hit).sum()),
                "digits named": float(named[here].float().mean()),
            }
        )
        print(rows[-1], flush=True)
    record = {"videos": len(hit), "top1": float(hit.float().mean())}
    record |= {"errors": int((~hit).sum()), "digits named": float(named.float().mean())}
    print(record)
    card = {key: trained.card[key] for key in ("model", "data", "seed") if key in trained.card}
    card["data"]["digits"] = "mnist"
    write_json(options.out, {"weights": card, **record, "rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
