"""What stands beside a run: its last state, its best weights, a line on how far it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, RichProgressBar

from interlace.files import writing
from interlace.models.weights import save_weights
from interlace.training.module import Training
from interlace.training.task import Task

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

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.saved = trainer.global_step

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """When the step before stands in the logs, too, so that a kill costs no line of them."""
        step, loop = trainer.global_step, trainer.fit_loop.epoch_loop
        if step % self.every == 0 and step != self.saved:
            loop._batches_that_stepped -= 1  # Lightning adds that step again when the run goes on
            self.save(trainer)
            loop._batches_that_stepped += 1

    def on_train_epoch_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        module.began = trainer.global_step
        self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Saves now."""
        self.saved = trainer.global_step
        if not trainer.is_global_zero:  # takes part, and does not write
            trainer.save_checkpoint(self.path, weights_only=False)
            return
        try:
            with writing(self.path) as file:
                trainer.save_checkpoint(file, weights_only=False)
        except OSError as error:
            raise OSError(f"{error}; the same command goes on from the last checkpoint") from error


class BestWeights(Callback):
    """Keeps the weights that were best on the validation videos, as best.safetensors.

    Of those that are right equally often, the ones with the least loss: of a few videos all are
    right long before the last step. Without any such videos they are the last.

    Args:
        path: of the file.
        card: written into it, with the accuracy.
    """

    def __init__(self, path: Path, card: dict[str, Any]):
        self.path = path
        self.card = card
        self.best = (-1.0, 0.0)  # accuracy, and the loss below 0

    def on_validation_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        accuracy, loss = (module.looked[f"validation/{name}"] for name in ("accuracy", "loss"))
        if (accuracy, -loss) > self.best:
            self.best = accuracy, -loss
            if trainer.is_global_zero:
                card = self.card | {"validation": accuracy, "step": trainer.global_step}
                save_weights(module.model, self.path, card=card)

    def on_train_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        if self.best[0] < 0 and trainer.is_global_zero:
            save_weights(module.model, self.path, card=self.card | {"step": trainer.global_step})

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = tuple(state_dict["best"])


class StopWhenNoBetter(EarlyStopping):
    """Ends a run when several looks at the validation videos in a row show nothing better.

    In a run that became longer looks are counted anew.

    Args:
        task: with its patience, and its length.
    """

    def __init__(self, task: Task):
        super().__init__("validation/accuracy", mode="max", patience=task.patience or 1)
        self.task = task

    def earliest(self, step: int) -> int | None:
        """The step at which the run ends if nothing gets better any more; None: at its last."""
        looks = [look for look in self.task.boundaries() if look >= step]
        left = max(1, self.patience - self.wait_count)
        return looks[left - 1] if left < len(looks) else None

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"steps": self.task.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        patience = self.patience
        super().load_state_dict(state_dict)
        self.patience, self.stopped_epoch = patience, 0  # what stopped goes on
        if state_dict.get("steps", self.task.steps) != self.task.steps:
            self.wait_count = 0


SHOWN = {  # name -> what people read
    "pretrain/exact": "digits right",
    "train/loss": "loss",
    "train/accuracy": "accuracy",
    "validation/accuracy": "validation",
}
WINDOW = 15.0  # seconds over which speed is measured, at least


class ProgressLines(Callback):
    """Where there is no terminal, a line now and then: how far, how long still, how well.

    Args:
        every: seconds between lines; they get rarer in long runs.
    """

    def __init__(self, *, every: float = 15.0):
        self.every = every

    def on_train_start(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        self._pace = Pace(module.task, trainer.global_step)
        self._start = self._said = time.monotonic()
        self._stretch = ""

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training, *_: Any
    ) -> None:
        now, step = time.monotonic(), trainer.global_step
        stretch, wait = (
            module.task.stretch(step - 1).name,
            max(self.every, (now - self._start) / 20),
        )
        if step < module.task.steps and (stretch != self._stretch or now - self._said > wait):
            self._said, self._stretch = now, stretch
            self._say(trainer, module)

    def on_train_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        if trainer.global_step == module.task.steps or trainer.should_stop:  # with the last look
            self._say(trainer, module)

    def _say(self, trainer: L.Trainer, module: Training) -> None:
        step, task = trainer.global_step, module.task
        shown = _shown({**trainer.callback_metrics, **module.looked}, task.stretch(step - 1).name)
        share, left, stop = self._pace.at(step, _earliest(trainer, step))
        still = "and no more" if trainer.should_stop else f"{left} left{stop}"
        parts = [f"{name} {value}" for name, value in shown.items()]
        log.info(", ".join([f"{share:4.0%} of the run, {still}: {task.place(step)}", *parts]))


class ProgressBar(RichProgressBar):
    """Lightning's, with the time left of the whole run and few and short words."""

    def on_train_start(self, trainer: L.Trainer, module: Training) -> None:  # type: ignore[override]
        self._pace = Pace(module.task, trainer.global_step)
        super().on_train_start(trainer, module)

    def get_metrics(self, trainer: L.Trainer, module: Training) -> dict[str, Any]:  # type: ignore[override]
        step, task = trainer.global_step, module.task
        share, left, stop = self._pace.at(step, _earliest(trainer, step))
        shown = _shown(trainer.callback_metrics, task.stretch(step).name)
        return {task.place(step + 1): f"{share:.0%}", "left": left + stop, **shown}


class Pace:
    """How far a run is and how long it still takes, in frames, as its steps differ in length.

    Args:
        task: with the stretches of the run.
        step: it begins with.
    """

    def __init__(self, task: Task, step: int):
        self.task = task
        self._old = self._new = time.monotonic(), task.frames(step)

    def at(self, step: int, earliest: int | None = None) -> tuple[float, str, str]:
        """The share of the run that is done, the time left, and when it may stop, in words.

        Args:
            step: so far.
            earliest: at which the run may stop, before its end.
        """
        now, done, total = time.monotonic(), self.task.frames(step), self.task.frames(None)
        (then, before), (newer, _) = self._old, self._new
        pace = (now - then) / (done - before) if done > before else None  # seconds a frame
        if now - newer > WINDOW:
            self._old, self._new = self._new, (now, done)
        stop = ""
        if earliest is not None:
            soon = None if pace is None else (self.task.frames(earliest) - done) * pace
            stop = f" (may stop in {_clock(soon)})"
        left = None if pace is None else (total - done) * pace
        return done / total, _clock(left), stop


def _shown(seen: Mapping[str, Any], stretch: str) -> dict[str, str]:
    """What people read of a stretch."""
    return {
        name: f"{seen[key]:.3g}" if key.endswith("loss") else f"{seen[key]:.1%}"
        for key, name in SHOWN.items()
        if key in seen and (stretch == "pre-training") == key.startswith("pretrain")
    }


def _earliest(trainer: L.Trainer, step: int) -> int | None:
    """The step at which a run may stop, see `StopWhenNoBetter`."""
    stop = trainer.early_stopping_callback
    return stop.earliest(step) if isinstance(stop, StopWhenNoBetter) else None


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
