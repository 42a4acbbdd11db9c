"""The one module that Lightning trains, whatever the task."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from interlace.training.optimizer import make_optimizer
from interlace.training.task import Task

log = logging.getLogger(__name__)


class Training(L.LightningModule):
    """Fits a model to a task.

    An epoch of Lightning's is the stretch of steps up to the next look at the validation videos.
    What a step draws at random, such as dropout, is a function of the seed, the process and the
    step, as its videos are: so a run goes on anywhere without any state of random numbers.

    Args:
        task: what to learn.
        seed: of what is drawn at random.

    Attributes:
        began: the step at which the stretch began.
        looked: what the last look at the validation videos showed.
    """

    def __init__(self, task: Task, seed: int):
        super().__init__()
        self.task = task
        self.seed = seed
        self.model = task.model
        self.heads = task.heads
        self.began = 0
        self.looked: dict[str, float] = {}
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._before: dict[str, Any] | None = None  # of the plateau, in a run that goes on
        self._spent = -time.process_time()  # of the CPU; what was spent before the run went on, too
        self._batches: Iterator[Any] | None = None

    @property
    def cpu_seconds(self) -> float:
        """That the run took so far, of all cores of this process together."""
        return self._spent + time.process_time()

    # --- steps ----------------------------------------------------------------------------------

    def train_dataloader(self) -> Batches:
        accumulate, step = self.task.recipe.accumulate, self.global_step
        if self._batches is None:
            self._batches = self.task.batches(step * accumulate, self.device)
        end = next((look for look in self.task.boundaries() if look > step), step)
        left = islice(self._batches, (end - step) * accumulate)
        return Batches(left, (end - self.began) * accumulate)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        part = batch_idx % self.task.recipe.accumulate
        key = (self.seed, self.global_rank, self.global_step, part)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Any, _: int) -> Tensor:
        step = self.global_step
        loss, shown = self.task.loss(batch, step)
        if not bool(loss.isfinite()):
            raise ValueError(
                f"the loss is {loss.item()} at step {step}: lower recipe.lr or "
                "recipe.max_grad_norm; the last checkpoint is from before"
            )
        shown["train/loss"] = loss.detach()
        self.log_dict(shown, prog_bar=True, sync_dist=self.trainer.world_size > 1)
        self.log("step", float(step + 1))  # by which loggers count
        return loss

    def configure_optimizers(self) -> Any:
        task = self.task
        optimizer = make_optimizer(
            self, self.model, task.recipe, task.lr, betas=task.betas, nesterov=task.nesterov
        )
        if (patience := task.plateau()) is not None:
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max", factor=0.1, patience=patience
            )
            return optimizer
        rates: list[Any] = [partial(task.rate, part=part) for part in task.part_rates()]
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rates)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    # --- looks at the validation videos ---------------------------------------------------------

    def val_dataloader(self) -> Any:
        if self.global_step < self.task.first_look < self.task.steps:
            return []  # after a pre-training there is nothing to see yet
        batches, count = self.task.validation_batches(self.device)
        return Batches(batches, count) if count else []  # nothing may be held out

    def on_validation_epoch_start(self) -> None:
        self._sums: dict[str, float] = {}

    def validation_step(self, batch: Any, _: int) -> None:
        scores, shown = self.task.look(batch)
        label, count = batch.label, len(batch.label)
        found = {
            "videos": count,
            "accuracy": float((scores.argmax(1) == label).sum()),
            "loss": float(nn.functional.nll_loss(scores, label, reduction="sum")),
            **{name: float(value) * count for name, value in shown.items()},
        }
        for name, value in found.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def on_validation_epoch_end(self) -> None:
        sums = {name: self._over_processes(value) for name, value in self._sums.items()}
        count = sums.pop("videos")
        self.looked = {f"validation/{name}": value / count for name, value in sums.items()}
        if self.plateau is not None:
            self.plateau.step(self.looked["validation/accuracy"])
        self.log_dict(self.looked, prog_bar=True)
        self.log("cpu_seconds", self.cpu_seconds)
        self.log("step", float(self.global_step))

    def _over_processes(self, value: float) -> float:
        if self.trainer.world_size == 1:
            return value
        here = torch.tensor(value, device=self.device)
        return float(self.trainer.strategy.reduce(here, reduce_op="sum"))

    # --- going on -------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["began"] = self.began
        checkpoint["cpu_seconds"] = self.cpu_seconds
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "began" not in checkpoint:
            raise ValueError(
                "the last checkpoint is of an older interlace, which this one cannot go on from: "
                "choose another trainer.out, or remove that folder"
            )
        self.began = checkpoint["began"]
        self._spent += checkpoint.get("cpu_seconds", 0.0)
        self._before = checkpoint.get("plateau")
        done = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        left = sum(look > checkpoint["global_step"] for look in self.task.boundaries())
        self.trainer.fit_loop.max_epochs = done + left  # a run may have become longer

    def on_train_start(self) -> None:
        if self.trainer.is_global_zero:
            step, steps = self.global_step, f"{self.task.steps:,}"
            log.info(f"goes on at step {step:,} of {steps}" if step else f"{steps} steps")
        if self.plateau is not None and self._before is not None:
            self.plateau.load_state_dict(self._before)

    def teardown(self, stage: str) -> None:
        self._batches = None  # processes that read end with it


class Batches:
    """So many batches, once: Lightning wants to know how many.

    Args:
        batches: to be taken, in their order.
        length: how many there are, with those that were taken before the run went on.
    """

    def __init__(self, batches: Iterator[Any], length: int):
        self.batches = batches
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return self.batches
