"""Backbones: what turns frames into feature maps, behind one face.

Every backbone maps video (B, T, C, H0, W0) in [0, 1] to features (B, T', C', H, W) and says its
`out_channels`. A per-frame backbone keeps T, sees one frame at a time, and has two halves that
pre-training looks at separately: `see`, what is there, and `locate`, joined with where that is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrameBackbone(nn.Module):
    """The face of a per-frame backbone. A subclass says in `see` what is there."""

    per_frame = True
    seen_channels: int
    out_channels: int

    def see(self, video: Tensor) -> Tensor:
        """(B, T, C, H0, W0) -> (B, T, seen_channels, H, W)."""
        raise NotImplementedError

    def locate(self, seen: Tensor) -> Tensor:
        """(B, T, seen_channels, H, W) -> (B, T, out_channels, H, W); the same if not overridden."""
        return seen

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, C, H0, W0) -> (B, T, out_channels, H, W)."""
        return self.locate(self.see(video))


class FrameCNN(FrameBackbone):
    """A small CNN with 3 layers on each frame: 3x3 convolution, ReLU, 2x2 max pooling.

    RSTG, section 3.1 and appendix D.

    Args:
        in_channels: of the frames.
        widths: channels of each layer; the paper gives none.
    """

    def __init__(self, in_channels: int = 1, *, widths: Sequence[int] = (64, 128, 256)):
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer in zip((in_channels, *widths), widths, strict=False):
            layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.seen_channels = self.out_channels = widths[-1]

    def see(self, video: Tensor) -> Tensor:
        """(B, T, C, H0, W0) -> (B, T, C', H0 // 8, W0 // 8)."""
        return self.layers(_frames(video)).unflatten(0, video.shape[:2])


class StridedCNN(FrameBackbone):
    """The same three layers made fast for CPUs: strides instead of pooling, and coordinates.

    Full-resolution maps cost more memory traffic than arithmetic, so the first layers stride. Two
    1x1 convolutions then join what is seen with where it is, so that the average over a region
    still tells where in it something was.

    Args:
        in_channels: of the frames.
        widths: channels of each strided layer.
        kernels: of each strided layer, cells a side.
        strides: of each strided layer.
        out_channels: of the 1x1 convolutions; None leaves them and the coordinates out, for
            graphs whose regions move and tell where they are themselves.
    """

    def __init__(
        self,
        in_channels: int = 1,
        *,
        widths: Sequence[int] = (32, 64, 128),
        kernels: Sequence[int] = (5, 5, 3),
        strides: Sequence[int] = (2, 2, 2),
        out_channels: int | None = 384,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer, k, stride in zip(
            (in_channels, *widths), widths, kernels, strides, strict=False
        ):
            conv = nn.Conv2d(inner, outer, k, stride=stride, padding=k // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(outer), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.place = None
        if out_channels is not None:
            self.place = nn.Sequential(
                nn.Conv2d(widths[-1] + 4, out_channels, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(out_channels, out_channels, 1),
                nn.ReLU(inplace=True),
            ).to(memory_format=torch.channels_last)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.seen_channels = widths[-1]
        self.out_channels = widths[-1] if out_channels is None else out_channels

    def see(self, video: Tensor) -> Tensor:
        """(B, T, C, H0, W0) -> (B, T, seen_channels, H0 / 8, W0 / 8), rounded up."""
        return self.layers(_frames(video) * 4 - 0.3).unflatten(0, video.shape[:2])

    def locate(self, seen: Tensor) -> Tensor:
        """(B, T, seen_channels, H, W) -> (B, T, out_channels, H, W)."""
        if self.place is None:
            return seen
        located = self.place(_with_coordinates(seen.flatten(0, 1)))
        return located.unflatten(0, seen.shape[:2])


class ResidualCNN(FrameBackbone):
    """Two strided layers and residual blocks at a quarter of the resolution, for sharp places.

    A stride of four leaves several cells for a thing of a dozen pixels. Two strided layers look 1.5
    pixels before the centres of their cells; one pixel less in front and one more behind, and it is
    half a pixel. Blocks start as the identity (Goyal et al., 2017). Knows no coordinates: where
    something is, the regions tell.

    Args:
        in_channels: of the frames.
        stem: channels of the first layer.
        width: channels of all others.
        blocks: of two 3x3 convolutions each.
    """

    def __init__(self, in_channels: int = 1, *, stem: int = 32, width: int = 96, blocks: int = 2):
        super().__init__()
        self.stem = nn.Sequential(
            *_conv(in_channels, stem, 5, stride=2),
            nn.ReLU(inplace=True),
            *_conv(stem, width, 3, stride=2),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*_conv(width, width, 3), nn.ReLU(inplace=True), *_conv(width, width, 3))
            for _ in range(blocks)
        )
        for block in self.blocks:
            nn.init.zeros_(block[-1].weight)  # type: ignore[index]
        self.seen_channels = self.out_channels = width
        self.to(memory_format=torch.channels_last)

    def see(self, video: Tensor) -> Tensor:
        """(B, T, C, H0, W0) -> (B, T, width, H0 / 4, W0 / 4), rounded up."""
        frames = F.pad(_frames(video), (-1, 1, -1, 1))  # cells look half a pixel aside, not 1.5
        x = self.stem(frames * 4 - 0.3)
        for block in self.blocks:
            x = (x + block(x)).relu()
        return x.unflatten(0, video.shape[:2])


def _conv(inner: int, outer: int, size: int, *, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inner, outer, size, stride=stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return [conv, nn.BatchNorm2d(outer)]


def _frames(video: Tensor) -> Tensor:
    return video.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _with_coordinates(x: Tensor) -> Tensor:
    """Joins x, y, -x, -y in [-1, 1] to (M, C, H, W) as four more channels."""
    height, width = x.shape[-2:]
    y = torch.linspace(-1, 1, height, dtype=x.dtype, device=x.device)[:, None].expand(-1, width)
    x_ = torch.linspace(-1, 1, width, dtype=x.dtype, device=x.device).expand(height, -1)
    where = torch.stack((x_, y, -x_, -y)).expand(len(x), -1, -1, -1)
    return torch.cat((x, where.contiguous(memory_format=torch.channels_last)), dim=1)
