"""Video in [0, 1] as pretrained networks want it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Video in [0, 1] as networks pretrained on ImageNet want it; what looks at it comes after.

    Args:
        mean: of the red, green and blue channel.
        std: of the same.
    """

    per_frame = True
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = (0.485, 0.456, 0.406),  # torchvision's, and the TSM program's
        std: Sequence[float] = (0.229, 0.224, 0.225),
    ):
        super().__init__()
        self.out_channels = len(mean)
        for name, values in (("mean", mean), ("std", std)):
            value = torch.tensor(values)[:, None, None]
            self.register_buffer(name, value, persistent=False)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, 3, H0, W0) -> the same."""
        if video.shape[2] != self.out_channels:
            raise ValueError(
                f"video must be (B, T, {self.out_channels}, H, W), got {tuple(video.shape)}; of "
                "grey frames use video.expand(-1, -1, 3, -1, -1)"
            )
        return (video - self.mean) / self.std
