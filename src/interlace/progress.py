"""How far a run is: a line that moves in a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from interlace.data.module import Phase

if TYPE_CHECKING:
    from interlace.train import Training

log = logging.getLogger(__name__)

SHOWN = {  # name -> what people read
    "pretrain/exact": "digits right",
    "train/accuracy": "accuracy",
    "validation/accuracy": "validation",
}
LOOK = 0.5  # seconds between updates of the line
WINDOW = 60.0  # seconds over which speed is measured
SMOOTH = 0.15  # weight of a new batch in the accuracies of training


class RunProgress(Callback):
    """Shows the phase, the time left of the whole run, and the accuracy.

    The unit of work is a frame, as phases differ in the length of their steps.

    Args:
        console: where to write; standard error if left out.
        every: seconds between lines where the console is no terminal; they get rarer in long runs.
    """

    def __init__(self, console: Console | None = None, *, every: float = 15.0):
        self.console = console or Console(stderr=True)
        self.every = every
        self.before = 0.0  # seconds that a killed run had trained
        self.seconds = 0.0  # in all
        self._bar: Progress | None = None
        self._values: dict[str, float] = {}

    def on_train_start(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training
    ) -> None:
        phases = module.plan.phases
        self._start = self._looked = self._said = time.monotonic()
        self._before = self.before
        self._names = _names(phases)
        self._phase = ""
        self._total = sum(phase.steps * _work(phase) for phase in phases)
        step, steps = trainer.global_step, module.plan.steps
        log.info(f"goes on at step {step:,} of {steps:,}" if step else f"{steps:,} steps")
        done = _done(phases, step)
        self._speed: deque[tuple[float, int]] = deque()  # (when, frames done)
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:3.0f}%"),
                TextColumn("{task.fields[left]} left"),
                TextColumn("{task.fields[says]}"),
                console=self.console,
                expand=True,
            )
            self._task = self._bar.add_task(
                self._names[0], total=self._total, completed=done, left=_clock(None), says=""
            )
            self._bar.start()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, module: Training, *_: Any
    ) -> None:
        now = time.monotonic()
        self.seconds = self._before + now - self._start
        step = trainer.global_step
        phase = module.plan.at(max(step - 1, 0))[0]
        last = step >= module.plan.steps
        validated = "validation/accuracy" in module.seen
        if now - self._looked < LOOK and not last and not validated:
            return
        self._looked = now
        self._read(module.seen)
        done = _done(module.plan.phases, step)
        self._speed.append((now, done))
        while len(self._speed) > 2 and now - self._speed[0][0] > WINDOW:
            self._speed.popleft()
        then, before = self._speed[0]  # after the first step, which is slower than all others
        left = (self._total - done) * (now - then) / (done - before) if done > before else None
        name = self._names[module.plan.phases.index(phase)]
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, description=name, left=_clock(left), says=self._says()
            )
        elif last or name != self._phase or now - self._said > max(self.every, self.seconds / 20):
            self._said = now
            share = f"{done / self._total:4.0%} of the run"
            log.info(", ".join([f"{share}, {_clock(left)} left: {name}", *self._parts()]))
        self._phase = name

    def on_train_end(self, *_: Any) -> None:
        self._stop()

    def on_exception(self, *_: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _read(self, seen: Mapping[str, Tensor | float]) -> None:
        """Takes the newest accuracies; those of single batches are smoothed."""
        for key in SHOWN.keys() & seen.keys():
            value, before = float(seen[key]), self._values.get(key)
            if before is not None and not key.startswith("validation/"):
                value = before + SMOOTH * (value - before)
            self._values[key] = value
        if "train/accuracy" in seen:
            self._values.pop("pretrain/exact", None)

    def _parts(self) -> list[str]:
        return [
            f"{say} {self._values[key]:.1%}" for key, say in SHOWN.items() if key in self._values
        ]

    def _says(self) -> str:
        return ", ".join(self._parts())

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before = self.seconds = state_dict["seconds"]


def _names(phases: list[Phase]) -> list[str]:
    """What each phase is called; the experiment's own videos come last."""
    lessons = sum(not phase.pretrain for phase in phases) - 1
    names: list[str] = []
    for phase in phases:
        number = len(names) - sum(p.pretrain for p in phases) + 1
        names.append(
            "pre-training"
            if phase.pretrain
            else f"lesson {number} of {lessons}"
            if number <= lessons
            else "training"
        )
    return names


def _work(phase: Phase) -> int:
    """Frames of a step."""
    return phase.batch_size * phase.videos.num_frames


def _done(phases: list[Phase], step: int) -> int:
    done = 0
    for phase in phases:
        done += min(step, phase.steps) * _work(phase)
        step = max(0, step - phase.steps)
    return done


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
