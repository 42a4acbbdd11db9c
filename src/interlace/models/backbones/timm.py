"""Any network of timm on each frame, by its name there: `timm/convnext_tiny`."""

from __future__ import annotations

import difflib
from functools import partial
from typing import Any

from interlace.models.backbones.small import Normalise
from interlace.models.classifier import VideoClassifier
from interlace.models.entry import Entry
from interlace.models.insertion.interlaced import Interlaced

PREFIX = "timm/"


def timm_entry(name: str) -> Entry:
    """What the registry gives for `timm/<name>`: the network frame by frame, and a new head.

    Frames have the size that the network wants. Graphs go into `model.body` by `insert`.

    Raises:
        ValueError: if timm has no such network.
    """
    timm = _timm()
    wanted = name.removeprefix(PREFIX)
    if not timm.is_model(wanted):
        near = difflib.get_close_matches(wanted, timm.list_models(), n=1)
        hint = f"; did you mean {PREFIX + near[0]!r}?" if near else ""
        raise ValueError(f"timm has no network {wanted!r}{hint}")
    return Entry(partial(_build, wanted), f"timm's {wanted} on each frame", 3)


def _build(name: str, num_classes: int) -> VideoClassifier:
    network = _timm().create_model(name, num_classes=0)  # frames (M, 3, H, W) -> vectors (M, C)
    channels = getattr(network, "head_hidden_size", network.num_features)
    body = Interlaced(network, clips=False, out_channels=channels)
    config = network.pretrained_cfg
    frames = Normalise(config["mean"], config["std"])
    return VideoClassifier(frames, body, num_classes, dropout=0.5)


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise ImportError(f"{PREFIX}... needs timm ({error}); run: pip install timm") from error
    return timm
