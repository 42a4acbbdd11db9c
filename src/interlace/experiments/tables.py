"""Published numbers beside ours: reads the JSONs of reproduce/results, writes RESULTS.md."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from interlace.experiments.plan import Experiment, Plan, Row, Table
from interlace.files import writing

RSTG_TABLE = "rstg-1"
_RSTG_ROW = ("paper", "table", "dataset", "model")
_DYREG = "results/dyreg"  # below the folder
_COLUMNS = (
    "model", "published", "ours", "setting", "videos", "Dist", "recall", "parameters",
    "videos seen", "records",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A result of ours.

    Args:
        path: of its JSON.
        value: what the JSON holds.
    """

    path: Path
    value: dict[str, Any]

    @property
    def variant(self) -> tuple[str, str, int | None]:
        """Setting, digits and budget: what is not compared in one line."""
        digits = self.value["options"]["data"]["digits"]
        return self.value["setting"], digits, self.value["budget_videos"]


def result_path(folder: Path, experiment: Experiment, seed: int) -> Path:
    """Where the JSON of an experiment is, or goes."""
    return folder / _DYREG / f"{experiment.name}_seed{seed}.json"


def read_records(folder: Path) -> list[Record]:
    """All results on MultiSyncMNIST, by name.

    Raises:
        ValueError: if one is no JSON of ours.
    """
    records = []
    for path in sorted((folder / _DYREG).glob("*.json")):
        record = Record(path, read_json(path))
        try:
            int(record.value["seed"])
            _ = record.variant
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no result of `interlace reproduce`: no {error}") from error
        records.append(record)
    return records


def read_json(path: Path) -> Any:
    """What a JSON holds; ValueError, and its name, if it is damaged."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): remove it, and it is made again") from error


def stale(plan: Plan, table: Table, records: list[Record]) -> dict[Path, str]:
    """The results of a table that were made by other options than the plan's, and which."""
    return {
        record.path: difference
        for row in table.rows
        for experiment, found in _variants(plan, row, records)
        for record in found
        if (difference := experiment.difference(record.value["options"])) is not None
    }


def dyreg_table(plan: Plan, table: Table, records: list[Record], root: Path) -> str:
    """A Markdown table: a line for each row and way of making it, the mean over its seeds.

    Results made by other options than the plan's are named as such, their numbers left out.

    Args:
        plan: settings and tables.
        table: of the plan.
        records: ours.
        root: links start here.
    """
    sized = any(row.parameters is not None for row in table.rows)
    columns = [*_COLUMNS[:2], *(["published parameters"] if sized else []), *_COLUMNS[2:]]
    lines = [columns, ["---"] * len(columns)]
    for row in table.rows:
        start = [row.label, "–" if row.published is None else str(row.published)]
        if sized:
            start.append("–" if row.parameters is None else f"{row.parameters:.2f} M")
        ours = [
            _line(experiment, found, root) for experiment, found in _variants(plan, row, records)
        ]
        for cells in ours or [["not run"]]:
            lines.append([*start, *cells, *[""] * (len(columns) - len(start) - len(cells))])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _variants(
    plan: Plan, row: Row, records: list[Record]
) -> Iterator[tuple[Experiment, list[Record]]]:
    """The results of a row, of all seeds together, for each setting, digits and budget."""
    ways = {record.variant for record in records}
    for setting, digits, budget in sorted(ways, key=lambda way: (way[:2], way[2] is not None, way)):
        experiment = plan.experiment(row, setting, digits=digits, budget=budget)  # type: ignore[arg-type]
        name = re.compile(re.escape(experiment.name) + r"_seed(\d+)")
        found = [record for record in records if name.fullmatch(record.path.stem)]
        if found:
            yield experiment, sorted(found, key=lambda record: int(record.value["seed"]))


def _line(experiment: Experiment, records: list[Record], root: Path) -> list[str]:
    """The cells from "ours" on."""
    good = [r for r in records if experiment.difference(r.value["options"]) is None]
    links = ", ".join(
        f"[seed {r.value['seed']}]({r.path.relative_to(root).as_posix()})"
        + ("" if r in good else " (stale)")
        for r in records
    )
    data, setting = experiment.options.data, str(experiment.setting)
    if experiment.budget_videos is not None:
        setting += f", {experiment.budget_videos:,} videos only"
    videos = f"{data.num_digits} digits, {data.num_frames} × {data.frame} × {data.frame}"
    if data.digits != "mnist":
        videos += f", {data.digits}"
    if not good:
        return ["stale", setting, videos, "", "", "", "", links]
    one = good[0].value
    regions = [r.value["regions"] for r in good if r.value["regions"] is not None]
    seen = f"{one['videos_seen']:,}"
    if one["frames_seen"]:
        seen += f" + {one['frames_seen']:,} frames"
    return [
        _spread([100 * r.value["top1"] for r in good], 1),
        setting,
        videos,
        _spread([r["dist"] for r in regions], 3) if regions else "–",
        _spread([100 * r["recall"] for r in regions], 1) if regions else "–",
        f"{one['parameters'] / 1e6:.2f} M",
        seen,
        links,
    ]


def _spread(values: list[float], places: int) -> str:
    """The mean, and half the range if there is more than one."""
    text = f"{mean(values):.{places}f}"
    if len(values) > 1:
        text += f" ± {(max(values) - min(values)) / 2:.{places}f}"
    return text


def rstg_table(folder: Path) -> str:
    """RSTG's table 1, a line for each of our results and each published row without one.

    Each result in results/ is an evaluation.json of a run, with the name of its published row:
    `{"row": ["RSTG", "1", "3SyncMNIST", "Mean pooling + LSTM"], ...}`, see reproduce/add.py.
    """
    with (folder / "published.csv").open(newline="") as file:
        published = [row for row in csv.DictReader(file) if row["paper"] == "RSTG"]
    ours: dict[tuple[str, ...], list[tuple[Path, Any]]] = {}
    for path in sorted((folder / "results").glob("*.json")):
        result = read_json(path)
        ours.setdefault(tuple(result["row"]), []).append((path, result))
    lines = [
        "| data | model | published | ours | videos seen | parameters | record |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in published:
        key = tuple(row[name] for name in _RSTG_ROW)
        start = f"| {row['dataset']} | {row['model']} | {row['value']}"
        if key not in ours:
            lines.append(f"{start} | not run | | | |")
        for path, result in ours.get(key, []):
            link = path.relative_to(folder.parent).as_posix()
            lines.append(
                f"{start} | {100 * result['top1']:.1f} | {result['videos_seen']:,} | "
                f"{result['parameters'] / 1e6:.2f} M | [{result['model']}]({link}) |"
            )
    return "\n".join(lines)


def table_text(plan: Plan, name: str, folder: Path) -> str:
    """The Markdown table of that name."""
    if name == RSTG_TABLE:
        return rstg_table(folder)
    return dyreg_table(plan, plan.tables[name], read_records(folder), folder.parent)


def write_results(plan: Plan, folder: Path) -> Path:
    """Writes RESULTS.md beside the folder: RESULTS.in.md with a table in each @NAME@'s place."""
    text = (folder / "RESULTS.in.md").read_text()
    for name in (RSTG_TABLE, *plan.tables):
        text = text.replace(f"@{name}@", table_text(plan, name, folder))
    path = folder.parent / "RESULTS.md"
    with writing(path) as file:
        file.write_text(text)
    return path
