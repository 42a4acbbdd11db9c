"""Puts the evaluation of a run beside a published number of RSTG's table 1.

    .venv/bin/python reproduce/add.py runs/mean_lstm_small 3SyncMNIST "Mean pooling + LSTM"

Then `interlace reproduce rstg-1` prints the table and writes RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from interlace.models.registry import open_weights

HERE = Path(__file__).parent


def add(run: Path, dataset: str, model: str) -> Path:
    """Copies evaluation.json of a run to results/, with its row, options and size."""
    options = json.loads((run / "config.json").read_text())
    result = json.loads((run / "evaluation.json").read_text())
    network, _ = open_weights(run / "best.safetensors")
    recipe = options["recipe"]
    if Path(options["data"]["digits"]).is_dir():  # where a folder is says nothing to others
        options["data"]["digits"] = result["data"]["digits"] = "mnist"
    record = {
        "row": ["RSTG", "1", dataset, model],
        "videos_seen": recipe["videos"] + sum(lesson["videos"] for lesson in recipe["lessons"]),
        "parameters": sum(p.numel() for p in network.parameters()),
        "options": options,
        **result,
    }
    record["options"].pop("trainer")
    path = HERE / "results" / f"{dataset}_{result['model']}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("model")
    given = parser.parse_args()
    print(add(given.run, given.dataset, given.model))
