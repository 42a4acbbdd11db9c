"""Models for real videos: the papers' backbones, each alone and with graphs.

A name is a backbone and what is put into it: `tsm_r50`, `tsm_r50_dyreg_r3_4_5`. Stages are named as
in the papers: res2 to res5 are `layer1` to `layer4` of a ResNet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import nn

from interlace.graph.block import GraphBlock
from interlace.graph.dyreg import DyReg, RegionKind
from interlace.graph.regions.dynamic import DynamicRegions, FullView, SaliencyNet
from interlace.graph.regions.offsets import Offsets
from interlace.graph.rstg import RSTG
from interlace.graph.time_stage import TimeStage
from interlace.models.backbones.i3d import NON_LOCAL, i3d_trunk
from interlace.models.backbones.resnet import resnet_trunk
from interlace.models.backbones.shift import add_shift
from interlace.models.backbones.small import Normalise
from interlace.models.classifier import VideoClassifier
from interlace.models.drop_in import NonLocalBlock
from interlace.models.entry import Entry
from interlace.models.everywhere import ToEverywhere
from interlace.models.insertion.insert import insert
from interlace.models.insertion.interlaced import Interlaced

DROPOUT = 0.5  # before the head, as TSM trains

# Of DyReg's graphs by stage; the paper tells none. The released model has 256 in res5, too: with
# that, three fixed graphs would make 26.8 M parameters, and Table 12 has 26.1 M.
WIDTHS = {3: 128, 4: 256, 5: 192}


# --- backbones ------------------------------------------------------------------------------------


def _c2d(depth: int) -> Interlaced:
    """A ResNet on each frame."""
    return Interlaced(resnet_trunk(depth), clips=False, out_channels=512 if depth < 50 else 2048)


def _tsm(depth: int, *, causal: bool = False) -> Interlaced:
    """Temporal shift: Lin et al. 2019."""
    return add_shift(resnet_trunk(depth), causal=causal)


def _i3d() -> Interlaced:
    """RSTG, appendix B: clips of 32 frames."""
    return Interlaced(i3d_trunk(), clips=True, out_channels=2048)


def _nl_i3d() -> Interlaced:
    """Non-local blocks as in Wang et al. 2018: half as wide inside as outside."""
    return insert(_i3d(), dict.fromkeys(NON_LOCAL, _non_local))


def _non_local(channels: int) -> NonLocalBlock:
    return NonLocalBlock(channels, blocks=1, inner=channels // 2)


# --- graphs ---------------------------------------------------------------------------------------


def _rstg(stages: Sequence[int], model: Interlaced) -> Interlaced:
    """RSTG-to-map after whole stages (RSTG, appendix B)."""
    return insert(model, {f"layer{s - 1}": partial(_rstg_graph, _wide(model)) for s in stages})


def _rstg_vec(model: Interlaced) -> Interlaced:
    """RSTG-to-vec: of the last features, joined with their mean over space."""
    return insert(model, {"layer4": partial(_rstg_graph, _wide(model), everywhere=True)})


def _rstg_graph(width: int, channels: int, *, everywhere: bool = False) -> GraphBlock:
    graph = RSTG(channels, width=width, scales=(4, 3, 2, 1))  # appendix B, table 1
    if everywhere:
        graph.readout = ToEverywhere()
    return graph


def _wide(model: Interlaced) -> int:
    """Width of RSTG: 512 on the 2048 channels of the papers' networks, on fewer in proportion."""
    assert model.out_channels is not None
    return model.out_channels // 4


def _dyreg(kind: RegionKind, stages: Sequence[int], model: Interlaced) -> Interlaced:
    """DyReg-GNN, section 4.1, where the released model has its graphs."""
    network = model.network
    return insert(model, {_within(network, s): partial(_dyreg_graph, kind, s) for s in stages})


def _dyreg_graph(kind: RegionKind, stage: int, channels: int) -> GraphBlock:
    regions = _dynamic(channels) if kind == "dynamic" else kind
    return DyReg(channels, width=WIDTHS[stage], regions=regions)


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
    """The second last block of a stage; of a bottleneck, its narrow middle before the norm."""
    blocks = network.get_submodule(f"layer{stage - 1}")
    name = f"layer{stage - 1}.{len(list(blocks.children())) - 2}"
    block = network.get_submodule(name)
    return f"{name}.conv2" if hasattr(block, "conv3") else name


