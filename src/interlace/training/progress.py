"""How far a run is: a line that moves in a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from interlace.training.loop import EachStep, Run, Stage

log = logging.getLogger(__name__)

SHOWN = {  # name -> what people read
    "pretrain/exact": "digits right",
    "train/accuracy": "accuracy",
    "validation/accuracy": "validation",
}
LOOK = 0.5  # seconds between updates of the line
WINDOW = 60.0  # seconds over which speed is measured
SMOOTH = 0.15  # weight of a new batch in the accuracies of training


class RunProgress(EachStep):
    """Shows the stage, the time left of the whole run, and the accuracy.

    The unit of work is a frame, as stages differ in the length of their steps.

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
        self, trainer: L.Trainer, module: Run
    ) -> None:
        super().on_train_start(trainer)
        stages = module.stages
        self._start = self._looked = self._said = time.monotonic()
        self._before = self.before
        self._stage = ""
        self._total = sum(stage.steps * stage.frames for stage in stages)
        step, self._steps = trainer.global_step, sum(stage.steps for stage in stages)
        log.info(
            f"goes on at step {step:,} of {self._steps:,}" if step else f"{self._steps:,} steps"
        )
        done = _done(stages, step)
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
                stages[0].name, total=self._total, completed=done, left=_clock(None), says=""
            )
            self._bar.start()

    def after_step(self, trainer: L.Trainer, module: Run) -> None:
        now = time.monotonic()
        self.seconds = self._before + now - self._start
        step = trainer.global_step
        last = step >= self._steps
        validated = "validation/accuracy" in module.seen
        if now - self._looked < LOOK and not last and not validated:
            return
        self._looked = now
        self._read(module.seen)
        done = _done(module.stages, step)
        self._speed.append((now, done))
        while len(self._speed) > 2 and now - self._speed[0][0] > WINDOW:
            self._speed.popleft()
        then, before = self._speed[0]  # after the first step, which is slower than all others
        left = (self._total - done) * (now - then) / (done - before) if done > before else None
        name = _stage(module.stages, step - 1).name
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, description=name, left=_clock(left), says=self._says()
            )
        elif last or name != self._stage or now - self._said > max(self.every, self.seconds / 20):
            self._said = now
            share = f"{done / self._total:4.0%} of the run"
            log.info(", ".join([f"{share}, {_clock(left)} left: {name}", *self._parts()]))
        self._stage = name

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


def _stage(stages: Sequence[Stage], step: int) -> Stage:
    """The one that step is in."""
    for stage in stages:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return stages[-1]


def _done(stages: Sequence[Stage], step: int) -> int:
    """Frames that were shown in so many steps."""
    done = 0
    for stage in stages:
        done += min(step, stage.steps) * stage.frames
        step = max(0, step - stage.steps)
    return done


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
