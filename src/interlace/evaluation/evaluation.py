"""What a model got right: the result of an evaluation, and the tally that it is the sum of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassStatScores

from interlace.evaluation.region_metrics import RegionMetrics


@dataclass(frozen=True)
class Evaluation:
    """What a model got right.

    Args:
        confusion: int64 (num_classes, num_classes): videos by true (row), predicted class (column).
        top5: fraction of videos whose class is among the five with the highest scores; None below
            six classes, of which five say little or nothing.
        loss: mean cross entropy, in nats.
        regions: how well the regions of its graph sit on the objects; None if that was not asked
            for, or there are no regions or no objects.
        scores: (videos, num_classes), the probability of each class, in the order of the videos.
        labels: int64 (videos), the true ones.
    """

    confusion: Tensor
    top5: float | None
    loss: float
    regions: RegionMetrics | None = None
    scores: Tensor = field(default_factory=lambda: torch.zeros(0, 0), repr=False)
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64), repr=False)

    @property
    def count(self) -> int:
        """Videos seen."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Fraction of videos whose class has the highest score."""
        return float(self.confusion.diagonal().sum()) / max(self.count, 1)

    @property
    def most_frequent(self) -> float:
        """Fraction of videos of the class that most of them have: what a guess gets right."""
        return float(self.confusion.sum(1).max()) / max(self.count, 1)

    @property
    def given(self) -> list[float]:
        """The probability that each video's class was given."""
        return self.scores.gather(1, self.labels[:, None])[:, 0].tolist()

    def per_class(self, names: Iterable[str]) -> dict[str, float | None]:
        """Fraction of each class's videos that were right; None where there was no such video."""
        seen, right = self.confusion.sum(1).tolist(), self.confusion.diagonal().tolist()
        return {n: r / s if s else None for n, s, r in zip(names, seen, right, strict=True)}

    def worst(self, count: int) -> list[int]:
        """The videos whose class was given the least probability, the least first."""
        given = self.given
        return sorted(range(len(given)), key=given.__getitem__)[:count]

    def as_dict(self, names: list[str]) -> dict[str, Any]:
        """For JSON; "top5" and "regions" are there if they were measured."""
        five = {} if self.top5 is None else {"top5": self.top5}
        measured = {} if self.regions is None else {"regions": self.regions.as_dict()}
        return {
            "top1": self.top1,
            **five,
            "loss": self.loss,
            "count": self.count,
            **measured,
            "per_class": self.per_class(names),
            "confusion": self.confusion.tolist(),
            "classes": names,
        }


class Tally(nn.Module):
    """Counts what a model got right, batch by batch, on the device it is moved to.

    Args:
        num_classes: of the labels.
        shared: whether the processes of a run add a share of the videos each, and the result is
            of all of them.
    """

    def __init__(self, num_classes: int, *, shared: bool = False):
        super().__init__()
        self.num_classes = num_classes
        options: dict[str, Any] = {"validate_args": False, "sync_on_compute": shared}
        self.confusion = MulticlassConfusionMatrix(num_classes, **options)
        self.five_best: MulticlassStatScores | None = None
        if num_classes > 5:
            self.five_best = MulticlassStatScores(num_classes, top_k=5, average="micro", **options)
        # A sum in float64, as a mean in float32 stands still after many videos.
        self.loss = SumMetric("disable", sync_on_compute=shared).set_dtype(torch.float64)
        self.scores: list[Tensor] = []
        self.labels: list[Tensor] = []

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Scores (B, num_classes), logarithms of probabilities, and labels (B).

        Raises:
            ValueError: a label is out of range, or the model gives NaN.
        """
        check_labels(labels, self.num_classes)
        if not bool(scores.isfinite().all()):
            raise ValueError(
                "the model's scores are not finite: look for NaN in the frames or the weights"
            )
        scores, labels = scores.to(self.loss.device), labels.to(self.loss.device)
        self.confusion.update(scores, labels)
        if self.five_best is not None:
            self.five_best.update(scores, labels)
        self.loss.update(nn.functional.nll_loss(scores, labels, reduction="sum"))
        self.scores.append(scores.exp().cpu())
        self.labels.append(labels.cpu())

    def result(self, regions: RegionMetrics | None = None) -> Evaluation:
        """Of all that was added; `scores` and `labels` are of this process alone."""
        square = self.num_classes, self.num_classes
        confusion = self.confusion.compute().cpu().reshape(square)  # of one class it is a number
        count, loss = int(confusion.sum()), float(self.loss.compute())
        if count == 0:
            raise ValueError("there are no videos to evaluate on")
        top5 = None if self.five_best is None else int(self.five_best.compute()[0]) / count
        scores, labels = torch.cat(self.scores), torch.cat(self.labels)
        return Evaluation(confusion, top5, loss / count, regions, scores, labels)


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raises ValueError, and names the label, if one is not in [0, num_classes)."""
    outside = (labels < 0) | (labels >= num_classes)
    if bool(outside.any()):
        raise ValueError(
            f"labels must be in [0, {num_classes}), got {int(labels[outside][0])}: the model has "
            "fewer classes than the data; build it with num_classes of the data set"
        )
