"""What a run shows a model, batch by batch, as a function of the step: it resumes anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from interlace.data.digits.datasets import VideoOptions, make_videos
from interlace.data.digits.images import Digits
from interlace.data.digits.moving import MovingDigits, VideoBatch
from interlace.training.task import Processes, Stretch
from interlace.training.tasks.digit_options import DigitRecipeOptions


@dataclass(frozen=True)
class Phase:
    """A stretch of a run on one kind of video.

    Args:
        videos: drawn in order, from the first again after the last.
        steps: of the optimiser.
        batch_size: videos at once, of one process.
        accumulate: batches a step.
        processes: that share each step.
        pretrain: whether single frames train the backbone alone.
        labels: (videos.num_classes,) the experiment's own label of each class.
    """

    videos: MovingDigits
    steps: int
    batch_size: int
    accumulate: int = 1
    processes: Processes = Processes()  # noqa: RUF009, a tuple
    pretrain: bool = False
    labels: Tensor | None = None

    def batch(self, step: int, part: int, device: torch.device | str) -> VideoBatch:
        """One of the batches of step number `step` of this phase."""
        number = (step * self.accumulate + part) * self.processes.world + self.processes.rank
        first = number * self.batch_size
        indices = torch.arange(first, first + self.batch_size) % len(self.videos)
        batch = self.videos.batch(indices, device=device)
        if self.labels is None:
            return batch
        return batch._replace(label=self.labels.to(batch.label.device)[batch.label])


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

    def stretches(self) -> list[Stretch]:
        """What each phase is called, for people; the experiment's own videos come last."""
        lessons = sum(not phase.pretrain for phase in self.phases) - 1
        stretches: list[Stretch] = []
        for phase in self.phases:
            number = sum(stretch.name != "pre-training" for stretch in stretches) + 1
            name = f"lesson {number} of {lessons}" if number <= lessons else "training"
            videos = phase.batch_size * phase.accumulate * phase.processes.world
            frames = videos * phase.videos.num_frames
            stretches.append(
                Stretch("pre-training" if phase.pretrain else name, phase.steps, frames)
            )
        return stretches


def make_plan(
    data: VideoOptions,
    recipe: DigitRecipeOptions,
    digits: Digits,
    processes: Processes = Processes(),  # noqa: B008, a tuple
) -> Plan:
    """Pre-training on frames, lessons, then the experiment's own videos."""
    own = make_videos(data, digits, split="train")

    def phase(
        videos: MovingDigits, count: int, batch_size: int, *, pretrain: bool = False
    ) -> Phase:
        steps = count // (batch_size * recipe.accumulate * processes.world)
        labels = None if pretrain else _labels(videos, own)
        return Phase(videos, steps, batch_size, recipe.accumulate, processes, pretrain, labels)

    phases = []
    if recipe.pretrain_frames:
        short = make_videos(_changed(data, num_frames=FRAMES_A_VIDEO), digits, split="train")
        frames = recipe.pretrain_frames // FRAMES_A_VIDEO, recipe.pretrain_batch // FRAMES_A_VIDEO
        phases.append(phase(short, *frames, pretrain=True))
    for lesson in recipe.lessons:
        given = {k: v for k, v in asdict(lesson).items() if k != "videos" and v is not None}
        easier = make_videos(_changed(data, **given), digits, split="train")
        phases.append(phase(easier, lesson.videos, recipe.batch_size))
    return Plan([*phases, phase(own, recipe.videos, recipe.batch_size)])


FRAMES_A_VIDEO = 2  # a pre-training batch is made of such short videos


def _changed(data: VideoOptions, **given: float) -> VideoOptions:
    """The options with others in their place.

    Raises:
        ValueError: if the data set has no such option.
    """
    if unknown := [key for key in given if not hasattr(data, key)]:
        raise ValueError(f"lessons and pre-training: videos of {data.name} have no {unknown[0]}")
    return replace(data, **given)  # type: ignore[arg-type]


def _labels(videos: MovingDigits, own: MovingDigits) -> Tensor | None:
    """The label that each class of easier videos has in the experiment's own."""
    if videos.num_classes == own.num_classes:
        return None
    numbers = {own.class_name(label): label for label in range(own.num_classes)}
    return torch.tensor([numbers[videos.class_name(k)] for k in range(videos.num_classes)])
