"""ResNet-18 on each frame, cut where a graph goes in; the trunk of any ResNet.

DyReg, section 4.2: a ResNet-18 with three stages, "where the graph receives the features from the
second stage and sends its output to the third". So there are two parts: `ResNet18` up to the cut,
`resnet18_stage` after it, joined again by `Staged`. Layers keep torchvision's names.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

DEPTHS = (18, 34, 50, 101, 152)

Layers = TypeVar("Layers", bound=nn.Sequential)


class ResNet18(nn.Module):
    """The stem and the first stages of a ResNet-18, on each frame.

    Stage s has 64 * 2^(s - 1) channels and a stride of 2^(s + 1): frames of 128 x 128 pixels give
    128 channels at 16 x 16 after stage 2.

    Args:
        in_channels: of the frames; 1 for digits.
        stages: how many of the four.

    Example:
        >>> backbone = ResNet18()
        >>> backbone(torch.zeros(1, 2, 1, 128, 128)).shape
        torch.Size([1, 2, 128, 16, 16])
    """

    per_frame = True

    def __init__(self, in_channels: int = 1, *, stages: int = 2):  # section 4.2
        super().__init__()
        _check_stage(stages)
        resnet = _resnet18()
        if in_channels != 3:
            resnet.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(resnet.conv1.weight, mode="fan_out", nonlinearity="relu")
        names = ["conv1", "bn1", "relu", "maxpool", *(f"layer{s}" for s in range(1, stages + 1))]
        self.layers = _named(resnet, names, nn.Sequential())
        self.seen_channels = self.out_channels = 64 * 2 ** (stages - 1)

    def see(self, video: Tensor) -> Tensor:
        """(B, T, in_channels, H0, W0) -> (B, T, C, H, W), at stage 2 (H0 / 8, W0 / 8) rounded up.

        Batch norms take the frames of all clips as one batch.
        """
        frames = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.layers(frames).unflatten(0, video.shape[:2])

    def locate(self, seen: Tensor) -> Tensor:
        """A ResNet has no second half."""
        return seen

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, in_channels, H0, W0) -> (B, T, C, H, W)."""
        return self.locate(self.see(video))


def resnet18_stage(stage: int) -> nn.Sequential:
    """One stage of a ResNet-18 over frames (M, C, H, W), under torchvision's name.

    Args:
        stage: 1 to 4; stage s takes what stage s - 1 gives, 64 * 2^(s - 2) channels (64 for s = 1),
            to 64 * 2^(s - 1) channels at half the size, rounded up (the same size for s = 1).

    Example:
        >>> resnet18_stage(3)(torch.zeros(2, 128, 16, 16)).shape
        torch.Size([2, 256, 8, 8])
    """
    _check_stage(stage)
    return _named(_resnet18(), [f"layer{stage}"], nn.Sequential())


class Trunk(nn.Sequential):
    """Layers over frames (M, 3, H0, W0), without a head.

    Args:
        arch: torchvision's name of the network they are of, for its ImageNet weights.
    """

    def __init__(self, arch: str):
        super().__init__()
        self.arch = arch


def resnet_trunk(depth: int) -> Trunk:
    """All of a ResNet but its pooling and head, under torchvision's names.

    Frames (M, 3, H0, W0) -> (M, C, H0 / 32, W0 / 32), rounded up; C is 512 for a ResNet-18 or 34,
    2048 for deeper ones.

    Args:
        depth: 18, 34, 50, 101 or 152.

    Example:
        >>> resnet_trunk(18).eval()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 512, 2, 2])
    """
    if depth not in DEPTHS:
        raise ValueError(f"a ResNet has {', '.join(map(str, DEPTHS))} layers, got {depth}")
    names = ["conv1", "bn1", "relu", "maxpool", *(f"layer{s}" for s in range(1, 5))]
    return _named(_resnet(depth), names, Trunk(f"resnet{depth}"))


def resnet50_trunk() -> Trunk:
    """Frames (M, 3, H0, W0) -> (M, 2048, H0 / 32, W0 / 32), rounded up; see `resnet_trunk`."""
    return resnet_trunk(50)


def _resnet18() -> Any:
    return _resnet(18)


def _resnet(depth: int) -> Any:
    try:
        from torchvision.models import resnet
    except ImportError as error:
        raise ImportError(
            f"ResNet-{depth} needs torchvision ({error}); run: pip install torchvision"
        ) from error
    return getattr(resnet, f"resnet{depth}")(weights=None)


def _named(resnet: nn.Module, names: list[str], layers: Layers) -> Layers:
    for name in names:
        layers.add_module(name, resnet.get_submodule(name))
    return layers.to(memory_format=torch.channels_last)


def _check_stage(stage: int) -> None:
    if stage not in range(1, 5):
        raise ValueError(f"a ResNet-18 has stages 1 to 4, got {stage}")
