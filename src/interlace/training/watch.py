"""What stands beside a run: its last state, its best weights, a line on how far it is."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint

from interlace.models.weights import save_weights
from interlace.training.module import Training
from interlace.training.task import Stage

log = logging.getLogger(__name__)


class LastCheckpoint(Checkpoint):
    """Writes last.ckpt every few steps and after each look, so that a kill costs only those.

    It is there whole or not at all. Lightning's own callbacks for checkpoints may stand beside it.

    Args:
        path: of the checkpoint.
        every: steps.
    """

    def __init__(self, path: Path, every: int):
        self.path = path
        self.every = every
        self.saved = 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % self.every == 0 and step != self.saved and not trainer.is_last_batch:
            self.save(trainer)

    def on_train_epoch_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        module.began = trainer.global_step
        self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Saves now."""
        partial = self.path.with_suffix(".partial")
        self.saved = trainer.global_step
        try:
            trainer.save_checkpoint(partial, weights_only=False)  # all processes take part
            if trainer.is_global_zero:
                with partial.open("rb") as file:
                    os.fsync(file.fileno())
                partial.replace(self.path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OSError(
                f"cannot write {self.path} ({error}): make room and run the same command again, "
                "it goes on from the last checkpoint"
            ) from error


class BestWeights(Callback):
    """Keeps the weights that were best on the validation videos, as best.safetensors.

    Args:
        path: of the file.
        card: written into it, with the accuracy.
    """

    def __init__(self, path: Path, card: dict[str, Any]):
        self.path = path
        self.card = card
        self.best = -1.0

    def on_validation_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        accuracy = module.looked["validation/accuracy"]
        if accuracy > self.best:
            self.best = accuracy
            if trainer.is_global_zero:
                card = self.card | {"validation": accuracy, "step": trainer.global_step}
                save_weights(module.model, self.path, card=card)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


SHOWN = {  # name -> what people read
    "pretrain/exact": "digits right",
    "train/loss": "loss",
    "train/accuracy": "accuracy",
    "validation/accuracy": "validation",
}


class ProgressLines(Callback):
    """Where there is no terminal, a line now and then: how far, how long still, how well.

    The unit of work is a frame, as stages differ in the length of their steps.

    Args:
        every: seconds between lines; they get rarer in long runs.
    """

    def __init__(self, *, every: float = 15.0):
        self.every = every

    def on_train_start(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        self._start = self._said = time.monotonic()
        self._stage, self._done = "", _frames(module.task.stages, trainer.global_step)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training, *_: Any
    ) -> None:
        now, step, stages = time.monotonic(), trainer.global_step, module.task.stages
        name, total = _stage(stages, step - 1).name, _frames(stages, module.task.steps)
        last, wait = step == module.task.steps, max(self.every, (now - self._start) / 20)
        if last or name != self._stage or now - self._said > wait:
            done = _frames(stages, step)
            left = (total - done) * (now - self._said) / max(1, done - self._done)
            seen = {**trainer.callback_metrics, **module.looked}
            parts = [
                f"{say} {seen[key]:.3g}" if key.endswith("loss") else f"{say} {seen[key]:.1%}"
                for key, say in SHOWN.items()
                if key in seen and (name == "pre-training") == key.startswith("pretrain")
            ]
            clock = f"{done / total:4.0%} of the run, {_clock(left)} left"
            log.info(", ".join([f"{clock}: {name}", *parts]))
            self._said, self._done, self._stage = now, done, name


def _stage(stages: Sequence[Stage], step: int) -> Stage:
    """The one that step is in."""
    for stage in stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return stages[-1]


def _frames(stages: Sequence[Stage], step: int) -> int:
    """That were shown in so many steps."""
    done = 0
    for stage in stages:
        done += min(step, stage.steps) * stage.frames
        step = max(0, step - stage.steps)
    return done


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
