"""A backbone of your own: a model by itself, with graphs in it, with weights from a file.

From the folder of this file, `interlace info own_backbone:patches` works, too; takes seconds.

python examples/own_backbone.py
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import interlace
from interlace.models.backbones.weights import load_backbone
from interlace.models.registry import BACKBONES


@BACKBONES.register("patches", "patches of 8 x 8 pixels, and two layers on each")
def patches() -> nn.Module:
    """Frames (M, 3, H, W) -> features (M, 48, H / 8, W / 8)."""
    return nn.Sequential(nn.Conv2d(3, 48, 8, stride=8), nn.GELU(), nn.Conv2d(48, 48, 1))


def main(folder: str) -> Tensor:
    """Logits of a model with this backbone, its weights, and a graph in it."""
    pretrained = Path(folder) / "patches.pth"
    torch.save(patches().state_dict(), pretrained)  # wherever yours come from

    model = interlace.create_model("own_backbone:patches", num_classes=5).eval()
    print("\n".join(load_backbone(model, pretrained).lines()))
    interlace.insert(model, {"1": partial(interlace.RSTG, width=32)})
    video = torch.rand(1, 8, 3, 64, 64)  # (B, T, 3, H, W) in [0, 1]; normalised inside
    logits, traces = model(video, return_trace=True)
    print(f"logits {tuple(logits.shape)}, graphs at {', '.join(traces)}")
    return logits


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        main(folder)
