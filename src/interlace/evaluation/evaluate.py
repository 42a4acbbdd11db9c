"""Videos through a model: what it says of each, and how much of that is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from interlace.evaluation.evaluation import Evaluation, Tally, check_labels
from interlace.evaluation.region_metrics import RegionMeter
from interlace.models.classifier import given, traces_of

__all__ = ["Evaluation", "Labelled", "Said", "Tally", "check_labels", "classify", "evaluate"]


class Labelled(Protocol):
    """A batch of videos, such as `VideoBatch` and `Clip`.

    Attributes:
        video: (B, T, C, H, W), or several views of each, (B, V, T, C, H, W).
        label: int64 (B).
    """

    @property
    def video(self) -> Tensor: ...
    @property
    def label(self) -> Tensor: ...


class Said(NamedTuple):
    """What a model says of a batch.

    Attributes:
        scores: (B, num_classes), logarithms of the probabilities, which are averaged over views.
        trace: of the model, where that was asked for.
    """

    scores: Tensor
    trace: Any


Batch = TypeVar("Batch", bound=Labelled)


@torch.no_grad()
def classify(
    model: nn.Module, batches: Iterable[Batch], *, bf16: bool = False, return_trace: bool = False
) -> Iterator[tuple[Batch, Said]]:
    """Each batch, and what the model says of it.

    Args:
        model: video -> logits (B, num_classes); put in eval mode while this runs. It is told the
            boxes of a batch if it needs them.
        batches: of videos.
        bf16: whether to autocast to bfloat16.
        return_trace: whether to ask the model for its trace, as a `VideoClassifier` takes it.
    """
    device = _device(model)
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            views = batch.video.shape[1] if batch.video.dim() == 6 else 1
            video = batch.video.flatten(0, 1) if batch.video.dim() == 6 else batch.video
            boxes = getattr(batch, "boxes", None) if getattr(model, "needs_boxes", False) else None
            asked: dict[str, Any] = {"return_trace": True} if return_trace else {}
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                told = given(None if boxes is None else boxes.to(device))
                out = model(video.to(device, non_blocking=True), **asked, **told)
            logits, trace = out if return_trace else (out, None)
            logs = logits.float().log_softmax(1).unflatten(0, (-1, views))  # (B, V, num_classes)
            yield batch, Said(logs.logsumexp(1) - torch.tensor(views).log(), trace)
    finally:
        model.train(was_training)


def evaluate(
    model: nn.Module,
    batches: Iterable[Any],
    num_classes: int,
    *,
    bf16: bool = False,
    regions: bool = False,
    shared: bool = False,
) -> Evaluation:
    """Classifies every video once, on the model's device.

    Args:
        model: see `classify`.
        batches: `Labelled`; those of which regions are measured have boxes, (B, T, M, 4).
        num_classes: of the labels.
        bf16: whether to autocast to bfloat16.
        regions: whether to measure where the nodes look, too; the model must then take
            return_trace=True, as a `VideoClassifier` does.
        shared: whether the processes of a run see a share of the videos each; the result is then
            of all of them, but for regions.

    Raises:
        ValueError: if a label is out of range, or the model gives NaN.
    """
    tally, meter = Tally(num_classes, shared=shared).to(_device(model)), RegionMeter()
    for batch, said in classify(model, batches, bf16=bf16, return_trace=regions):
        tally.add(said.scores, batch.label)
        for trace in traces_of(said.trace).values() if regions and batch.boxes.numel() else ():
            meter.add(trace.boxes, batch.boxes.to(trace.boxes.device), trace.mass)
    return tally.result(meter.result() if meter.frames else None)


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
