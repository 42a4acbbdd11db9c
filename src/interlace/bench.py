"""How fast this machine makes videos, classifies them and learns from them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from interlace.data.digits import load_digits
from interlace.data.module import make_videos
from interlace.models.registry import create_model
from interlace.options import DataOptions, ModelOptions
from interlace.record import hardware


def bench(
    model: ModelOptions, data: DataOptions, *, batch_size: int, precision: str, repeats: int
) -> Iterator[str]:
    """Lines to read: videos a second of the data, of inference and of training steps."""
    for name, value in (("batch_size", batch_size), ("repeats", repeats)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    videos = make_videos(data, load_digits(data.digits, train=True), split="train")
    network = create_model(model.name, num_classes=videos.num_classes, weights=model.weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    batch = videos.batch(range(batch_size), device=device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)
    bf16 = precision == "bf16"

    def classify() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            return network(batch.video)

    def infer() -> None:
        with torch.no_grad():
            classify()

    def learn() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(classify().float(), batch.label).backward()
        optimizer.step()

    yield f"{hardware()}, {precision}, batches of {batch_size}, median of {repeats}"
    for name, call in (
        ("videos made", lambda: videos.batch(range(batch_size), device=device)),
        (f"{model.name} classifies", infer),
        (f"{model.name} learns", learn),
    ):
        seconds = _median(call, repeats, device)
        yield f"{name:40} {batch_size / seconds:10,.0f} videos/s"


def _median(call: Callable[[], object], repeats: int, device: str) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
