"""The levels of a network: where the size of its maps changes, and what was put into each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.models.insertion.interlaced import Interlaced
from interlace.models.insertion.layout import Layout, VideoSize
from interlace.models.insertion.probe import probe


@dataclass(frozen=True)
class Level:
    """Neighbouring modules whose maps have one size.

    Attributes:
        module: the last of them, by its name in the network.
        channels: C of its map.
        stride: pixels of the frame a cell, by rows.
        every: frames of the clip a map.
        graphs: what was put into it, such as "9 nodes, DynamicRegions, at layer3.4.conv2".
    """

    module: str
    channels: int
    stride: int
    every: int
    graphs: tuple[str, ...]


def levels(model: Interlaced) -> list[Level]:
    """The table of a network's levels.

    Example:
        >>> from interlace.models.registry import create_model
        >>> for level in levels(create_model("tsm_r18_dyreg").body)[1:4]:
        ...     print(level.module, level.channels, level.stride, *level.graphs)
        layer1 64 4 2 x TemporalShift
        layer2 128 8 2 x TemporalShift
        layer3 256 16 9 nodes, DynamicRegions, at layer3.0 2 x TemporalShift
    """
    network = model.network
    probed = probe(network, None, clips=model.clips)
    found = {name: _size(layout, out, probed.size) for name, layout, out in probed.maps()}
    shown = [name for name in _candidates(network) if name in found]
    names = [list(group)[-1] for _, group in groupby(shown, found.__getitem__)]
    inside = _inside(model, names, list(probed.seen))
    return [Level(name, *found[name], tuple(inside[name])) for name in names]


def _candidates(network: nn.Module) -> list[str]:
    """What timm names as the features of its networks; else all that stands at the root."""
    known = getattr(network, "feature_info", None)
    if isinstance(known, list) and known:
        return [level["module"] for level in known]
    return [name for name, _ in network.named_children()]


def _size(layout: Layout, out: Tensor, video: VideoSize) -> tuple[int, int, int]:
    """Channels, pixels a cell, frames a map."""
    _, frames, channels, height, _ = layout.to_maps(out, video).shape
    return channels, round(video.height / height), -(-video.frames // frames)


def _inside(model: Interlaced, names: list[str], order: list[str]) -> dict[str, list[str]]:
    """What was put where, by the level that it is in: the first that ends no earlier."""
    said: dict[str, list[str]] = {name: [] for name in names}
    counts: Counter[tuple[str, str]] = Counter()
    at = {name: k for k, name in enumerate(order)}  # a module comes before those in it
    ends = {name: max(k for n, k in at.items() if f"{n}.".startswith(f"{name}.")) for name in names}
    for (key, place), block in zip(model.places.items(), model.graphs.values(), strict=True):
        level = next((n for n in names if at[place.name] <= ends[n]), names[-1])
        if isinstance(block, GraphBlock):
            said[level].append(f"{_graph(block)}, at {key}")
        else:
            counts[level, type(block).__name__] += 1
    for (level, kind), count in counts.items():
        said[level].append(f"{count} x {kind}")
    return said


def _graph(block: GraphBlock) -> str:
    regions: Any = block.regions
    nodes = getattr(getattr(regions, "offsets", regions), "nodes", None)
    if scales := getattr(regions, "scales", None):
        nodes = sum(scale**2 for scale in scales)
    kind = type(regions).__name__
    return kind if nodes is None else f"{nodes} nodes, {kind}"
