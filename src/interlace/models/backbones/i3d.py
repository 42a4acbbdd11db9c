"""The papers' 3D networks: I3D-ResNet-50 for real videos, and a small one for digits."""

from __future__ import annotations

import torch
from torch import nn

from interlace.models.backbones.inflate import inflate
from interlace.models.backbones.resnet import Trunk, resnet_trunk

# extents in time of the first convolution of each block (Wang et al. 2018, table 1, "I3D 3x1x1")
EXTENTS = {
    "layer1": (3, 3, 3),
    "layer2": (3, 1, 3, 1),
    "layer3": (3, 1, 3, 1, 3, 1),
    "layer4": (1, 3, 1),
}

# after every other block of res3 and res4: five in all (Wang et al. 2018, section 4.1)
NON_LOCAL = ("layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5")


def i3d_trunk() -> Trunk:
    """A ResNet-50 inflated in time, without its head, under torchvision's names.

    RSTG, appendix B, table 1: no stride in time but in `pool2`, after res2, and none at all in
    res5. Clips (B, 3, T, H0, W0) -> (B, 2048, T / 2, H0 / 16, W0 / 16), rounded up.

    Example:
        >>> i3d_trunk().eval()(torch.zeros(1, 3, 4, 64, 64)).shape
        torch.Size([1, 2048, 2, 4, 4])
    """
    flat = resnet_trunk(50)
    first = flat.get_submodule("layer4.0")
    for name in ("conv2", "downsample.0"):
        first.get_submodule(name).stride = (1, 1)  # type: ignore[assignment]
    at = {"conv1": 5}
    for stage, extents in EXTENTS.items():
        at |= {f"{stage}.{k}.conv1": time for k, time in enumerate(extents)}
    inflate(flat, at=at)
    trunk = Trunk(flat.arch, flat.out_channels)
    trunk.per_frame = False
    for name, layer in flat.named_children():
        trunk.add_module(name, layer)
        if name == "layer1":
            trunk.add_module("pool2", nn.MaxPool3d((3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0)))
    return trunk


def small_i3d_trunk(in_channels: int = 1, *, base: int = 80, blocks: int = 2) -> nn.Sequential:
    """I3D from ResNet-50 with only res2, res3 and res5, two bottlenecks each, and fewer filters.

    RSTG, appendix D: about 10 M parameters. Clips (B, in_channels, T, H0, W0) ->
    (B, 1024, T, H0 / 16, W0 / 16), rounded up.

    Args:
        in_channels: of the video.
        base: filters of the first stage; 64 in ResNet-50.
        blocks: bottlenecks in each stage.
    """
    from torchvision.models.resnet import Bottleneck, ResNet

    resnet = ResNet(Bottleneck, [blocks, blocks, blocks, 1], width_per_group=base)
    resnet.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    trunk = nn.Sequential()
    trunk.add_module("stem", nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool))
    trunk.add_module("res2", resnet.layer1)
    trunk.add_module("res3", resnet.layer2)
    trunk.add_module("res5", resnet.layer3)
    return inflate(trunk).to(memory_format=torch.channels_last_3d)  # type: ignore[return-value]
