"""How fast this machine makes videos, classifies them and learns from them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from interlace.data.digits.datasets import VideoOptions, load_split
from interlace.models.registry import create_model
from interlace.record import hardware
from interlace.training.options import ModelOptions


def bench(
    model: ModelOptions, data: VideoOptions, *, batch_size: int, precision: str, repeats: int
) -> Iterator[str]:
    """Lines to read: videos a second of the data, of inference and of training steps."""
    for name, value in (("batch_size", batch_size), ("repeats", repeats)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    videos = load_split(data, "train")
    network = create_model(model.name, num_classes=videos.num_classes, weights=model.weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    batch = videos.batch(range(batch_size), device=device)
    bf16 = precision == "bf16"
    learn = learning(network, device, bf16=bf16)

    def infer() -> None:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=bf16):
            network(batch.video)

    yield f"{hardware()}, {precision}, batches of {batch_size}, median of {repeats}"
    for name, call in (
        ("videos made", lambda: videos.batch(range(batch_size), device=device)),
        (f"{model.name} classifies", infer),
        (f"{model.name} learns", lambda: learn(batch.video, batch.label)),
    ):
        call()
        seconds = statistics.median(seconds_of(call, device) for _ in range(repeats))
        yield f"{name:40} {batch_size / seconds:10,.0f} videos/s"


def learning(
    network: nn.Module, device: str, *, bf16: bool
) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """A training step, video and label -> None; the weights stay as they are."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)

    def learn(video: torch.Tensor, label: torch.Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = network(video)
        nn.functional.cross_entropy(logits.float(), label).backward()
        optimizer.step()

    return learn


def seconds_of(call: Callable[[], object], device: str) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
