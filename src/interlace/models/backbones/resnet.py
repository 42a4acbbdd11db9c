"""ResNets without their heads, under torchvision's names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interlace.optional import optional

DEPTHS = (18, 34, 50, 101, 152)


class Trunk(nn.Sequential):
    """Layers over frames (M, C, H0, W0) or clips (B, C, T, H0, W0), without a head.

    One over frames can be pre-trained as a `FrameBackbone` is.

    Args:
        arch: torchvision's name of the network they are of, for its ImageNet weights.
        out_channels: of the last layer.
    """

    per_frame = True

    def __init__(self, arch: str, out_channels: int):
        super().__init__()
        self.arch = arch
        self.seen_channels = self.out_channels = out_channels

    def see(self, video: Tensor) -> Tensor:
        """(B, T, C, H0, W0) -> (B, T, out_channels, H, W), without what is put in."""
        return self(video.flatten(0, 1)).unflatten(0, video.shape[:2])

    def locate(self, seen: Tensor) -> Tensor:
        """The same."""
        return seen


def resnet_trunk(depth: int, *, stages: int = 4, in_channels: int = 3) -> Trunk:
    """A ResNet up to one of its stages, without pooling and head.

    Frames (M, in_channels, H0, W0) -> (M, C, H, W). Stage s has 64 * 2^(s - 1) channels, four times
    as many from a ResNet-50 on, and a stride of 2^(s + 1), rounded up.

    Args:
        depth: 18, 34, 50, 101 or 152 layers, if all stages are there.
        stages: how many of the four.
        in_channels: of the frames; 1 for digits.

    Example:
        >>> resnet_trunk(18).eval()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 512, 2, 2])
    """
    if depth not in DEPTHS:
        raise ValueError(f"a ResNet has {', '.join(map(str, DEPTHS))} layers, got {depth}")
    if stages not in range(1, 5):
        raise ValueError(f"a ResNet has stages 1 to 4, got {stages}")
    resnet = optional("torchvision.models.resnet", f"ResNet-{depth}")
    whole = getattr(resnet, f"resnet{depth}")(weights=None)
    if in_channels != 3:
        whole.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(whole.conv1.weight, mode="fan_out", nonlinearity="relu")
    trunk = Trunk(f"resnet{depth}", whole.fc.in_features >> (4 - stages))
    for name in ("conv1", "bn1", "relu", "maxpool", *(f"layer{s + 1}" for s in range(stages))):
        trunk.add_module(name, whole.get_submodule(name))
    return trunk.to(memory_format=torch.channels_last)
