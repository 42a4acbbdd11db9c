"""3D networks: a 2D network inflated in time (I3D), and the non-local block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def inflate(
    network: nn.Module, *, frames: int = 3, at: Mapping[str, int] | None = None
) -> nn.Module:
    """Makes a 2D network 3D: kernels of 3 x 3 and more get `frames` in time, weights / frames.

    A video of equal frames gives the 2D network's result wherever the kernel does not cross the
    ends. I3D, Carreira and Zisserman 2017; no stride in time.

    Args:
        network: of 2D convolutions, batch norms and poolings; changed in place.
        frames: odd extent in time.
        at: convolution -> its odd extent in time instead, and 1 for all that are not named.

    Returns:
        The same network over (B, C, T, H, W).
    """
    if at is not None and (unknown := at.keys() - dict(network.named_modules()).keys()):
        raise ValueError(f"the network has no module {min(unknown)!r} to inflate")
    return _inflate(network, frames, at, "")


def _inflate(
    network: nn.Module, frames: int, at: Mapping[str, int] | None, prefix: str
) -> nn.Module:
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d):
            flat = child.kernel_size[0] == 1
            time = (1 if flat else frames) if at is None else at.get(prefix + name, 1)
            setattr(network, name, _inflate_conv(child, time))
        elif isinstance(child, nn.BatchNorm2d):
            norm = nn.BatchNorm3d(
                child.num_features,
                child.eps,
                child.momentum,
                device=child.weight.device,
                dtype=child.weight.dtype,
            )
            norm.load_state_dict(child.state_dict())
            setattr(network, name, norm)
        elif isinstance(child, nn.MaxPool2d):
            k, s, p = (_pair(v) for v in (child.kernel_size, child.stride, child.padding))
            setattr(network, name, nn.MaxPool3d((1, *k), (1, *s), (0, *p)))
        elif isinstance(child, nn.AdaptiveAvgPool2d):
            setattr(network, name, nn.AdaptiveAvgPool3d(1))
        else:
            _inflate(child, frames, at, f"{prefix}{name}.")
    return network


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _inflate_conv(conv: nn.Conv2d, time: int) -> nn.Conv3d:
    inflated = nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        (time, *_pair(conv.kernel_size)),
        stride=(1, *_pair(conv.stride)),
        padding=(time // 2, *_pair(conv.padding)),
        dilation=(1, *_pair(conv.dilation)),
        groups=conv.groups,
        bias=conv.bias is not None,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    with torch.no_grad():
        inflated.weight.copy_(conv.weight[:, :, None] / time)
        if conv.bias is not None and inflated.bias is not None:
            inflated.bias.copy_(conv.bias)
    return inflated


class NonLocal(nn.Module):
    """y_i = x_i + W_z sum_j softmax_j(theta(x_i) . phi(x_j)) g(x_j) over all of space and time.

    Wang et al. 2018, embedded Gaussian, keys and values max-pooled by 2 in space; the last norm
    starts at zero, so a fresh block changes nothing.

    Args:
        channels: C.
        inner: channels of queries, keys and values; None for half of C, as in the paper.
    """

    def __init__(self, channels: int, *, inner: int | None = None):
        super().__init__()
        inner = channels // 2 if inner is None else inner
        self.query = nn.Conv3d(channels, inner, 1)
        self.key = nn.Conv3d(channels, inner, 1)
        self.value = nn.Conv3d(channels, inner, 1)
        self.out = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same."""
        pooled = nn.functional.max_pool3d(x, (1, 2, 2)) if min(x.shape[-2:]) > 1 else x
        query, key, value = (
            layer(part).flatten(2).transpose(1, 2)[:, None]  # (B, 1, places, inner)
            for layer, part in ((self.query, x), (self.key, pooled), (self.value, pooled))
        )
        seen = nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return x + self.norm(self.out(seen.transpose(1, 2).unflatten(2, x.shape[2:])))


class SmallI3D(nn.Module):
    """I3D from ResNet-50 with only res2, res3 and res5, two bottlenecks each, and fewer filters.

    RSTG, appendix D: about 10 M parameters; with a non-local block in the second residual stage it
    is their Non-Local baseline.

    Args:
        in_channels: of the video.
        base: filters of the first stage; 64 in ResNet-50.
        blocks: bottlenecks in each stage.
        non_local: put a non-local block after the second stage.
    """

    per_frame = False

    def __init__(
        self, in_channels: int = 1, *, base: int = 80, blocks: int = 2, non_local: bool = False
    ):
        super().__init__()
        from torchvision.models.resnet import Bottleneck, ResNet

        resnet = ResNet(Bottleneck, [blocks, blocks, blocks, 1], width_per_group=base)
        resnet.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        stages = [
            nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool),
            resnet.layer1,
            resnet.layer2,
            resnet.layer3,
        ]
        self.stages = nn.ModuleList(inflate(stage) for stage in stages)
        self.non_local = NonLocal(512) if non_local else None
        self.out_channels = 1024

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, C, H0, W0) -> (B, T, C', H0 / 16, W0 / 16), rounded up."""
        x = video.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
        stem, res2, res3, res5 = self.stages
        x = res3(res2(stem(x)))
        if self.non_local is not None:
            x = self.non_local(x)
        return res5(x).transpose(1, 2)
