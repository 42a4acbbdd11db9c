"""Who learns how fast: three groups of weights, two optimisers, a cosine."""

from __future__ import annotations

import math

import torch
from torch import nn

from interlace.graph.block import region_weights
from interlace.models.classifier import VideoClassifier
from interlace.training.options import RecipeOptions


def make_optimizer(
    module: nn.Module,
    model: VideoClassifier,
    recipe: RecipeOptions,
    lr: float,
    *,
    betas: tuple[float, float],
    nesterov: bool,
) -> torch.optim.Optimizer:
    """Groups in this order: all others, the backbone, what predicts regions.

    Args:
        module: all that learns; what is frozen is left out.
        model: in it, has the backbone and the graphs.
        recipe: which optimiser.
        lr: its rate.
        betas: of AdamW.
        nesterov: whether SGD looks ahead.
    """
    backbone, regions = list(model.network.parameters()), region_weights(model)
    ids = {id(p) for p in [*backbone, *regions]}
    others = [p for p in module.parameters() if id(p) not in ids]
    groups = [
        {"params": [p for p in part if p.requires_grad]} for part in (others, backbone, regions)
    ]
    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr, momentum=0.9, nesterov=nesterov, weight_decay=decay)
    return torch.optim.AdamW(groups, lr, betas=betas, weight_decay=decay)


def warmup_steps(recipe: RecipeOptions, steps: int) -> int:
    """As the recipe says, or a twentieth of the run, at most 100."""
    return min(100, round(steps / 20)) if recipe.warmup is None else recipe.warmup


def cosine(step: int, steps: int, warmup: int) -> float:
    """A rate at a step, in units of its peak: a straight rise, and half a cosine down to 0.01.

    Args:
        step: from 0.
        steps: of the whole run.
        warmup: steps of the rise.

    Example:
        >>> [round(cosine(step, 100, 4), 2) for step in (0, 1, 3, 50, 100)]
        [0.25, 0.5, 1.0, 0.51, 0.01]
    """
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps)))))
