"""Models of digits whose nodes are bound to content, and what each of their parts brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from interlace.graph.dyreg import DyReg
from interlace.graph.motion import Motion, RelativeMotion
from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.objects import ObjectRegions
from interlace.graph.regions.simple import GivenRegions
from interlace.graph.rstg import RSTG
from interlace.graph.space_stage import DotGather
from interlace.models.backbones.small import ResidualCNN
from interlace.models.classifier import VideoClassifier
from interlace.models.named import MODELS

WIDTH = 96  # of nodes
SMALL_STEPS = 30.0  # makes a usual step of MultiSyncMNIST about 1, as 10 does in SyncMNIST

Where = Callable[[int], nn.Module | None]


def grid(channels: int) -> None:
    """RSTG's own regions."""


def _rstg(name: str, about: str, where: Where, **options: Any) -> None:
    """RSTG with all that makes it learn fast, but for what the options say."""

    @MODELS.register(name, f"RSTG, {about}", channels=1)
    def build(num_classes: int) -> VideoClassifier:
        return _classifier(num_classes, lambda channels: _graph(channels, where(channels), options))


def _graph(channels: int, regions: nn.Module | None, options: dict[str, Any]) -> nn.Module:
    parts: dict[str, Any] = {
        "scale": 10.0,
        "motion": True,
        "relative_motion": True,
        "biased": True,
        "scaled": True,
        "heads": 4,
        "schedule": "all-temp",
        "time": "add",
        "first_weights": "he",
        **options,
    }
    units = _units(parts.pop("scale"))
    related = RelativeMotion(**units)
    messages = parts["schedule"] != "time-only"
    told = messages and parts["relative_motion"]
    biased, scaled, heads = (parts.pop(name) for name in ("biased", "scaled", "heads"))
    if messages:
        pairs = related.out_channels if told and biased else 0
        parts["gather"] = DotGather(WIDTH, heads=heads, scaled=scaled, relations=pairs)
        parts |= {"rounds": 1, "residual": True}
    parts["motion"] = Motion(WIDTH, **units) if parts["motion"] else False
    parts["relative_motion"] = related if told else False
    return RSTG(channels, width=WIDTH, regions=regions, readout="vector", **parts)


def _units(scale: float) -> dict[str, Any]:
    """Of motion: longer steps than 2.5 scaled ones are cut."""
    return {"scale": scale, "reach": 2.5 / scale}


def _classifier(num_classes: int, graph: Callable[[int], nn.Module]) -> VideoClassifier:
    backbone = ResidualCNN()
    neck = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True))
    return VideoClassifier(backbone, graph(backbone.out_channels), num_classes, neck=neck)


def silent_boxes(channels: int) -> nn.Module:
    """Boxes from outside, one a node; nodes without one are silent."""
    return GivenRegions(16, silent=True)


_rstg("rstg_content", "a node for each kind of content", ContentRegions)
_rstg("rstg_objects", "nodes that follow objects", ObjectRegions, scale=SMALL_STEPS)
_rstg("rstg_objects_given", "nodes that are told boxes", silent_boxes, scale=SMALL_STEPS)


@MODELS.register("dyreg_objects", "DyReg, nodes that follow objects", channels=1)
def _dyreg_objects(num_classes: int) -> VideoClassifier:
    units = _units(SMALL_STEPS)

    def graph(channels: int) -> nn.Module:
        return DyReg(
            channels,
            width=WIDTH,
            rounds=1,
            regions=ObjectRegions(channels),
            motion=Motion(WIDTH, **units),
            relative_motion=RelativeMotion(**units),
            time="add",
            first_weights="he",
            readout="vector",
        )

    return _classifier(num_classes, graph)


# the schedules of RSTG's table 1
_rstg(
    "rstg_content_space_only",
    "content, a mean over time",
    ContentRegions,
    schedule="space-only",
    time="replace",  # a mean has nothing to add to
)
_rstg("rstg_content_time_only", "content, no messages", ContentRegions, schedule="time-only")
_rstg("rstg_content_1temp", "content, one time stage after all", ContentRegions, schedule="1-temp")
_rstg(
    "rstg_content_positional", "content, messages carry positions", ContentRegions, positional=True
)

# what each part of `rstg_content` brings: the same without it, or with another value
_STILL: dict[str, Any] = {"motion": False, "relative_motion": False}
_rstg("rstg_content_no_motion", "content, no motion at all", ContentRegions, **_STILL)
_rstg("rstg_content_own", "content, own motion alone", ContentRegions, relative_motion=False)
_rstg("rstg_content_relative", "content, relative motion alone", ContentRegions, motion=False)
_rstg("rstg_content_unbiased", "content, attention by nodes alone", ContentRegions, biased=False)
for _scale in (1, 3, 30):
    _about = f"content, steps times {_scale}"
    _rstg(f"rstg_content_motion{_scale}", _about, ContentRegions, scale=_scale)
_rstg("rstg_content_replace", "content, time stages replace", ContentRegions, time="replace")
_rstg("rstg_content_torch", "content, torch's weights", ContentRegions, first_weights="torch")
_rstg("rstg_content_unscaled", "content, the paper's dot product", ContentRegions, scaled=False)
_rstg("rstg_grid_motion", "grids, and all else", grid)
_rstg("rstg_grid_sharp", "grids with sharp places, and all else", grid, sharp=True)

# the paper's own, over the same features
_PLAIN: dict[str, Any] = {**_STILL, "time": "replace", "first_weights": "torch"}
_PLAIN |= {"scaled": False, "heads": 1}
for _schedule in ("all-temp", "1-temp", "space-only", "time-only", "homogeneous"):
    _name = _schedule.replace("1-temp", "1temp").replace("-", "_")
    _rstg(f"rstg_grid_{_name}", f"grids, {_schedule}", grid, schedule=_schedule, **_PLAIN)
_rstg("rstg_grid_positional", "grids, all-temp with positions", grid, positional=True, **_PLAIN)
