"""Models for real videos: the papers' backbones, each alone and with graphs.

A name is a backbone and what is put into it: `tsm_r50`, `tsm_r50_dyreg_r3_4_5`. Stages are named as
in the papers: res2 to res5 are `layer1` to `layer4` of a ResNet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from interlace.graph.dynamic_regions import DynamicRegions, FullView, SaliencyNet
from interlace.graph.dyreg import DyReg
from interlace.graph.offsets import Offsets
from interlace.graph.time_stage import TimeStage
from interlace.models.backbones import Normalise
from interlace.models.classifier import VideoClassifier
from interlace.models.entry import Entry
from interlace.models.insert import insert
from interlace.models.interlaced import Interlaced
from interlace.models.resnet import resnet_trunk
from interlace.models.shift import add_shift

DROPOUT = 0.5  # before the head, as TSM trains

WIDTHS = {3: 128, 4: 256, 5: 192}  # of DyReg's graphs by stage; res5 so as Table 12 counts them


@dataclass(frozen=True)
class _Backbone:
    """A network without its head, and what it is."""

    build: Callable[[], Interlaced]
    about: str


# --- backbones ------------------------------------------------------------------------------------


def _c2d(depth: int) -> Interlaced:
    """A ResNet on each frame."""
    return Interlaced(resnet_trunk(depth), clips=False, out_channels=512 if depth < 50 else 2048)


def _tsm(depth: int, *, causal: bool = False) -> Interlaced:
    """Temporal shift: Lin et al. 2019."""
    return add_shift(resnet_trunk(depth), causal=causal)


# --- graphs ---------------------------------------------------------------------------------------


def _dyreg(stages: Sequence[int], network: Interlaced) -> Interlaced:
    """DyReg-GNN, section 4.1, where the released model has its graphs."""
    return insert(
        network,
        {_within(network.network, stage): partial(_dyreg_graph, stage=stage) for stage in stages},
    )


def _dyreg_graph(channels: int, *, stage: int) -> nn.Module:
    return DyReg(channels, width=WIDTHS[stage], regions=_dynamic(channels))


def _dynamic(channels: int) -> DynamicRegions:
    """Regions as the released model predicts them, from 6 x 6 cells and a memory of 128."""
    width, nodes = 128, 9
    saliency = SaliencyNet(channels, grid=14)
    return DynamicRegions(
        saliency,
        FullView(saliency.out_channels, nodes, width=width, grid=saliency.size),
        TimeStage(width, cell="gru"),
        Offsets(width, nodes=nodes),
    )


def _within(network: nn.Module, stage: int) -> str:
    """The second last block of a stage; of a bottleneck, its narrow middle."""
    blocks = network.get_submodule(f"layer{stage - 1}")
    name = f"layer{stage - 1}.{len(list(blocks.children())) - 2}"
    block = network.get_submodule(name)
    return f"{name}.conv2" if hasattr(block, "conv3") else name


# --- the table ------------------------------------------------------------------------------------

_BACKBONES = {
    **{
        f"c2d_r{depth}": _Backbone(partial(_c2d, depth), f"C2D, a ResNet-{depth} on each frame")
        for depth in (18, 34, 50, 101)
    },
    **{
        f"tsm_r{depth}": _Backbone(partial(_tsm, depth), f"TSM-ResNet-{depth}")
        for depth in (18, 34, 50, 101)
    },
    **{
        f"tsm_r{depth}_causal": _Backbone(
            partial(_tsm, depth, causal=True), f"TSM-ResNet-{depth} that streams"
        )
        for depth in (18, 50)
    },
}

_GRAPHS: dict[str, tuple[Callable[[Interlaced], Interlaced], str]] = {
    "": (lambda network: network, ""),
    "_dyreg": (partial(_dyreg, [4]), " + DyReg in res4"),
    "_dyreg_r3_4_5": (partial(_dyreg, [3, 4, 5]), " + DyReg in res3, res4 and res5"),
}


def _entries() -> Iterator[tuple[str, Entry]]:
    for backbone, network in _BACKBONES.items():
        for graph, (put, about) in _GRAPHS.items():
            build = partial(_build, network.build, put)
            yield backbone + graph, Entry(build, network.about + about, 3)


def _build(
    network: Callable[[], Interlaced],
    put: Callable[[Interlaced], Interlaced],
    num_classes: int,
) -> VideoClassifier:
    return VideoClassifier(Normalise(), put(network()), num_classes, dropout=DROPOUT)


MODELS = dict(_entries())
