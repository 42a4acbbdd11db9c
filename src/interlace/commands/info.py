"""What a model is and costs: parameters, operations, stages, time and memory on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from interlace.commands import at_least_one, say


def info(
    model: str,
    num_frames: int = 16,
    size: int = 224,
    batch: int = 1,
    num_classes: int = 174,
    repeats: int = 3,
) -> None:
    """Show what a model is and costs: parameters, operations, stages, time and memory.

    Args:
        model: a registered name, timm/<name>, or a safetensors file with a card.
        num_frames: of a clip.
        size: pixels a side.
        batch: clips.
        num_classes: of the logits; a file knows its own.
        repeats: of the timing; the median counts.
    """
    from resource import RUSAGE_SELF, getrusage

    import torch

    from interlace.commands.timing import median_seconds
    from interlace.models.classifier import given
    from interlace.models.insertion.interlaced import Interlaced
    from interlace.models.operations import count_operations
    from interlace.models.registry import create_model, describe_model, input_channels, open_weights

    at_least_one(num_frames=num_frames, size=size, batch=batch, repeats=repeats)
    if model.endswith(".safetensors"):
        network, card = open_weights(Path(model))
        about = card["model"]
        channels = 3 if "made_from" in card else input_channels(about)
    else:
        network = create_model(model, num_classes=num_classes)
        about, channels = describe_model(model), input_channels(model)
    network.eval()
    shape = (batch, num_frames, channels, size, size)
    say(f"{model}: {about}\n")
    say(f"  parameters  {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M")
    counted = count_operations(network, shape)
    say(
        f"  operations  {_giga(counted.total)} G for {' x '.join(map(str, shape))}: "
        f"{_giga(counted.products)} G multiply-adds, {_giga(counted.norms)} G of norms"
    )
    video = torch.rand(shape)
    boxes = torch.full((batch, num_frames, 9, 4), 0.5) if network.needs_boxes else None
    with torch.inference_mode():
        seconds = median_seconds(lambda: network(video, **given(boxes)), repeats)
    threads = torch.get_num_threads()
    say(
        f"  time        {seconds:.3g} s a forward pass, {batch * num_frames / seconds:.3g} frames "
        f"a second (float32, {threads} CPU thread{'s' * (threads > 1)}, median of {repeats})"
    )
    peak = getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    weights = sum(value.nbytes for value in network.state_dict().values())
    say(
        f"  memory      {peak / 2**20:,.0f} MiB at most in this process, "
        f"{weights / 2**20:,.0f} of them weights"
    )
    if isinstance(network.body, Interlaced):
        say("")
        _say_levels(network.body)


def _say_levels(body: Any) -> None:
    """The levels of a network, and what is in them, one thing a line."""
    from interlace.models.insertion.levels import levels

    rows = levels(body)
    wide = max(len("stage"), *(len(row.module) for row in rows))
    in_time = any(row.every > 1 for row in rows)
    cells = [("stage", "channels", "stride", "with")]
    for row in rows:
        stride = f"{row.every} x {row.stride}" if in_time else str(row.stride)
        first, *more = row.graphs or ("",)
        cells.append((row.module, str(row.channels), stride, first))
        cells += [("", "", "", graph) for graph in more]
    for stage, channels, stride, graph in cells:
        say(f"  {stage:{wide}}  {channels:>8}  {stride:>6}  {graph}".rstrip())
    if in_time:
        say("  stride: frames a map x pixels a cell")


def _giga(count: int) -> str:
    return f"{count / 1e9:.2f}" if count >= 1e9 else f"{count / 1e9:.2g}"