# --- the table ------------------------------------------------------------------------------------

Build = Callable[[], Interlaced]
Put = Callable[[Interlaced], Interlaced]
Backbones = dict[str, tuple[Build, str]]
Graphs = dict[str, tuple[Put, str]]

_ALONE: Backbones = {
    "c2d_r34": (partial(_c2d, 34), "ResNet-34 on each frame"),
    "c2d_r101": (partial(_c2d, 101), "ResNet-101 on each frame"),
    "tsm_r34": (partial(_tsm, 34), "TSM-ResNet-34"),
    "tsm_r101": (partial(_tsm, 101), "TSM-ResNet-101"),
}
_STREAMING: Backbones = {
    "tsm_r18_causal": (partial(_tsm, 18, causal=True), "TSM-ResNet-18 for streams"),
    "tsm_r50_causal": (partial(_tsm, 50, causal=True), "TSM-ResNet-50 for streams"),
}
_WITH_GRAPHS: Backbones = {
    "c2d_r18": (partial(_c2d, 18), "ResNet-18 on each frame"),
    "c2d_r50": (partial(_c2d, 50), "ResNet-50 on each frame"),
    "tsm_r18": (partial(_tsm, 18), "TSM-ResNet-18"),
    "tsm_r50": (partial(_tsm, 50), "TSM-ResNet-50"),
    "i3d_r50": (_i3d, "I3D-ResNet-50"),
    "nl_i3d_r50": (_nl_i3d, "non-local I3D-ResNet-50"),
}

_DYREG: Graphs = {
    "_dyreg": (partial(_dyreg, "dynamic", [4]), "DyReg in res4"),
    "_dyreg_r3": (partial(_dyreg, "dynamic", [3]), "DyReg in res3"),
    "_dyreg_r5": (partial(_dyreg, "dynamic", [5]), "DyReg in res5"),
    "_dyreg_r3_4_5": (partial(_dyreg, "dynamic", [3, 4, 5]), "DyReg in res3, res4 and res5"),
}
_GRAPHS: Graphs = {
    "_rstg": (_rstg_vec, "RSTG-to-vec"),
    "_rstg_res2": (partial(_rstg, [2]), "RSTG after res2"),
    "_rstg_res3": (partial(_rstg, [3]), "RSTG after res3"),
    "_rstg_res4": (partial(_rstg, [4]), "RSTG after res4"),
    "_rstg_res3_4": (partial(_rstg, [3, 4]), "RSTG after res3 and res4"),
    **_DYREG,
    "_fixed": (partial(_dyreg, "fixed", [4]), "DyReg on a fixed grid in res4"),
    "_fixed_r3_4_5": (
        partial(_dyreg, "fixed", [3, 4, 5]),
        "DyReg on a fixed grid in res3, res4 and res5",
    ),
    "_detector": (partial(_dyreg, "given", [4]), "DyReg on a detector's boxes in res4"),
    "_detector_r3_4_5": (
        partial(_dyreg, "given", [3, 4, 5]),
        "DyReg on a detector's boxes in res3, res4 and res5",
    ),
}


def _entries() -> Iterator[tuple[str, Entry]]:
    rows: list[tuple[Backbones, Graphs]]
    rows = [(_ALONE, {}), (_STREAMING, _DYREG), (_WITH_GRAPHS, _GRAPHS)]
    for backbones, graphs in rows:
        for name, (build, about) in backbones.items():
            yield name, Entry(partial(_build, build, None), about, 3)
            for graph, (put, more) in graphs.items():
                yield name + graph, Entry(partial(_build, build, put), f"{about} + {more}", 3)


def _build(network: Build, put: Put | None, num_classes: int) -> VideoClassifier:
    body = network() if put is None else put(network())
    return VideoClassifier(Normalise(), body, num_classes, dropout=DROPOUT)


MODELS = dict(_entries())
