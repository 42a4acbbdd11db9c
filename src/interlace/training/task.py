"""What a training fits, and to what: all that differs between synthetic videos and clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from interlace.models.classifier import VideoClassifier
from interlace.training.optimizer import cosine, warmup_steps
from interlace.training.options import Options, RecipeOptions

LR_BATCH = 32  # videos a step that recipe.lr is for


class Processes(NamedTuple):
    """Those that share a run, and which of them this is."""

    rank: int = 0
    world: int = 1


class Stretch(NamedTuple):
    """A part of a run whose steps cost alike: its name, its steps, and the frames of each."""

    name: str
    steps: int
    frames: int


class Task(ABC):
    """A model, its batches, its loss and its rates.

    Args:
        model: what is trained.
        recipe: how.
        stretches: of the run, in order.
        videos_a_step: of all processes together.

    Attributes:
        heads: what learns beside the model and is thrown away.
        strategy: of Lightning, for several processes.
        look_every: steps between looks at the validation videos.
        patience: looks without a gain after which to stop; None: never.
        card: of the weights.
        record: what else made them, for the record of the run.
    """

    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)  # of AdamW
    nesterov: ClassVar[bool] = False  # of SGD's momentum

    def __init__(
        self,
        model: VideoClassifier,
        recipe: RecipeOptions,
        stretches: Sequence[Stretch],
        *,
        videos_a_step: int,
    ):
        self.model = model
        self.recipe = recipe
        self.stretches = stretches
        self.heads: nn.Module | None = None
        self.strategy = "ddp"
        self.steps = sum(stretch.steps for stretch in stretches)
        self.lr = recipe.lr * videos_a_step / LR_BATCH
        self.look_every = 1
        self.patience: int | None = None
        self.card: dict[str, Any] = {}
        self.record: dict[str, Any] = {}

    def stretch(self, step: int) -> Stretch:
        """The one that a step is in."""
        ends = accumulate(stretch.steps for stretch in self.stretches)
        return next(
            (s for s, end in zip(self.stretches, ends, strict=True) if step < end),
            self.stretches[-1],
        )

    def place(self, step: int) -> str:
        """Where in the run so many steps are, for people."""
        return self.stretch(step - 1).name

    def frames(self, step: int | None) -> int:
        """That are shown in so many steps; None: in all."""
        done, left = 0, self.steps if step is None else step
        for stretch in self.stretches:
            done += min(left, stretch.steps) * stretch.frames
            left = max(0, left - stretch.steps)
        return done

    @staticmethod
    @abstractmethod
    def check(options: Options, processes: Processes) -> None:
        """Raises ValueError if options make no sense, before anything is made."""

    @classmethod
    @abstractmethod
    def open(cls, options: Options, processes: Processes) -> Task:
        """The task that the options describe, with its videos and its model."""

    @property
    def first_look(self) -> int:
        """The step from which looks are counted; there is none before, nor at it."""
        return 0

    @abstractmethod
    def batches(self, first: int, device: torch.device) -> Iterator[Any]:
        """The batches of this process from one on: a function of their numbers alone."""

    @abstractmethod
    def validation_batches(self, device: torch.device) -> tuple[Iterator[Any], int]:
        """This process's share of the validation videos, and how many batches that is."""

    @abstractmethod
    def loss(self, batch: Any, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Of a batch, and what to show."""

    @abstractmethod
    def look(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """At validation videos: logarithms of probabilities, (B, num_classes), and what to show."""

    @abstractmethod
    def part_rates(self) -> list[float]:
        """Times lr: of all else, of the backbone, of what predicts regions."""

    def rate(self, step: int, part: float) -> float:
        """Of a part of the model at a step, in units of lr."""
        return part * cosine(step, self.steps, warmup_steps(self.recipe, self.steps))

    def plateau(self) -> int | None:
        """Looks without a gain before the rate falls tenfold; None: it follows `rate`."""
        return None

    def boundaries(self) -> list[int]:
        """The steps at which looks at the validation videos are counted from, and each look's."""
        first = self.first_look or self.look_every
        return [*range(first, self.steps, self.look_every), self.steps]
