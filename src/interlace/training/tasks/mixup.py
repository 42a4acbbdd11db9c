"""Two clips in one, and the labels of both: a way to learn from few (Zhang et al., 2018)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Mixed(NamedTuple):
    """Clips that others of their batch shine through.

    Args:
        video: (B, T, 3, S, S), floats in [0, 1].
        other: int64 (B), which one of the batch shines through.
        share: of the clip itself, from a half to 1.
    """

    video: Tensor
    other: Tensor
    share: float


def mixup(video: Tensor, alpha: float) -> Mixed:
    """Mixes each clip of a batch with another, by the random numbers of the step.

    video' = share video + (1 - share) video of the other, with share ~ Beta(alpha, alpha).

    Args:
        video: uint8 (B, T, 3, S, S).
        alpha: the larger, the more alike the shares are.
    """
    drawn = float(torch.distributions.Beta(alpha, alpha).sample())
    share = max(drawn, 1 - drawn)  # a pair is the same either way round
    other = torch.randperm(len(video)).to(video.device)
    mixed = torch.lerp(video / 255, video[other] / 255, 1 - share)  # channels last, as video is
    return Mixed(mixed, other, share)
