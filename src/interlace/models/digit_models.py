"""Models for synthetic videos of digits, each stating only what differs from the defaults."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import nn

from interlace.graph.block import GraphBlock
from interlace.graph.dyreg import DyReg, RegionKind
from interlace.graph.regions.dynamic import DynamicRegions
from interlace.graph.rstg import RSTG, Schedule
from interlace.models.backbones.i3d import small_i3d_trunk
from interlace.models.backbones.resnet import resnet_trunk
from interlace.models.backbones.small import FrameCNN, StridedCNN
from interlace.models.baselines import (
    ConvLSTM,
    ConvLSTMBlock,
    MeanPool,
    MeanPoolLSTM,
    NonLocalBlock,
)
from interlace.models.classifier import VideoClassifier
from interlace.models.insertion.insert import insert, over_video
from interlace.models.insertion.interlaced import Interlaced
from interlace.models.named import MODELS

Size = Literal["paper", "small"]
Build = Callable[[Size, int], VideoClassifier]


def _register(name: str, about: str) -> Callable[[Build], Build]:
    """Registers `name` (paper size) and `name_small` from one function of the size."""

    def register(build: Build) -> Build:
        MODELS.register(name, about, channels=1)(partial(build, "paper"))
        MODELS.register(f"{name}_small", f"{about}, for CPUs", channels=1)(partial(build, "small"))
        return build

    return register


def _backbone(size: Size) -> FrameCNN | StridedCNN:
    return FrameCNN() if size == "paper" else StridedCNN()


def _small_eye(out_channels: int | None = None) -> StridedCNN:
    """Without coordinates: where something is, the regions must tell."""
    return StridedCNN(
        widths=(32, 64, 64), kernels=(5, 3, 3), strides=(2, 2, 1), out_channels=out_channels
    )


def _rstg(name: str, about: str, schedule: Schedule, **options: Any) -> None:
    @_register(name, f"RSTG, {about}")
    def build(size: Size, num_classes: int) -> VideoClassifier:
        backbone = _backbone(size)
        parts = {"schedule": schedule, **options}
        if size == "small":  # what learns fast from few videos
            parts.update(width=96)
            if parts["schedule"] != "time-only":
                parts.update(rounds=1, residual=True)
        graph = RSTG(backbone.out_channels, readout="vector", **parts)
        return VideoClassifier(backbone, graph, num_classes)


_rstg("rstg_space_only", "space stages and a mean over time", "space-only")
_rstg("rstg_time_only", "a time stage and no messages", "time-only")
_rstg("rstg_homogeneous", "space and time by the same messages", "homogeneous")
_rstg("rstg_1temp", "one time stage after all space stages", "1-temp")
_rstg("rstg_all_temp", "a time stage before each space stage", "all-temp")
_rstg("rstg_positional", "all-temp, messages that carry positions", "all-temp", positional=True)


@MODELS.register("rstg_demo", "RSTG for frames of 32 pixels: the model of `make demo`", channels=1)
def _demo(num_classes: int) -> VideoClassifier:
    backbone = _small_eye(out_channels=128)
    graph = RSTG(128, width=64, rounds=1, residual=True, positional=True, readout="vector")
    return VideoClassifier(backbone, graph, num_classes)


def _lstm(name: str, about: str, kind: type[MeanPoolLSTM] | type[ConvLSTM]) -> None:
    @_register(name, about)
    def build(size: Size, num_classes: int) -> VideoClassifier:
        backbone = _backbone(size)
        body = kind(backbone.out_channels, hidden=512 if size == "paper" else 256)
        return VideoClassifier(backbone, body, num_classes)


_lstm("mean_lstm", "mean pooling + LSTM", MeanPoolLSTM)
_lstm("conv_lstm", "ConvNet + LSTM", ConvLSTM)


def _i3d_body(size: Size) -> Interlaced:
    return over_video(small_i3d_trunk() if size == "paper" else small_i3d_trunk(base=16, blocks=1))


@_register("i3d", "small I3D")
def _i3d(size: Size, num_classes: int) -> VideoClassifier:
    return VideoClassifier(nn.Identity(), _i3d_body(size), num_classes)


@_register("nonlocal", "small I3D with a non-local block")
def _nonlocal(size: Size, num_classes: int) -> VideoClassifier:
    """RSTG, appendix D: "in the second residual stage"."""
    body = insert(_i3d_body(size), {"res3": partial(NonLocalBlock, blocks=1, inner=256)})
    return VideoClassifier(nn.Identity(), body, num_classes)


def _resnet18(block: Callable[[int], nn.Module] | None, num_classes: int) -> VideoClassifier:
    """DyReg-GNN, section 4.2: three stages, a block between the second and the third."""
    trunk = resnet_trunk(18, stages=3, in_channels=1)
    body = over_video(trunk) if block is None else insert(trunk, {"layer2": block})
    return VideoClassifier(nn.Identity(), body, num_classes)


def _dyreg(
    name: str,
    about: str,
    regions: RegionKind | Callable[[int], nn.Module] = "dynamic",
    nodes: int | None = None,
) -> None:
    def graph(channels: int, **options: Any) -> GraphBlock:
        where = regions if isinstance(regions, str) else regions(channels)
        return DyReg(channels, nodes=nodes, regions=where, **options)

    @_register(name, f"DyReg, {about}")
    def build(size: Size, num_classes: int) -> VideoClassifier:
        if size == "paper":
            return _resnet18(partial(graph, width=32), num_classes)
        body = graph(64, rounds=1, readout="vector")
        return VideoClassifier(_small_eye(), body, num_classes)


_dyreg("dyreg", "regions predicted for each frame")
_dyreg("dyreg_light", "the same with fewer weights", "light")
_dyreg("dyreg_constant", "regions predicted once a clip", "constant")
_dyreg("dyreg_static", "regions learned once for all", "static")
_dyreg("dyreg_fixed", "regions on a grid", "fixed")
_dyreg("dyreg_semantic", "attention maps instead of regions", "semantic")
_dyreg("dyreg_keypoints", "regions around keypoints", "keypoints")
_dyreg("dyreg_given", "boxes from outside", "given")

_without_memory = partial(DynamicRegions.of, memory=False)
_dyreg("dyreg_no_memory", "each frame's regions from that frame alone", _without_memory)
_centres = partial(DynamicRegions.of, learn_size=False)
_dyreg("dyreg_position_only", "only centres are predicted", _centres)
_dyreg("dyreg_bilinear", "centres only, bilinear interpolation", partial(_centres, size=0))
for _cells in (7, 8, 11):
    _dyreg(
        f"dyreg_size{_cells}",
        f"centres only, half extents of 1/{_cells} of the frame",
        partial(_centres, size=1 / _cells),
    )
for _nodes in (5, 16):
    _dyreg(f"dyreg_{_nodes}nodes", f"{_nodes} nodes", nodes=_nodes)


def _in_its_place(name: str, about: str, block: Callable[[int], nn.Module] | None) -> None:
    """What DyReg-GNN compares with (tables 6 and 7)."""

    @_register(name, about)
    def build(size: Size, num_classes: int) -> VideoClassifier:
        if size == "paper":
            return _resnet18(block, num_classes)
        body = (block or MeanPool)(64)
        return VideoClassifier(_small_eye(), body, num_classes)


_in_its_place("resnet18", "ResNet-18 with three stages, frame by frame", None)
_in_its_place("resnet18_conv_lstm", "ResNet-18 with a Conv-LSTM after stage 2", ConvLSTMBlock)
_in_its_place("resnet18_nonlocal", "ResNet-18 with non-local blocks after stage 2", NonLocalBlock)
