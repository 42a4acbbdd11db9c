"""The learning rate over a run."""

from __future__ import annotations

import math


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
