"""What a published table is made of, and how to make it: trained and evaluated, one JSON each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlace.data.digits import load_digits
from interlace.experiments.experiment import Experiment, check_budget, varied, videos_of
from interlace.experiments.tables import Tables, read_record
from interlace.registry import nearest
from interlace.reports.run import read_curves
from interlace.reports.trained import open_trained, write_evaluation
from interlace.training import train
from interlace.training.lessons import FRAMES_A_VIDEO

_CURVES = {
    "accuracy": "validation/accuracy",
    "distance": "validation/distance",
    "cpu_seconds": "cpu_seconds",
}


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
        "cpu_seconds": finished["cpu_seconds"],
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


def wanted(
    tables: Tables, names: list[str], setting: str, only: str | None, kind: str, budget: int | None
) -> list[Experiment]:
    """What tables are made of, each once.

    Args:
        tables: of a clone.
        names: of tables.
        setting: which of a line's configs, those whose names begin so.
        only: a registered model of the tables, with or without the setting's suffix.
        kind: of digits, "mnist" or "embedded".
        budget: lessons and videos are scaled down to so many together; None: all.

    Raises:
        ValueError: for a model or a budget that does not fit.
    """
    configs = [one for name in names for row in tables.rows[name] for one in row.configs]
    found = [
        tables.experiment(one)
        for one in dict.fromkeys(configs)
        if Path(one).name.startswith(f"{setting}_")
    ]
    if only is not None:
        model = only.removesuffix("_small")
        models = [one.options.model.name.removesuffix("_small") for one in found]
        if model not in models:
            raise ValueError(unknown("model of the table", only, [*dict.fromkeys(models)]))
        found = [one for one, own in zip(found, models, strict=True) if own == model]
    if budget is not None:
        for one in found:
            check_budget(one.options.recipe, budget)
    return [varied(one, digits=kind, budget=budget) for one in found]


def is_missing(experiment: Experiment, path: Path, force: bool) -> bool:
    """Whether there is no result at a path, or one of other options that is to be made again."""
    early = path.with_stem(path.stem.removesuffix("_seed0"))  # those that say no seed
    there = next((one for one in (path, early) if one.exists()), None)
    if there is None:
        return True
    return force and experiment.difference(read_record(there)["options"]) is not None


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


def unknown(what: str, name: str, known: list[str]) -> str:
    """What to say to a name that is none of the known."""
    near = nearest(name, known)
    hint = f"did you mean {near!r}? " if near else ""
    return f"there is no {what} named {name!r}; {hint}there are {', '.join(known)}"
