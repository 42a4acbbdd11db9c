"""Video files through a model, all views of each: what it got right, and what it said of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from interlace.data.clips.dataset import Clip, TestViews
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.order import in_turn
from interlace.evaluation.evaluate import Evaluation, Tally, check_labels


@dataclass(frozen=True)
class ClipScores:
    """What a model said of each video of a list.

    Args:
        result: how much of it was right.
        scores: float32 (clips, num_classes), probabilities averaged over views.
        labels: int64 (clips), the true ones.
    """

    result: Evaluation
    scores: Tensor
    labels: Tensor

    def worst(self, count: int) -> list[int]:
        """The clips whose true class was given the least probability, the least first."""
        given = self.scores.gather(1, self.labels[:, None])[:, 0]
        return given.argsort(stable=True)[:count].tolist()


def evaluate_clips(
    model: nn.Module,
    views: TestViews,
    *,
    batch_size: int = 8,
    workers: int = 0,
    bf16: bool = False,
) -> ClipScores:
    """Classifies every video once, on the model's device.

    Args:
        model: video (B, T, 3, H, W) -> logits; put in eval mode while this runs.
        views: of the videos.
        batch_size: videos at once, with all their views.
        workers: processes that read.
        bf16: whether to autocast to bfloat16.

    Raises:
        VideoError: a video cannot be read.
        ValueError: a label is out of range, or the model gives NaN.
    """
    loader = clip_loader(views, in_turn(len(views), batch_size), num_workers=workers)
    classes = len(views.clips.classes)
    scores, labels = [], []
    tally = Tally(classes)
    for clip, logs in classify(model, loader, bf16=bf16):
        check_labels(clip.label, classes)
        tally.add(logs, clip.label)
        scores.append(logs.exp().cpu())
        labels.append(clip.label.cpu())
    return ClipScores(tally.result(), torch.cat(scores), torch.cat(labels))


@torch.no_grad()
def classify(
    model: nn.Module, loader: DataLoader[Clip], *, bf16: bool
) -> Iterator[tuple[Clip, Tensor]]:
    """Each batch, and the logarithms of its mean probabilities, (B, num_classes)."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        for clip in loader:
            count = clip.video.shape[1]
            shown = clip.video.flatten(0, 1).to(device, non_blocking=True)  # (B * V, T, 3, S, S)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits = model(shown)
            views = logits.float().log_softmax(1).unflatten(0, (-1, count))  # (B, V, num_classes)
            yield clip, views.logsumexp(1) - torch.tensor(count).log()
    finally:
        model.train(was_training)
