"""How long a call takes, and a training step to call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn


def learning(network: nn.Module, device: str, *, bf16: bool) -> Callable[[Tensor, Tensor], None]:
    """A training step, video and label -> None; the weights stay as they are."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)

    def learn(video: Tensor, label: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = network(video)
        nn.functional.cross_entropy(logits.float(), label).backward()
        optimizer.step()

    return learn


def median_seconds(call: Callable[[], object], repeats: int, device: str = "cpu") -> float:
    """What a call takes: the median of several, after one that does not count."""
    call()
    return statistics.median(seconds_of(call, device) for _ in range(repeats))


def seconds_of(call: Callable[[], object], device: str) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
