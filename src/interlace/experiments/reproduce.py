"""Trains what a published table lacks, one JSON each, and puts ours beside it."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from interlace.data.digits import load_digits
from interlace.experiments.experiment import Experiment, check_budget, varied, videos_of
from interlace.experiments.tables import Tables, read_record
from interlace.record import write_json
from interlace.reports.run import read_curves
from interlace.reports.trained import open_trained, write_evaluation
from interlace.training import train
from interlace.training.lessons import FRAMES_A_VIDEO

Setting = Literal["small", "paper"]  # a config's name begins with it

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
        setting: which of a line's configs.
        seeds: of the weights' first values; the videos are the same for all.
        budget_videos: lessons and videos are scaled down to so many together; None: all.
        digits: "mnist", "embedded" or a folder with MNIST's idx files.
        folder: tables.yaml, results and the page's text are there; configs/ is beside it.
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
    tables, runs = Tables(folder), Path(runs)
    if name != "all" and name not in tables.rows:
        raise ValueError(_unknown("table", name, ["all", *tables.rows]))
    names = list(tables.rows) if name == "all" else [name]
    if train_missing:
        kind, found = digits_kind(digits), _wanted(tables, names, setting, only)
        if budget_videos is not None:
            for one in found:
                check_budget(one.options.recipe, budget_videos)
        wanted = [varied(one, digits=kind, budget=budget_videos) for one in found]
        todo = [
            (one, seed, path)
            for seed in seeds
            for one in wanted
            if _is_missing(one, path := tables.result_path(one, seed), force)
        ]
        log.info(f"{len(seeds) * len(wanted) - len(todo)} results are there, {len(todo)} to make")
        for k, (one, seed, path) in enumerate(todo):
            log.info(f"{one.name}, seed {seed} ({k + 1} of {len(todo)})")
            write_json(path, run(one, seed, digits=digits, runs=runs, threads=threads))
            tables.write_page()  # a run that is stopped loses nothing
    for path, difference in {p: d for one in names for p, d in tables.stale(one).items()}.items():
        yield f"{path.relative_to(tables.root)} is stale: {difference}; --force runs it again"
    for one_name in names:
        yield f"\n{one_name}, {tables.titles[one_name]}\n\n{tables.text(one_name)}\n"
    yield str(tables.write_page())


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
        What goes into the JSON: the evaluation, and all that made it.
    """
    options = experiment.options
    known = json.dumps([experiment.stated, digits], sort_keys=True)
    sums = hashlib.sha256(known.encode()).hexdigest()[:8]
    out = runs / f"{Path(experiment.name).name}_seed{seed}_{sums}"
    trainer = replace(options.trainer, seed=seed, threads=threads, out=str(out))
    data = replace(options.data, digits=digits)
    weights = train(data, model=options.model, recipe=options.recipe, trainer=trainer)
    trained = open_trained(weights)
    write_evaluation(trained, out / "evaluation.json", bf16=trainer.precision == "bf16")
    evaluation = json.loads((out / "evaluation.json").read_text())
    finished = json.loads((out / "run.json").read_text())
    recipe, stated = options.recipe, experiment.stated
    a_step = recipe.batch_size * recipe.accumulate
    # of each lesson and of the experiment itself; a batch that is not whole is left out
    steps = sum(videos // a_step for videos in videos_of(recipe))
    curve, before = _curve(out / "logs/csv", steps, a_step)
    pretrain_videos = before * recipe.accumulate * (recipe.pretrain_batch // FRAMES_A_VIDEO)
    evaluation["data"]["digits"] = stated["data"]["digits"]  # where a folder is says nothing
    return evaluation | {
        "config": f"configs/{experiment.config}.yaml",
        "budget_videos": experiment.budget_videos,
        "seed": seed,
        "options": stated | {"trainer": stated["trainer"] | {"seed": seed}},
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "videos_seen": steps * a_step,
        "frames_seen": pretrain_videos * FRAMES_A_VIDEO,
        "best_validation": {"accuracy": trained.card["validation"], "step": trained.card["step"]},
        "regions": evaluation.get("regions"),
        "curve": curve,
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


def _wanted(
    tables: Tables, names: list[str], setting: Setting, only: str | None
) -> list[Experiment]:
    """What the tables are made of in a setting, each once."""
    configs = [one for name in names for row in tables.rows[name] for one in row.configs]
    found = [
        tables.experiment(one)
        for one in dict.fromkeys(configs)
        if Path(one).name.startswith(f"{setting}_")
    ]
    if only is None:
        return found
    models = [one.options.model.name.removesuffix("_small") for one in found]
    model = only.removesuffix("_small")
    if model not in models:
        raise ValueError(_unknown("model of the table", only, [*dict.fromkeys(models)]))
    return [one for one, own in zip(found, models, strict=True) if own == model]


def _is_missing(experiment: Experiment, path: Path, force: bool) -> bool:
    early = path.with_stem(path.stem.removesuffix("_seed0"))  # those that say no seed
    there = [one for one in (path, early) if one.exists()]
    if not there:
        return True
    return force and experiment.difference(read_record(there[0])["options"]) is not None


def _curve(logs: Path, steps: int, videos: int) -> tuple[dict[str, list[float]], int]:
    """The learning curve, and how many steps of pre-training came before it.

    Args:
        logs: of the run.
        steps: of the run without its pre-training.
        videos: of a step.

    Returns:
        "videos" seen at each look at the validation videos, and what was seen: "accuracy" and,
        of a model with regions, "distance"; then the steps of the pre-training.
    """
    found = read_curves(logs, list(_CURVES.values()))
    looks = found[_CURVES["accuracy"]][0]
    before = looks[-1] - steps  # the last look is after the last step
    curve: dict[str, list[float]] = {"videos": [(look - before) * videos for look in looks]}
    for name, column in _CURVES.items():
        if column in found and found[column][0] == looks:
            curve[name] = found[column][1]
    return curve, before


def _unknown(what: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no {what} named {name!r}; {hint}there are {', '.join(known)}"
