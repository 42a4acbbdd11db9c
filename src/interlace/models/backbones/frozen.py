"""A backbone that learns no more, run as cheaply as it can be."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Frozen(nn.Module):
    """A copy of a backbone: no gradients, batch norms folded into convolutions, half precision.

    Args:
        backbone: video (B, T, C, H0, W0) in [0, 1] -> features (B, T, C', H, W); stays as it is.
        dtype: that it computes in.
        compiled: by torch.compile, which also joins ReLUs with convolutions; about twice as fast on
            a CPU. Takes half a minute at first, and needs a C++ compiler.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dtype: torch.dtype = torch.bfloat16,
        compiled: bool = False,
    ):
        super().__init__()
        self.dtype = dtype
        folded = fold(backbone).to(dtype)
        self.backbone = folded.requires_grad_(False)
        self.run = torch.compile(folded, options={"freezing": True}) if compiled else folded

    @torch.no_grad()
    def forward(self, video: Tensor) -> Tensor:
        """video (B, T, C, H0, W0), uint8 or floats in [0, 1] -> features of `dtype`."""
        scale = 1 if video.is_floating_point() else 255
        features: Tensor = self.run(video.to(self.dtype) / scale)
        return features


def fold(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, with batch norms that follow a convolution as a part of it."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for k in range(len(module) - 1):
            conv, norm = module[k], module[k + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[k], module[k + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network
