"""A look at the videos held out after each epoch of a training on video files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L

from interlace.data.clips.dataset import TestViews
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.order import in_turn
from interlace.evaluation.evaluate import Evaluation, evaluate
from interlace.models.weights import save_weights
from interlace.training.clip_module import ClipTraining
from interlace.training.loop import EachStep

log = logging.getLogger(__name__)


class Watch(EachStep):
    """After each epoch, a look at the videos held out; keeps the best weights, and stops in time.

    Args:
        views: of the videos held out.
        every: steps of an epoch.
        patience: epochs without a better accuracy after which to stop.
        batch_size: clips at once.
        workers: processes that read.
        folder: where best.safetensors goes.
        card: written into it, with the accuracy.
    """

    def __init__(
        self,
        views: TestViews,
        *,
        every: int,
        patience: int,
        batch_size: int,
        workers: int,
        folder: Path,
        card: dict[str, Any],
    ):
        self.views = views
        self.every = every
        self.patience = patience
        self.batch_size = batch_size
        self.workers = workers
        self.folder = folder
        self.card = card
        self.best = -1.0
        self.since = 0

    def after_step(  # type: ignore[override]
        self, trainer: L.Trainer, module: ClipTraining
    ) -> None:
        step = trainer.global_step
        if step % self.every and step != trainer.max_steps:
            return
        result = self._look(trainer, module)
        module.seen |= {"validation/accuracy": result.top1, "validation/loss": result.loss}
        self.since = 0 if result.top1 > self.best else self.since + 1
        if result.top1 > self.best:
            self.best = result.top1
            if trainer.is_global_zero:
                card = self.card | {"validation": self.best, "step": step}
                save_weights(module.model, self.folder / "best.safetensors", card=card)
        if self.since >= self.patience and step != trainer.max_steps:
            log.info(f"stops: no better for {self.patience} epochs")
            trainer.should_stop = True

    def _look(self, trainer: L.Trainer, module: ClipTraining) -> Evaluation:
        """At all of them, each in one of the processes."""
        share = in_turn(
            len(self.views),
            self.batch_size,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        loader = clip_loader(self.views, share, num_workers=self.workers)
        bf16 = trainer.precision == "bf16-mixed"
        classes = module.model.num_classes
        return evaluate(module.looking(), loader, classes, bf16=bf16, shared=True)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.since = state_dict["best"], state_dict["since"]
