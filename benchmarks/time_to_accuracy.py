"""CPU-seconds until a model of 3SyncMNIST is right in 80, 90, 95, 98 % of the validation videos.

    python benchmarks/time_to_accuracy.py --digits mnist             # an hour on one core
    python benchmarks/time_to_accuracy.py --digits mnist --cpu_seconds 300

Each config trains as `interlace train --config` does, one after another on one thread, from the
backbone that ships with the project, until its videos or its CPU-seconds are over. The looks at
the validation videos count, too. A config whose accuracy is not reached says how far it came.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch

from interlace.experiments.experiment import open_experiment
from interlace.record import environment, write_json
from interlace.reports.run import read_curves
from interlace.training import train

ROOT = Path(__file__).parents[1]
CONFIGS = (
    "content/small_rstg_content_3digits",  # nodes bound to content, told their motion
    "content/small_ablation_grid",  # the same on a grid
    "content/small_ablation_grid_all_temp",  # the paper's RSTG all-temp, same backbone
    "rstg/small_rstg_positional_3digits",  # RSTG positional with lessons, as in the tables
    "rstg/small_mean_lstm_3digits",
)
LEVELS = (0.80, 0.90, 0.95, 0.98)


class Budget(L.Callback):
    """Ends a training after the look at which its CPU-seconds are over."""

    def __init__(self, cpu_seconds: float):
        self.cpu_seconds = cpu_seconds

    def on_validation_end(self, trainer: L.Trainer, module: Any) -> None:
        trainer.should_stop = module.cpu_seconds > self.cpu_seconds


def timed(config: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Trains a config, and says when it reached what."""
    made = open_experiment(ROOT / "configs", config).options
    data = replace(made.data, digits=options.digits, validation_size=options.videos)
    trainer = replace(
        made.trainer,
        out=str(folder),
        threads=1,
        validate_every=2_500,
        logger="csv",
        save_every=10**9,
    )
    budget = Budget(options.cpu_seconds)
    train(data, model=made.model, recipe=made.recipe, trainer=trainer, callbacks=[budget])
    curves = read_curves(folder / "logs/csv", ["validation/accuracy", "cpu_seconds"])
    accuracy, seconds = curves["validation/accuracy"][1], curves["cpu_seconds"][1]
    reached = {
        f"{level:.0%}": next(
            (s for a, s in zip(accuracy, seconds, strict=True) if a >= level), None
        )
        for level in LEVELS
    }
    return {
        "config": f"configs/{config}.yaml",
        "reached": reached,
        "best": max(accuracy),
        "accuracy": accuracy,
        "cpu_seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", default="mnist", help="mnist, or a folder with its files")
    parser.add_argument("--cpu_seconds", type=float, default=900, help="of each config at most")
    parser.add_argument("--videos", type=int, default=2_000, help="validation videos a look")
    parser.add_argument("--configs", nargs="+", default=CONFIGS)
    parser.add_argument("--out", type=Path, default=Path("time_to_accuracy.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for config in options.configs:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(timed(config, options, Path(folder) / "run"))
        when = ", ".join(
            f"{level} " + ("not reached" if s is None else f"after {s:.0f} CPU-s")
            for level, s in rows[-1]["reached"].items()
        )
        print(f"{config}: {when}; best {rows[-1]['best']:.1%}", flush=True)
        write_json(options.out, {"rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
