"""What a model is and costs: parameters, operations, stages, time and memory on this machine."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from interlace.models.classifier import VideoClassifier, given
from interlace.models.insertion.interlaced import Interlaced
from interlace.models.insertion.levels import levels
from interlace.models.operations import count_operations
from interlace.models.registry import create_model, describe_model, input_channels, open_weights


def info(
    model: str,
    *,
    num_frames: int = 16,
    size: int = 224,
    batch: int = 1,
    num_classes: int = 174,
    repeats: int = 3,
) -> Iterator[str]:
    """Lines on a model, those that take time last.

    Args:
        model: a registered name, or a safetensors file with a card.
        num_frames: of a clip.
        size: pixels a side.
        batch: clips.
        num_classes: of the logits; a file knows its own.
        repeats: of the timing; the median counts.
    """
    for name, value in (("num_frames", num_frames), ("size", size), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    name = model
    if model.endswith(".safetensors"):
        network, card = open_weights(Path(model))
        name = str(card["model"])
        yield f"{model}: {name}"
    else:
        network = create_model(model, num_classes=num_classes)
        yield f"{name}: {describe_model(name)}"
    network.eval()
    shape = (batch, num_frames, _channels(name), size, size)
    yield ""
    yield f"  parameters  {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
    counted = count_operations(network, shape)
    yield (
        f"  operations  {_giga(counted.total)} G for {_text(shape)}: {_giga(counted.products)} G "
        f"multiply-adds, {_giga(counted.norms)} G of norms"
    )
    seconds = _time(network, shape, repeats)
    threads = torch.get_num_threads()
    yield (
        f"  time        {seconds:.3g} s a forward pass, {batch * num_frames / seconds:.3g} frames "
        f"a second (float32, {threads} CPU thread{'s' * (threads > 1)}, median of {repeats})"
    )
    weights = sum(value.nbytes for value in network.state_dict().values())
    yield (
        f"  memory      {_peak() / 2**20:,.0f} MiB at most in this process, "
        f"{weights / 2**20:,.0f} of them weights"
    )
    if isinstance(network.body, Interlaced):
        yield ""
        yield from _table(network.body)


def _table(body: Interlaced) -> Iterator[str]:
    """The levels, and what is in them, one thing a line."""
    rows = levels(body)
    wide = max(len("stage"), *(len(row.module) for row in rows))
    line = "  {:" + str(wide) + "}  {:>8}  {:>6}  {}"
    in_time = any(row.every > 1 for row in rows)
    yield line.format("stage", "channels", "stride", "with").rstrip()
    for row in rows:
        stride = f"{row.every} x {row.stride}" if in_time else str(row.stride)
        first, *more = row.graphs or ("",)
        yield line.format(row.module, row.channels, stride, first).rstrip()
        for graph in more:
            yield line.format("", "", "", graph)
    if in_time:
        yield "  stride: frames a map x pixels a cell"


@torch.inference_mode()
def _time(network: VideoClassifier, shape: tuple[int, ...], repeats: int) -> float:
    """Seconds of a forward pass, after one that does not count."""
    video = torch.rand(shape)
    boxes = torch.full((*shape[:2], 9, 4), 0.5) if network.needs_boxes else None
    took = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        network(video, **given(boxes))
        took.append(time.perf_counter() - start)
    return statistics.median(took[1:])


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _channels(name: str) -> int:
    try:
        return input_channels(name)
    except ValueError:  # a converted model has a name of its own
        return 3


def _giga(count: int) -> str:
    return f"{count / 1e9:.2f}" if count >= 1e9 else f"{count / 1e9:.2g}"


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
