"""Published numbers beside ours: reads published.csv and results/*.json, writes RESULTS.md.

    .venv/bin/python reproduce/table.py

Each result is an evaluation.json of a run, with the name of the published row it stands beside:
`{"row": ["RSTG", "1", "3SyncMNIST", "Mean pooling + LSTM"], "note": ..., ...}`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

HERE = Path(__file__).parent
ROWS = ("paper", "table", "dataset", "model")


def read_results(folder: Path) -> dict[tuple[str, ...], list[tuple[Path, dict]]]:
    """Row of a published table -> our results for it."""
    found: dict[tuple[str, ...], list[tuple[Path, dict]]] = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text())
        found.setdefault(tuple(result["row"]), []).append((path, result))
    return found


def table(published: list[dict[str, str]], ours: dict[tuple[str, ...], list]) -> str:
    """A Markdown table, a line for each of our results and each published row without one."""
    lines = [
        "| data | model | published | ours | videos seen | parameters | record |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in published:
        key = tuple(row[name] for name in ROWS)
        start = f"| {row['dataset']} | {row['model']} | {row['value']}"
        if key not in ours:
            lines.append(f"{start} | not run | | | |")
        for path, result in ours.get(key, []):
            link = path.relative_to(HERE.parent).as_posix()
            lines.append(
                f"{start} | {100 * result['top1']:.1f} | {result['videos_seen']:,} | "
                f"{result['parameters'] / 1e6:.2f} M | [{result['model']}]({link}) |"
            )
    return "\n".join(lines)


def main() -> None:
    """Writes RESULTS.md."""
    with (HERE / "published.csv").open(newline="") as file:
        published = list(csv.DictReader(file))
    text = (HERE / "RESULTS.in.md").read_text()
    text = text.replace("@TABLE@", table(published, read_results(HERE / "results")))
    (HERE.parent / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
