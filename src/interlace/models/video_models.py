"""Models for real videos: the papers' backbones, each alone and with graphs.

A name is a backbone and what is put into it: `tsm_r50`, `tsm_r50_dyreg_r3_4_5`. Stages are named as
in the papers: res2 to res5 are `layer1` to `layer4` of a ResNet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from interlace.graph.block import GraphBlock
from interlace.graph.dyreg import DyReg, RegionKind
from interlace.graph.readout import ToEverywhere
from interlace.graph.regions.dynamic import DynamicRegions, FullView, SaliencyNet
from interlace.graph.regions.offsets import Offsets
from interlace.graph.rstg import RSTG
from interlace.graph.time_stage import TimeStage
from interlace.models.backbones.i3d import NON_LOCAL, i3d_trunk
from interlace.models.backbones.resnet import resnet_trunk
from interlace.models.backbones.shift import add_shift
from interlace.models.baselines import NonLocalBlock
from interlace.models.classifier import VideoClassifier
from interlace.models.insertion.insert import insert, over_video
from interlace.models.insertion.interlaced import Interlaced
from interlace.models.named import BACKBONES, MODELS, with_head

# Of DyReg's graphs by stage; the paper tells none. The released model has 256 in res5, too: with
# that, three fixed graphs would make 26.8 M parameters, and Table 12 has 26.1 M.
WIDTHS = {3: 128, 4: 256, 5: 192}


# --- backbones ------------------------------------------------------------------------------------


def _c2d(depth: int) -> Interlaced:
    return over_video(resnet_trunk(depth))


def _tsm(depth: int, *, causal: bool = False) -> Interlaced:
    """Temporal shift: Lin et al. 2019."""
    return add_shift(resnet_trunk(depth), causal=causal)


for _n in (18, 34, 50, 101):
    BACKBONES.register(f"c2d_r{_n}", f"ResNet-{_n} on each frame")(partial(_c2d, _n))
    BACKBONES.register(f"tsm_r{_n}", f"TSM-ResNet-{_n}")(partial(_tsm, _n))
for _n in (18, 50):
    BACKBONES.register(f"tsm_r{_n}_causal", f"TSM-ResNet-{_n} for streams")(
        partial(_tsm, _n, causal=True)
    )


@BACKBONES.register("i3d_r50", "I3D-ResNet-50")
def _i3d() -> Interlaced:
    """RSTG, appendix B: clips of 32 frames."""
    return over_video(i3d_trunk())


@BACKBONES.register("nl_i3d_r50", "non-local I3D-ResNet-50")
def _nl_i3d() -> Interlaced:
    """Non-local blocks as in Wang et al. 2018: half as wide inside as outside."""
    return insert(_i3d(), dict.fromkeys(NON_LOCAL, _non_local))


def _non_local(channels: int) -> NonLocalBlock:
    return NonLocalBlock(channels, blocks=1, inner=channels // 2)


# --- graphs ---------------------------------------------------------------------------------------

Put = Callable[[Interlaced], Interlaced]


def _rstg(*stages: int, everywhere: bool = False) -> Put:
    """RSTG-to-map after whole stages (RSTG, appendix B).

    Everywhere: RSTG-to-vec, of the last features, joined with their mean over space. A graph has a
    width of 512 on the 2048 channels of the papers' networks, on fewer in proportion.
    """

    def put(model: Interlaced) -> Interlaced:
        assert model.out_channels is not None
        graph = partial(_rstg_graph, model.out_channels // 4, everywhere)
        return insert(model, {f"layer{s - 1}": graph for s in stages})

    return put


def _rstg_graph(width: int, everywhere: bool, channels: int) -> GraphBlock:
    graph = RSTG(channels, width=width, scales=(4, 3, 2, 1))  # appendix B, table 1
    if everywhere:
        graph.readout = ToEverywhere()
    return graph


def _dyreg(kind: RegionKind, *stages: int) -> Put:
    """DyReg-GNN, section 4.1, where the released model has its graphs."""

    def put(model: Interlaced) -> Interlaced:
        network = model.network
        return insert(model, {_within(network, s): partial(_dyreg_graph, kind, s) for s in stages})

    return put


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


# --- graphs in backbones --------------------------------------------------------------------------

_DYREG: dict[str, tuple[Put, str]] = {
    "_dyreg": (_dyreg("dynamic", 4), "DyReg in res4"),
    "_dyreg_r3": (_dyreg("dynamic", 3), "DyReg in res3"),
    "_dyreg_r5": (_dyreg("dynamic", 5), "DyReg in res5"),
    "_dyreg_r3_4_5": (_dyreg("dynamic", 3, 4, 5), "DyReg in res3, res4 and res5"),
}
_FIXED, _GIVEN = "DyReg on a fixed grid", "DyReg on a detector's boxes"
_GRAPHS: dict[str, tuple[Put, str]] = {
    "_rstg": (_rstg(5, everywhere=True), "RSTG-to-vec"),
    "_rstg_res2": (_rstg(2), "RSTG after res2"),
    "_rstg_res3": (_rstg(3), "RSTG after res3"),
    "_rstg_res4": (_rstg(4), "RSTG after res4"),
    "_rstg_res3_4": (_rstg(3, 4), "RSTG after res3 and res4"),
    **_DYREG,
    "_fixed": (_dyreg("fixed", 4), f"{_FIXED} in res4"),
    "_fixed_r3_4_5": (_dyreg("fixed", 3, 4, 5), f"{_FIXED} in res3, res4 and res5"),
    "_detector": (_dyreg("given", 4), f"{_GIVEN} in res4"),
    "_detector_r3_4_5": (_dyreg("given", 3, 4, 5), f"{_GIVEN} in res3, res4 and res5"),
}


def _with_graph(backbone: str, put: Put, num_classes: int) -> VideoClassifier:
    return with_head(put(over_video(BACKBONES[backbone]())), num_classes)


for _backbone, _graphs in {
    **dict.fromkeys(("tsm_r18_causal", "tsm_r50_causal"), _DYREG),
    **dict.fromkeys(("c2d_r18", "c2d_r50", "tsm_r18", "tsm_r50", "i3d_r50", "nl_i3d_r50"), _GRAPHS),
}.items():
    for _name, (_put, _words) in _graphs.items():
        _about = f"{BACKBONES.about(_backbone)} + {_words}"
        MODELS.register(_backbone + _name, _about)(partial(_with_graph, _backbone, _put))
