"""Trains what a published table lacks, and puts ours beside it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from interlace.commands import say

log = logging.getLogger(__name__)


def reproduce(
    name: str,
    setting: Literal["small", "paper"] = "small",
    seeds: list[int] = [0],  # noqa: B006, only read
    budget_videos: int | None = None,
    digits: str = "mnist",
    folder: str = "reproduce",
    runs: str = "runs/reproduce",
    threads: int | None = None,
    only: str | None = None,
    train: bool = True,
    force: bool = False,
) -> None:
    """Put our numbers beside a published table, and train what is missing; in a clone.

    The same command goes on where a killed one stopped. RESULTS.md is written anew.

    Args:
        name: content, ablation (minutes a model); dyreg-5, -6, -7, -9, -10, -11, -E6, rstg-1 (an
            hour a model); or all.
        setting: which configs of the table, those whose names begin so.
        seeds: of the weights' first values, each is a training; such as [0,1].
        budget_videos: instead of the config's; results say so and are kept apart.
        digits: "mnist" (downloaded), "embedded", or a folder with MNIST's files.
        folder: of tables.yaml and the results; configs/ is beside it.
        runs: folder to train in.
        threads: of the CPU; torch's own choice if left out.
        only: one model of the table, such as dyreg_fixed.
        train: what is missing; or only write the tables of what is there, with --no_train.
        force: to make results again that other options made than the configs' now.
    """
    from interlace.experiments.reproduce import digits_kind, is_missing, run, unknown, wanted
    from interlace.experiments.tables import Tables
    from interlace.record import write_json

    tables = Tables(folder)
    known = ["all", *tables.rows]
    if name not in known:
        raise ValueError(unknown("table", name, known))
    names = [name] if name != "all" else list(tables.rows)
    if train:
        found = wanted(tables, names, setting, only, digits_kind(digits), budget_videos)
        todo = [
            (one, seed, path)
            for seed in seeds
            for one in found
            if is_missing(one, path := tables.result_path(one, seed), force)
        ]
        log.info(f"{len(seeds) * len(found) - len(todo)} results are there, {len(todo)} to make")
        for k, (one, seed, path) in enumerate(todo):
            log.info(f"{one.name}, seed {seed} ({k + 1} of {len(todo)})")
            write_json(path, run(one, seed, digits=digits, runs=Path(runs), threads=threads))
            tables.write_page()  # a run that is stopped loses nothing
    stale = {path: why for one_name in names for path, why in tables.stale(one_name).items()}
    for path, difference in stale.items():
        say(f"{path.relative_to(tables.root)} is stale: {difference}; --force runs it again")
    for one_name in names:
        say(f"\n{one_name}, {tables.titles[one_name]}\n\n{tables.text(one_name)}\n")
    say(str(tables.write_page()))
