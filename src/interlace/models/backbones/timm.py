"""Any network of timm on each frame, by its name there: `timm/convnext_tiny`."""

from __future__ import annotations

from interlace.models.insertion.interlaced import Interlaced
from interlace.optional import optional
from interlace.registry import nearest

PREFIX = "timm/"


def timm_network(name: str) -> Interlaced:
    """A network of timm without its head, frame by frame: video -> vectors (B, T, C).

    Frames have the size that the network wants.

    Raises:
        ValueError: if timm has no such network.
    """
    timm = optional("timm", f"{PREFIX}...")
    if not timm.is_model(name):
        near = nearest(name, timm.list_models())
        hint = f"; did you mean {PREFIX + near!r}?" if near else ""
        raise ValueError(f"timm has no network {name!r}{hint}")
    network = timm.create_model(name, num_classes=0)
    channels = getattr(network, "head_hidden_size", network.num_features)
    return Interlaced(network, clips=False, out_channels=channels)
