"""Published numbers beside ours: reads the JSONs of reproduce/results, writes RESULTS.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from interlace.experiments.experiment import Experiment, open_experiment, varied
from interlace.files import writing

_COLUMNS = (
    "model", "published", "published parameters", "ours", "videos", "Dist", "recall",
    "parameters", "videos seen", "config", "records",
)  # fmt: skip
_IF_ANY = ("published parameters", "Dist", "recall")


@dataclass(frozen=True)
class Row:
    """A line of a published table, and the configs that stand beside it.

    Args:
        label: as in the paper.
        configs: below the folder of configs, without suffix.
        published: top-1 in percent; None where the paper has none.
        parameters: as published, in millions.
    """

    label: str
    configs: list[str]
    published: float | None = None
    parameters: float | None = None


Records = dict[Path, dict[str, Any]]  # what the JSONs hold


class Tables:
    """The published tables of a clone, and our results beside them.

    Args:
        folder: tables.yaml, the results and the page's text are there; configs/ is beside it.

    Raises:
        FileNotFoundError: outside a clone.
        ValueError: if the file of tables is not made as it should be.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.root = self.folder.parent  # links start here
        for needed in ("tables.yaml", "RESULTS.in.md"):
            if not (self.folder / needed).is_file():
                raise FileNotFoundError(
                    f"there is no {self.folder / needed}: reproduce works in a clone of the "
                    "repository; change to its folder, or name its folder reproduce with --folder"
                )
        path = self.folder / "tables.yaml"
        try:
            stated = yaml.safe_load(path.read_text())
            self.titles = {name: str(table["title"]) for name, table in stated.items()}
            self.rows = {
                name: [Row(**row) for row in table["rows"]] for name, table in stated.items()
            }
        except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: a table has a title and rows, not so: {error}") from error
        self.experiment = cache(partial(open_experiment, self.root / "configs"))

    def result_path(self, experiment: Experiment, seed: int) -> Path:
        """Where the JSON of an experiment is, or goes."""
        return self.folder / "results" / f"{experiment.name}_seed{seed}.json"

    def records(self, config: str) -> Iterator[tuple[Experiment, Records]]:
        """The results of a config, those of all seeds together, for each digits and budget.

        Raises:
            ValueError: if one is no JSON of ours.
        """
        name = re.compile(
            re.escape(Path(config).name) + r"(?:_(embedded))?(?:_budget(\d+))?(?:_seed\d+)?"
        )
        found: dict[tuple[str, int | None], Records] = {}
        for path in sorted((self.folder / "results" / config).parent.glob("*.json")):
            if match := name.fullmatch(path.stem):
                variant = match[1] or "mnist", int(match[2]) if match[2] else None
                found.setdefault(variant, {})[path] = read_record(path)
        for (digits, budget), records in found.items():
            yield varied(self.experiment(config), digits=digits, budget=budget), records

    def stale(self, name: str) -> dict[Path, str]:
        """The results of a table that were made by other options than its configs', and which."""
        return {
            path: difference
            for row in self.rows[name]
            for config in row.configs
            for experiment, records in self.records(config)
            for path, difference in _stale(experiment, records).items()
        }

    def text(self, name: str) -> str:
        """A Markdown table: a line for each row and way of making it, the mean over its seeds.

        Results made by other options than the config's are named as such, their numbers left out.
        """
        lines = []
        for row in self.rows[name]:
            start = {
                "model": row.label,
                "published": "–" if row.published is None else str(row.published),
                "published parameters": "–" if row.parameters is None else f"{row.parameters} M",
            }
            links = ", ".join(map(_config_link, row.configs))
            ours = [self._line(*one) for config in row.configs for one in self.records(config)]
            lines += [start | line for line in ours or [{"ours": "not run", "config": links}]]
        told = {column for line in lines for column, cell in line.items() if cell != "–"}
        columns = [column for column in _COLUMNS if column not in _IF_ANY or column in told]
        cells = [columns, ["---"] * len(columns)]
        cells += [[line.get(column, "") for column in columns] for line in lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in cells)

    def _line(self, experiment: Experiment, records: Records) -> dict[str, str]:
        """The cells from "ours" on."""
        stale = _stale(experiment, records)
        data, budget = experiment.options.data, experiment.budget_videos
        videos = f"{data.num_digits} digits, {data.num_frames} × {data.frame} × {data.frame}"
        digits = "" if data.digits == "mnist" else f", {data.digits}"
        within = "" if budget is None else f", {budget:,} videos only"
        line = {
            "ours": "stale",
            "videos": videos + digits,
            "config": _config_link(experiment.config) + within,
            "records": ", ".join(
                f"[{_seed(path)}]({path.relative_to(self.root).as_posix()})"
                + (" (stale)" if path in stale else "")
                for path in records
            ),
        }
        good = [record for path, record in records.items() if path not in stale]
        if not good:
            return line
        line["ours"] = _spread([100 * one["top1"] for one in good], 1)
        regions = [one["regions"] for one in good if one.get("regions")]
        line["Dist"] = _spread([r["dist"] for r in regions], 3)
        line["recall"] = _spread([100 * r["recall"] for r in regions], 1)
        line["parameters"] = f"{good[0]['parameters'] / 1e6:.2f} M"
        frames = good[0].get("frames_seen")
        before = f" + {frames:,} frames" if frames else ""
        line["videos seen"] = f"{good[0]['videos_seen']:,}{before}"
        return line

    def write_page(self) -> Path:
        """Writes RESULTS.md: RESULTS.in.md with a table in each @NAME@'s place."""
        text = (self.folder / "RESULTS.in.md").read_text()
        for name in self.rows:
            text = text.replace(f"@{name}@", self.text(name))
        path = self.root / "RESULTS.md"
        with writing(path) as file:
            file.write_text(text)
        return path


def read_record(path: Path) -> dict[str, Any]:
    """What a JSON of ours holds; ValueError, and its name, if it is damaged or something else."""
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): remove it, and it is made again") from error
    missing = [key for key in ("options", "top1", "parameters", "videos_seen") if key not in value]
    if missing:
        raise ValueError(f"{path} is no result of `interlace reproduce`: no {missing[0]}")
    return value


def _config_link(config: str) -> str:
    return f"[{Path(config).name}](configs/{config}.yaml)"


def _seed(path: Path) -> str:
    """Of the weights; the earliest records do not say."""
    found = re.search(r"_seed(\d+)$", path.stem)
    return f"seed {found[1]}" if found else "record"


def _stale(experiment: Experiment, records: Records) -> dict[Path, str]:
    found = {path: experiment.difference(one["options"]) for path, one in records.items()}
    return {path: difference for path, difference in found.items() if difference is not None}


def _spread(values: list[float], places: int) -> str:
    """The mean, and half the range if there is more than one; a dash if there is none."""
    if not values:
        return "–"
    text = f"{mean(values):.{places}f}"
    if len(values) > 1:
        text += f" ± {(max(values) - min(values)) / 2:.{places}f}"
    return text
