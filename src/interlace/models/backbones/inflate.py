"""A 2D network inflated in time: the way of I3D to a 3D network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


def inflate(network: nn.Module, *, at: Mapping[str, int] | None = None) -> nn.Module:
    """Makes a 2D network 3D: kernels of 3 x 3 and more get 3 frames in time, and a third of weight.

    A video of equal frames gives the 2D network's result wherever the kernel does not cross the
    ends. I3D, Carreira and Zisserman 2017; no stride in time.

    Args:
        network: of 2D convolutions, batch norms and max poolings; changed in place.
        at: convolution -> its odd extent in time instead, and 1 for all that are not named.

    Returns:
        The same network over (B, C, T, H, W).
    """
    modules = dict(network.named_modules())
    if at is not None and (unknown := at.keys() - modules.keys()):
        raise ValueError(f"the network has no module {min(unknown)!r} to inflate")
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            small = module.kernel_size[0] == 1
            time = (1 if small else 3) if at is None else at.get(name, 1)
            network.set_submodule(name, _inflate_conv(module, time))
        elif isinstance(module, nn.BatchNorm2d):
            like = module.weight
            norm = nn.BatchNorm3d(module.num_features, module.eps, module.momentum)
            norm.to(like.device, like.dtype).load_state_dict(module.state_dict())
            network.set_submodule(name, norm)
        elif isinstance(module, nn.MaxPool2d):
            k, s, p = (_pair(v) for v in (module.kernel_size, module.stride, module.padding))
            network.set_submodule(name, nn.MaxPool3d((1, *k), (1, *s), (0, *p)))
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
    weight = conv.weight[:, :, None].expand(-1, -1, time, -1, -1) / time
    inflated.load_state_dict({**conv.state_dict(), "weight": weight})
    return inflated
