"""One model, any number of digits: how many nodes speak, and how often the model is right.

    python reproduce/how_many.py runs/content/small_rstg_objects_5digits/best.safetensors

Weights of `rstg_objects`, trained with one number of digits on screen, see held-out videos of
MultiSyncMNIST with two to nine. A node speaks in a frame where its mass is a half or more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from interlace.data.digits.datasets import batches
from interlace.data.digits.images import load_digits
from interlace.data.digits.syncmnist import MultiSyncMNIST
from interlace.evaluation.evaluate import classify
from interlace.models.registry import open_weights
from interlace.record import environment, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--digits", default="mnist", help="mnist, or a folder with its files")
    parser.add_argument("--videos", type=int, default=1_000, help="of each number of digits")
    parser.add_argument("--out", type=Path, default=Path("reproduce/results/content/how_many.json"))
    options = parser.parse_args()
    model, card = open_weights(options.weights)
    digits, rows = load_digits(options.digits, train=False), []
    for count in range(2, 10):
        videos = MultiSyncMNIST(digits, num_digits=count, split="test", size=options.videos)
        right, speaking = 0, []
        told = classify(model, batches(videos, 50, "cpu"), bf16=True, return_trace=True)
        for batch, said in told:
            right += int((said.scores.argmax(1) == batch.label).sum())
            speaking.append((said.trace.mass >= 0.5).sum(-1).flatten())
        nodes = torch.cat(speaking).float()
        rows.append(
            {
                "digits": count,
                "nodes that speak": float(nodes.mean()),
                "frames with as many nodes": float((nodes == count).float().mean()),
                "top1": right / options.videos,
            }
        )
        print(", ".join(f"{name} {value:.3g}" for name, value in rows[-1].items()), flush=True)
    write_json(
        options.out,
        {
            "weights": {key: card[key] for key in ("model", "data", "seed") if key in card},
            "videos": options.videos,
            "rows": rows,
            "environment": environment(),
        },
    )


if __name__ == "__main__":
    main()
