"""The folder of a run: options, logs and checkpoints; a run goes on where it was stopped."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from interlace.record import write_json

log = logging.getLogger(__name__)


class Stage(NamedTuple):
    """A stretch of a run whose steps cost alike: its name, its steps, and the frames of each."""

    name: str
    steps: int
    frames: int


class Run(L.LightningModule):
    """What a run trains.

    Attributes:
        stages: of the run, in order.
        seen: what the last step showed, by name.
    """

    stages: Sequence[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Tensor | float] = {}


class EachStep(Callback):
    """A callback after each step of the optimiser, however many batches are gathered for it."""

    _step = 0

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Run, *_: Any
    ) -> None:
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            self.after_step(trainer, module)

    def after_step(self, trainer: L.Trainer, module: Run) -> None:
        """The optimiser has made `trainer.global_step` steps."""
        raise NotImplementedError


class Logs(EachStep):
    """Writes what steps showed: every few steps, and always after a look at validation videos.

    Args:
        every: steps.
    """

    def __init__(self, every: int):
        self.every = every

    def after_step(self, trainer: L.Trainer, module: Run) -> None:
        step = trainer.global_step
        if step % self.every == 0 or "validation/accuracy" in module.seen:
            values = {name: _mean(value, trainer) for name, value in module.seen.items()}
            for logger in trainer.loggers:
                logger.log_metrics(values, step=step)


def _mean(value: Tensor | float, trainer: L.Trainer) -> float:
    """Over the processes of the run."""
    if trainer.world_size == 1:
        return float(value)
    here = torch.as_tensor(value, dtype=torch.float32, device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(here, reduce_op="mean"))


class Resume(EachStep):
    """Writes last.ckpt every few steps, whole or not at all, so that a kill costs only those.

    Args:
        path: of the checkpoint.
        every: steps.
    """

    def __init__(self, path: Path, every: int):
        self.path = path
        self.every = every

    def after_step(self, trainer: L.Trainer, module: Run) -> None:
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Save now."""
        partial = self.path.with_suffix(".partial")
        try:
            trainer.save_checkpoint(partial, weights_only=False)  # all processes take part
            if trainer.is_global_zero:
                partial.replace(self.path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OSError(
                f"cannot write {self.path} ({error}): make room and run the same command again, "
                "it goes on from the last checkpoint"
            ) from error


def fit(loop: L.Trainer, module: Run, loader: Iterable[Any], last: Path) -> None:
    """Runs the loop from the last checkpoint, if there is one, to the end."""
    try:
        loop.fit(module, loader, ckpt_path=last if last.exists() else None, weights_only=True)
    except SIGTERMException:
        log.info("stopped from outside; the same command goes on from the last checkpoint")
        raise SystemExit(143) from None  # Lightning's own says 0, as if all were done
    except RuntimeError as error:
        if loop.world_size == 1 or not re.search("gloo|nccl|connection|peer", str(error), re.I):
            raise
        raise ConnectionError(
            f"another process of this run has ended ({error}): look for what it said; the same "
            "command goes on from the last checkpoint"
        ) from error
    except SystemExit:
        raise KeyboardInterrupt from None  # Lightning makes an exit of it


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves Lightning's greetings and its notes to its own developers out."""
    talkers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    before = [logger.level for logger in talkers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        for logger in talkers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(talkers, before, strict=True):
                logger.setLevel(level)


def claim(folder: Path, options: dict[str, Any], *, write: bool = True) -> bool:
    """Makes the folder of a run, or checks that it holds this very run.

    Args:
        folder: of the run.
        options: of the run, by part and name.
        write: whether this process is the one that writes.

    Returns:
        Whether the run is finished, and there is nothing to do.

    Raises:
        ValueError: if the folder holds another run.
        OSError: if it cannot be written.
    """
    config = folder / "config.json"
    if any((folder / name).exists() for name in ("last.ckpt", "best.safetensors")):
        before = _flat(json.loads(config.read_text())) if config.exists() else {}
        now = _flat(json.loads(json.dumps(options)))
        for key in now.keys() | before.keys():
            if before.get(key) != now.get(key) and key not in _MAY_CHANGE:
                raise ValueError(
                    f"{folder} holds a run with {key}={before.get(key)}, not {now.get(key)}: "
                    "choose another trainer.out, or remove that folder"
                )
    try:
        if write:
            write_json(config, options)
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error}): choose another trainer.out") from error
    finished = (folder / "run.json").exists() and (folder / "best.safetensors").exists()
    if finished and write:
        log.info(f"the run in {folder} is finished: to train again, choose another trainer.out")
    return finished


_MAY_CHANGE = {
    f"trainer.{name}" for name in ("out", "device", "threads", "save_every", "log_every")
}


def _flat(options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{part}.{key}": v for part, values in options.items() for key, v in values.items()}


def loggers(folder: Path, last: Path) -> list[Any]:
    """TensorBoard and CSV; a run that goes on writes a CSV of its own, as Lightning clears one."""
    part = len(list(folder.glob("logs/csv/*"))) if last.exists() else 0
    return [
        TensorBoardLogger(folder, name="logs", version="tensorboard"),
        CSVLogger(folder, name="logs/csv", version=f"part{part}", flush_logs_every_n_steps=1),
    ]
