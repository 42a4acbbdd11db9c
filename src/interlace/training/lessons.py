"""What a run shows a model, batch by batch, as a function of the step: it resumes anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from interlace.data.digits.images import Digits, load_digits
from interlace.data.digits.moving import Split, VideoBatch
from interlace.data.digits.syncmnist import MultiSyncMNIST, SyncMNIST
from interlace.training.options import DataOptions, RecipeOptions

Videos = SyncMNIST | MultiSyncMNIST


def make_videos(
    options: DataOptions,
    digits: Digits,
    *,
    split: Split,
) -> Videos:
    """The data set that the options describe.

    Args:
        options: what is None in them is the data set's own default.
        digits: what the videos are made of.
        split: "train", "validation" or "test".
    """
    chosen = {
        name: getattr(options, name)
        for name in (
            "num_digits",
            "classes",
            "num_frames",
            "canvas",
            "frame",
            "max_step",
            "no_pair",
        )
    }
    size = {
        "train": options.train_size,
        "validation": options.validation_size,
        "test": options.test_size,
    }[split]
    given: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    common: dict[str, Any] = {"split": split, "size": size, "seed": options.seed}
    if options.dataset == "MultiSyncMNIST":
        return MultiSyncMNIST(digits, **common, **given)
    return SyncMNIST(digits, **common, **given)


@dataclass(frozen=True)
class Phase:
    """A stretch of a run on one kind of video.

    Args:
        videos: drawn in order, from the first again after the last.
        steps: how many batches.
        batch_size: videos in each.
        pretrain: whether single frames train the backbone alone.
        shift: added to labels that are no pairs, where the experiment has more pairs than this.
    """

    videos: Videos
    steps: int
    batch_size: int
    pretrain: bool = False
    shift: int = 0

    def batch(self, step: int, device: torch.device | str) -> VideoBatch:
        """Batch number `step` of this phase."""
        first = step * self.batch_size
        indices = torch.arange(first, first + self.batch_size) % len(self.videos)
        batch = self.videos.batch(indices, device=device)
        label = batch.label
        label = torch.where(label < _pairs(self.videos), label, label + self.shift)
        return batch._replace(label=label)


def _pairs(videos: Videos) -> int:
    """How many labels are pairs of different digits; they come first."""
    return videos.classes * (videos.classes - 1) // 2


class Plan:
    """The phases of a run, one after another: which batch step number s is.

    Args:
        phases: in order.
    """

    def __init__(self, phases: Sequence[Phase]):
        self.phases = [phase for phase in phases if phase.steps > 0]
        if not self.phases:
            raise ValueError("there is nothing to train on: ask for more videos than one batch")

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return sum(phase.steps for phase in self.phases)

    @property
    def pretrain_steps(self) -> int:
        """Of the pre-training, which comes first."""
        return sum(phase.steps for phase in self.phases if phase.pretrain)

    def at(self, step: int) -> tuple[Phase, int]:
        """The phase that step is in, and its number there."""
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        raise IndexError(f"the run has {self.steps} steps")


def make_plan(data: DataOptions, recipe: RecipeOptions, digits: Digits) -> Plan:
    """Pre-training on frames, lessons, then the experiment's own videos."""
    own = make_videos(data, digits, split="train")

    def phase(videos: Videos, count: int, batch_size: int, *, pretrain: bool = False) -> Phase:
        shift = _pairs(own) - _pairs(videos)
        return Phase(videos, count // batch_size, batch_size, pretrain=pretrain, shift=shift)

    short = make_videos(replace(data, num_frames=FRAMES_A_VIDEO), digits, split="train")
    frames = recipe.pretrain_frames // FRAMES_A_VIDEO, recipe.pretrain_batch // FRAMES_A_VIDEO
    phases = [phase(short, *frames, pretrain=True)]
    for lesson in recipe.lessons:
        given = {k: v for k, v in asdict(lesson).items() if k != "videos" and v is not None}
        easier = make_videos(replace(data, **given), digits, split="train")
        phases.append(phase(easier, lesson.videos, recipe.batch_size))
    return Plan([*phases, phase(own, recipe.videos, recipe.batch_size)])


FRAMES_A_VIDEO = 2  # a pre-training batch is made of such short videos


class Loader:
    """Batches of a run from a step on, made where they are used: they cost too little for a worker.

    Args:
        batch: step -> batch.
        steps: of the whole run.
        start: called when iteration begins: the step to begin with.
    """

    def __init__(
        self, batch: Callable[[int], VideoBatch], steps: int, *, start: Callable[[], int] = int
    ):
        self.batch = batch
        self.steps = steps
        self.start = start

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[VideoBatch]:
        for step in range(self.start(), self.steps):
            yield self.batch(step)


def batches(videos: Videos, batch_size: int, device: torch.device | str) -> Iterator[VideoBatch]:
    """All videos of a data set once, in order."""
    for indices in torch.arange(len(videos)).split(batch_size):
        yield videos.batch(indices, device=device)


def load_split(options: DataOptions, split: Split) -> Videos:
    """The videos of one split, made of training digits, or of test digits for "test"."""
    return make_videos(options, load_digits(options.digits, train=split != "test"), split=split)
