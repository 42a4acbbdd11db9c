"""One run from its options to its best weights: Lightning's loop, and a record of what was made."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from interlace.record import environment, write_json
from interlace.training.folder import claim, shorter
from interlace.training.module import Training
from interlace.training.options import Options, TrainerOptions, check_options
from interlace.training.task import Processes, Task
from interlace.training.tasks.clips import ClipTask
from interlace.training.tasks.digits import DigitTask
from interlace.training.watch import (
    BestWeights,
    LastCheckpoint,
    ProgressBar,
    ProgressLines,
    StopWhenNoBetter,
)

log = logging.getLogger(__name__)


def run(options: Options, callbacks: Sequence[Callback] = ()) -> Path:
    """Trains; goes on where a killed run stopped. See `interlace.training.train`."""
    kind: type[Task] = ClipTask if options.data.name == "clips" else DigitTask
    devices, nodes = _processes(options.trainer)
    options = replace(options, trainer=replace(options.trainer, devices=devices, nodes=nodes))
    processes = Processes(rank_zero_only.rank or 0, devices * nodes)  # type: ignore[attr-defined]
    trainer, folder = options.trainer, options.folder
    check_options(options.recipe, trainer)
    kind.check(options, processes)
    if trainer.device == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer.device=gpu, and there is none: choose auto or cpu")
    callbacks = [*callbacks, *map(_callback, trainer.callbacks)]
    last, best = folder / "last.ckpt", folder / "best.safetensors"
    if claim(options, write=is_first()):
        return best
    if trainer.threads is not None:
        torch.set_num_threads(trainer.threads)
    L.seed_everything(trainer.seed, verbose=False)
    task = kind.open(options, processes)
    module, timer = Training(task, trainer.seed), Timer()
    callbacks += [timer, BestWeights(best, task.card), LastCheckpoint(last, trainer.save_every)]
    if task.patience is not None:
        callbacks.append(StopWhenNoBetter(task))
    in_terminal = sys.stderr.isatty() and is_first()
    if is_first():
        callbacks.append(ProgressBar() if in_terminal else ProgressLines())
    with _quiet():
        loop = L.Trainer(
            default_root_dir=folder,
            accelerator=trainer.device,
            devices=devices,
            num_nodes=nodes,
            strategy="auto" if processes.world == 1 else task.strategy,
            sync_batchnorm=processes.world > 1 and torch.cuda.is_available(),
            use_distributed_sampler=False,
            precision="bf16-mixed" if trainer.precision == "bf16" else "32-true",
            max_epochs=len(task.boundaries()),
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            accumulate_grad_batches=options.recipe.accumulate,
            gradient_clip_val=options.recipe.max_grad_norm,
            log_every_n_steps=trainer.log_every,
            enable_model_summary=in_terminal,
            enable_progress_bar=in_terminal,
            callbacks=callbacks,
            logger=_loggers(trainer.logger, folder, last) if is_first() else False,
        )
        _fit(loop, module, last)
    if is_first():
        write_json(
            folder / "run.json",
            {
                "options": asdict(options),
                **({"shorter": was} if (was := shorter(folder)) else {}),
                **task.record,
                "seconds": round(timer.time_elapsed(), 1),
                "cpu_seconds": round(module.cpu_seconds, 1),
                "environment": environment(),
            },
        )
    return best


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not rank_zero_only.rank  # type: ignore[attr-defined]


def _processes(trainer: TrainerOptions) -> tuple[int, int]:
    """Processes a machine, and machines: as torchrun says, else as the options do."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return trainer.devices, trainer.nodes
    here, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return here, world // here


def _fit(loop: L.Trainer, module: Training, last: Path) -> None:
    """Runs the loop from the last checkpoint, if there is one, to the end."""
    try:
        loop.fit(module, ckpt_path=last if last.exists() else None, weights_only=True)
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
    stop = loop.early_stopping_callback
    if stop is not None and stop.stopped_epoch:
        log.info(f"stops: no better for {module.task.patience} looks at the validation videos")


def _callback(name: str) -> Callback:
    """A callback of Lightning by its dotted name, such as my_module.MyCallback."""
    module, _, own = name.replace(":", ".").rpartition(".")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        made = getattr(import_module(module), own)()
        if not isinstance(made, Callback):
            raise TypeError(f"{own} is no Callback of Lightning")
        return made
    except (ValueError, ImportError, AttributeError, TypeError) as error:
        raise ValueError(
            f"trainer.callbacks: {name} cannot be made ({error}): name a class, such as "
            "my_module.MyCallback, that takes no arguments"
        ) from error


def _loggers(kind: str, folder: Path, last: Path) -> list[Any]:
    """A CSV file, and what was asked for; a run that goes on writes a CSV of its own."""
    if kind == "none":
        return []
    part = len(list(folder.glob("logs/csv/*"))) if last.exists() else 0  # Lightning clears one
    csv = CSVLogger(folder, name="logs/csv", version=f"part{part}", flush_logs_every_n_steps=1)
    try:
        if kind == "tensorboard":
            return [TensorBoardLogger(folder, name="logs", version="tensorboard"), csv]
        if kind == "wandb":
            return [WandbLogger(folder.name, folder / "logs", project="interlace"), csv]
        if kind == "mlflow":
            own = str(folder / "logs" / "mlflow")
            return [MLFlowLogger("interlace", run_name=folder.name, save_dir=own), csv]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"trainer.logger={kind} needs a package that is not there: pip install {kind}"
        ) from error
    return [csv]


@contextmanager
def _quiet() -> Iterator[None]:
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
