"""Trains what a published table lacks, one JSON each, and puts ours beside it."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from interlace.data.digits.images import load_digits
from interlace.experiments.plan import Experiment, Plan, Setting, check_budget, read_plan
from interlace.experiments.tables import (
    RSTG_TABLE,
    read_json,
    read_records,
    result_path,
    stale,
    table_text,
    write_results,
)
from interlace.record import write_json
from interlace.reports.digit_results import open_trained, write_evaluation
from interlace.reports.digits import read_curves
from interlace.training import train
from interlace.training.lessons import FRAMES_A_VIDEO
from interlace.training.options import TrainerOptions
from interlace.training.tasks.digit_options import DigitRecipeOptions as RecipeOptions

log = logging.getLogger(__name__)

_CURVES = {"accuracy": "validation/accuracy", "distance": "validation/distance"}


def reproduce(
    name: str,
    *,
    setting: Setting,
    seeds: Sequence[int],
    budget_videos: int | None,
    digits: str,
    folder: str | Path,
    runs: str | Path,
    threads: int | None,
    only: str | None,
    train_missing: bool,
    force: bool,
) -> Iterator[str]:
    """Trains and evaluates what a table lacks, then writes RESULTS.md.

    Args:
        name: of a table, or "all".
        setting: which size.
        seeds: of the weights' first values; the videos are the same for all.
        budget_videos: lessons and videos are scaled down to so many together; None: all.
        digits: "mnist", "embedded" or a folder with MNIST's idx files.
        folder: dyreg.yaml, results and the page's text are there.
        runs: where to train.
        threads: of the CPU; None is torch's own choice.
        only: a registered model of the table, with or without the setting's suffix.
        train_missing: whether to train at all, or only write the tables of what is there.
        force: whether results made by other options than today's are made again.

    Yields:
        What there is to say: results made by other options, the tables, where the page is.

    Raises:
        FileNotFoundError: outside a clone.
        ValueError: for a name, a model or a budget that does not fit.
    """
    folder, runs = Path(folder).resolve(), Path(runs)
    plan = _open(folder)
    names = _chosen(plan, name)
    if train_missing and any(one in plan.tables for one in names):
        kind = digits_kind(digits)
        if budget_videos is not None:
            check_budget(plan.settings[setting].recipe, budget_videos)
        wanted = _wanted(plan, names, setting, kind, budget_videos, only)
        todo = [
            (one, seed)
            for seed in seeds
            for one in wanted
            if _is_missing(one, result_path(folder, one, seed), force)
        ]
        log.info(f"{len(seeds) * len(wanted) - len(todo)} results are there, {len(todo)} to make")
        for k, (one, seed) in enumerate(todo):
            log.info(f"{one.name}, seed {seed} ({k + 1} of {len(todo)})")
            record = run(one, seed, digits=digits, runs=runs, threads=threads)
            record["rows"] = plan.rows_of(one)
            write_json(result_path(folder, one, seed), record)
            write_results(plan, folder)  # a run that is stopped loses nothing
    records, old = read_records(folder), dict[Path, str]()
    for one_name in names:
        if one_name in plan.tables:
            old |= stale(plan, plan.tables[one_name], records)
    for path, difference in old.items():
        yield f"{path.relative_to(folder.parent)} is stale: {difference}; --force runs it again"
    for one_name in names:
        title = f", {plan.tables[one_name].title}" if one_name in plan.tables else ""
        yield f"\n{one_name}{title}\n\n{table_text(plan, one_name, folder)}\n"
    yield str(write_results(plan, folder))


def run(
    experiment: Experiment, seed: int, *, digits: str, runs: Path, threads: int | None
) -> dict[str, Any]:
    """Trains, or goes on where a killed run stopped, evaluates on the held-out videos.

    Args:
        experiment: what to train.
        seed: of the weights' first values.
        digits: where they are, as one types it.
        runs: the run's folder is here; its name ends with a sum over the options, so that other
            options are another run.
        threads: of the CPU; None is torch's own choice.

    Returns:
        What goes into the JSON.
    """
    options = experiment.options
    trainer = replace(options.trainer, seed=seed, threads=threads)
    data = replace(options.data, digits=digits)
    out = runs / f"{experiment.name}_seed{seed}_{_sum(experiment, trainer, digits)}"
    trainer = replace(trainer, out=str(out))
    weights = train(data, model=options.model, recipe=options.recipe, trainer=trainer)
    trained = open_trained(weights)
    path = out / "evaluation.json"
    write_evaluation(trained, path, bf16=trainer.precision == "bf16")
    evaluation, finished = read_json(path), read_json(out / "run.json")
    curve, before = _curve(out / "logs/csv", options.recipe)
    card = trained.card
    return {
        "setting": experiment.setting,
        "budget_videos": experiment.budget_videos,
        "model": options.model.name,
        "seed": seed,
        "options": experiment.stated(),
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "videos_seen": sum(steps * options.recipe.batch_size for steps in _steps(options.recipe)),
        "frames_seen": before * (options.recipe.pretrain_batch // FRAMES_A_VIDEO * FRAMES_A_VIDEO),
        "top1": evaluation["top1"],
        "top5": evaluation["top5"],
        "loss": evaluation["loss"],
        "count": evaluation["count"],
        "best_validation": {"accuracy": card["validation"], "step": card["step"]},
        "regions": evaluation.get("regions"),
        "curve": curve,
        "precision": trainer.precision,
        "seconds": finished["seconds"],
        "environment": finished["environment"],
    }


def digits_kind(digits: str) -> str:
    """ "mnist" or "embedded", whatever folder MNIST is in.

    Raises:
        FileNotFoundError: if there is no such folder, or a file is missing in it.
        ValueError: for a folder with other digits than MNIST's.
    """
    if digits in ("mnist", "embedded"):
        return digits
    counts = [len(load_digits(digits, train=split).labels) for split in (True, False)]
    if counts != [60_000, 10_000]:  # of such size, they are checked to be MNIST's
        raise ValueError(
            f"{digits} must hold MNIST's 60,000 and 10,000 digits, got {counts[0]:,} and "
            f"{counts[1]:,}; results of other digits have no place in the tables"
        )
    return "mnist"


def _open(folder: Path) -> Plan:
    for needed in ("dyreg.yaml", "published.csv", "RESULTS.in.md"):
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"there is no {folder / needed}: reproduce works in a clone of the repository; "
                "change to its folder, or name its folder reproduce with --folder"
            )
    return read_plan(folder / "dyreg.yaml")


def _chosen(plan: Plan, name: str) -> list[str]:
    known = [RSTG_TABLE, *plan.tables]
    if name == "all":
        return known
    if name not in known:
        raise ValueError(_unknown("table", name, ["all", *known]))
    return [name]


def _wanted(
    plan: Plan, names: list[str], setting: Setting, kind: str, budget: int | None, only: str | None
) -> list[Experiment]:
    """What the tables are made of, each once."""
    rows = [row for name in names if name in plan.tables for row in plan.tables[name].rows]
    if only is not None:
        models = list(dict.fromkeys(row.model for row in rows))
        model = only.removesuffix("_small")
        if model not in models:
            raise ValueError(_unknown("model of the table", only, models))
        rows = [row for row in rows if row.model == model]
    found: dict[str, Experiment] = {}
    for row in rows:
        one = plan.experiment(row, setting, digits=kind, budget=budget)
        found.setdefault(one.name, one)
    return list(found.values())


def _is_missing(experiment: Experiment, path: Path, force: bool) -> bool:
    if not path.exists():
        return True
    return force and experiment.difference(read_json(path)["options"]) is not None


def _sum(experiment: Experiment, trainer: TrainerOptions, digits: str) -> str:
    """Short, and another one for other options."""
    asked = asdict(trainer)
    kept = {key: asked[key] for key in ("precision", "validate_every")}
    text = json.dumps([experiment.stated(), kept, digits], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _steps(recipe: RecipeOptions) -> list[int]:
    """Of each lesson and of the experiment itself; a batch that is not whole is left out."""
    parts = [*(lesson.videos for lesson in recipe.lessons), recipe.videos]
    return [videos // recipe.batch_size for videos in parts]


def _curve(logs: Path, recipe: RecipeOptions) -> tuple[dict[str, list[float]], int]:
    """The learning curve, and how many steps of pre-training came before it.

    Returns:
        "videos" seen at each look at the validation videos, and what was seen: "accuracy" and,
        of a model with regions, "distance"; then the steps of the pre-training.
    """
    found = read_curves(logs, list(_CURVES.values()))
    steps = found[_CURVES["accuracy"]][0]
    before = steps[-1] - sum(_steps(recipe))  # the last look is after the last step
    curve: dict[str, list[float]] = {"videos": [(s - before) * recipe.batch_size for s in steps]}
    for name, column in _CURVES.items():
        if column in found and found[column][0] == steps:
            curve[name] = found[column][1]
    return curve, before


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no {what} named {name!r}; {hint}there are {', '.join(known)}"
