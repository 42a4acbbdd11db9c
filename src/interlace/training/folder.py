"""The folder of a run: it holds one run, which goes on where it was stopped."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from interlace.record import write_json
from interlace.training.options import Options
from interlace.training.renamed import upgraded

log = logging.getLogger(__name__)

HOW_IT_IS_RUN = {
    "data.workers",
    *(
        f"trainer.{name}"
        for name in ("out", "device", "threads", "save_every", "log_every", "logger", "callbacks")
    ),
}
LENGTHS = {"recipe.videos", "recipe.epochs", "recipe.patience"}  # may grow
PATHS = {
    *(f"data.{name}" for name in ("path", "labels", "held_out_labels", "manifest", "digits")),
    *(f"model.{name}" for name in ("weights", "backbone", "detector")),
}


def claim(options: Options, *, write: bool = True) -> bool:
    """Makes the folder of a run, or checks that it holds this very run.

    What says only how it is run may differ. It may become longer, too.

    Args:
        options: of the run.
        write: whether this process is the one that writes.

    Returns:
        Whether the run is finished, and there is nothing to do.

    Raises:
        ValueError: if the folder holds another run.
        OSError: if it cannot be written.
    """
    folder, stated = options.folder, json.loads(json.dumps(asdict(options)))
    config, record = folder / "config.json", folder / "run.json"
    longer = False
    if any((folder / name).exists() for name in ("last.ckpt", "best.safetensors")):
        before = _flat(upgraded(json.loads(config.read_text()))) if config.exists() else {}
        for key, now in _flat(stated).items():
            then = before.get(key, now)
            if key in HOW_IT_IS_RUN or then == now or (key in PATHS and _same_path(then, now)):
                continue
            if key not in LENGTHS or not _longer(then, now):
                raise ValueError(
                    f"{folder} holds a run with {key}={then}, not {now}: "
                    "choose another trainer.out, or remove that folder"
                )
            longer = True
            if write:
                if key == "recipe.patience":
                    now = "no more" if now is None else now
                    what_follows = "the run goes on until it stops, or ends"
                else:
                    now, then = f"{now:,}", f"{then:,}"
                    what_follows = "from here on the learning rate comes down over the new length"
                log.info(f"{key} is {now} instead of {then}: {what_follows}")
    try:
        if write:
            if longer:
                record.unlink(missing_ok=True)
                lengths = {key: before[key] for key in LENGTHS & before.keys()}
                earlier = [*shorter(folder), lengths]
                write_json(folder / "shorter.json", earlier)
            write_json(config, stated)
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error}): choose another trainer.out") from error
    finished = not longer and record.exists() and (folder / "best.safetensors").exists()
    if finished and write:
        more = next(iter(LENGTHS & _flat(stated).keys() - {"recipe.patience"}))
        log.info(
            f"the run in {folder} is finished: to train again, choose another trainer.out; to go "
            f"on, give more {more}"
        )
    return finished


def _longer(then: int | None, now: int | None) -> bool:
    """Of lengths, None is without an end."""
    return now is None or (then is not None and now >= then)


def shorter(folder: Path) -> list[dict[str, int | None]]:
    """The lengths that a run had before it was made longer, over which rates came down first."""
    told = folder / "shorter.json"
    return json.loads(told.read_text()) if told.exists() else []


def _same_path(one: Any, other: Any) -> bool:
    return None not in (one, other) and Path(one).resolve() == Path(other).resolve()


def _flat(options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{part}.{key}": v for part, values in options.items() for key, v in values.items()}
