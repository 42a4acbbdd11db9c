"""Top-1, top-5, per class and confusion of a model on videos, and its regions; one JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interlace.data.digits.syncmnist import VideoBatch
from interlace.evaluation.region_metrics import RegionMeter, RegionMetrics
from interlace.models.classifier import given, traces_of


@dataclass(frozen=True)
class Evaluation:
    """What a model got right.

    Args:
        confusion: int64 (num_classes, num_classes): videos by true (row), predicted class (column).
        top5: fraction of videos whose class is among the five with the highest scores.
        loss: mean cross entropy, in nats.
        regions: how well the regions of its graph sit on the objects; None if that was not asked
            for, or there are no regions or no objects.
    """

    confusion: Tensor
    top5: float
    loss: float
    regions: RegionMetrics | None = None

    @property
    def count(self) -> int:
        """Videos seen."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Fraction of videos whose class has the highest score."""
        return float(self.confusion.diagonal().sum()) / max(self.count, 1)

    def per_class(self, names: Iterable[str]) -> dict[str, float | None]:
        """Fraction of each class's videos that were right; None where there was no such video."""
        seen, right = self.confusion.sum(1).tolist(), self.confusion.diagonal().tolist()
        return {n: r / s if s else None for n, s, r in zip(names, seen, right, strict=True)}

    def as_dict(self, names: list[str]) -> dict[str, Any]:
        """For JSON; "regions" is there if they were measured."""
        measured = {} if self.regions is None else {"regions": self.regions.as_dict()}
        return {
            "top1": self.top1,
            "top5": self.top5,
            "loss": self.loss,
            "count": self.count,
            **measured,
            "per_class": self.per_class(names),
            "confusion": self.confusion.tolist(),
            "classes": names,
        }


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[VideoBatch],
    num_classes: int,
    *,
    bf16: bool = False,
    regions: bool = False,
) -> Evaluation:
    """Classifies every video once.

    Args:
        model: video -> logits (B, num_classes), on the device of the batches; put in eval mode
            while this runs.
        batches: videos with labels.
        num_classes: of the labels.
        bf16: whether to autocast to bfloat16.
        regions: whether to measure where the nodes look, too; the model must then take
            return_trace=True, as a `VideoClassifier` does.

    Raises:
        ValueError: if a label is out of range, or the model gives NaN.
    """
    tally, meter = Tally(num_classes), RegionMeter()
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            check_labels(batch.label, num_classes)
            with torch.autocast(batch.video.device.type, torch.bfloat16, enabled=bf16):
                boxes = given(batch.boxes if getattr(model, "needs_boxes", False) else None)
                if regions:
                    logits, trace = model(batch.video, return_trace=True, **boxes)
                else:
                    logits, trace = model(batch.video, **boxes), None
            tally.add(logits.float().log_softmax(1), batch.label)
            for one in traces_of(trace).values() if batch.boxes.numel() > 0 else ():
                meter.add(one.boxes, batch.boxes)
    finally:
        model.train(was_training)
    return tally.result(meter.result() if meter.frames else None)


class Tally:
    """Counts what a model got right, batch by batch.

    Args:
        num_classes: of the labels.

    Attributes:
        counts: float64 (num_classes^2 + 2), the confusion matrix, row by row, then the number of
            videos whose class is among the five best, and the sum of losses; those of several
            processes may be added.
    """

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.counts = torch.zeros(num_classes**2 + 2, dtype=torch.float64)

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Scores (B, num_classes), logarithms of probabilities, and labels (B)."""
        if not bool(scores.isfinite().all()):
            raise ValueError(
                "the model's scores are not finite: look for NaN in the frames or the weights"
            )
        scores, labels = scores.cpu(), labels.cpu()
        best = scores.topk(min(5, self.num_classes), dim=1).indices
        cells = torch.bincount(
            labels * self.num_classes + best[:, 0], minlength=self.num_classes**2
        )
        self.counts[:-2] += cells
        self.counts[-2] += int((best == labels[:, None]).any(1).sum())
        self.counts[-1] += float(nn.functional.nll_loss(scores, labels, reduction="sum"))

    def result(self, regions: RegionMetrics | None = None) -> Evaluation:
        """Of all that was added."""
        count = int(self.counts[:-2].sum())
        if count == 0:
            raise ValueError("there are no videos to evaluate on")
        confusion = self.counts[:-2].long().unflatten(0, (self.num_classes, self.num_classes))
        top5, loss = (float(value) / count for value in self.counts[-2:])
        return Evaluation(confusion, top5, loss, regions)


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raises ValueError, and names the label, if one is not in [0, num_classes)."""
    outside = (labels < 0) | (labels >= num_classes)
    if bool(outside.any()):
        raise ValueError(
            f"labels must be in [0, {num_classes}), got {int(labels[outside][0])}: the model has "
            "fewer classes than the data; build it with num_classes of the data set"
        )
