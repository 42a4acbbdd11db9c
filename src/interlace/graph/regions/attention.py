"""Regions read off maps of attention, one a node: semantic maps and keypoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interlace.graph.kernels import DenseKernel
from interlace.graph.regions.regions import Regions, triangles


class SemanticRegions(nn.Module):
    """Nodes that look at everything of a kind, wherever it is (section 4.2, "Semantic Model").

    "Each node is extracted by a global average pooling where the weights at every position p are
    directly predicted from the input features at that location." The boxes that are told have the
    mean and the variance of the map; they are for looking at only.

    Args:
        channels: C.
        nodes: N.
    """

    def __init__(self, channels: int, nodes: int = 9):
        super().__init__()
        self.weigh = nn.Conv2d(channels, nodes, 1)

    def forward(self, features: Tensor, state: None = None) -> tuple[Regions, None]:
        """features (B, T, C, H, W) -> regions of each frame."""
        weights = attention_maps(self.weigh(features.flatten(0, 1)))
        weights = weights.unflatten(0, features.shape[:2])  # (B, T, N, H, W)
        kernel = DenseKernel(weights)
        return Regions(moments(weights), kernel, kernel), None


class KeypointRegions(nn.Module):
    """Regions of fixed size around keypoints (appendix E.4; Jakab et al., 2018).

    A small encoder gives a map for each node; its softmax is a distribution over the frame, whose
    mean is the keypoint.

    Args:
        channels: C.
        nodes: N.
        hidden: channels of the encoder; by default the block has the size of DyReg-GNN.
        size: half extent of the regions, as a fraction of the frame.
    """

    def __init__(self, channels: int, nodes: int = 9, *, hidden: int = 112, size: float = 1 / 6):
        super().__init__()
        self.size = size
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, nodes, 1),
        )

    def forward(self, features: Tensor, state: None = None) -> tuple[Regions, None]:
        """features (B, T, C, H, W) -> regions of each frame."""
        weights = attention_maps(self.encoder(features.flatten(0, 1)))
        points = moments(weights.unflatten(0, features.shape[:2]))[..., :2]
        return triangles(
            torch.cat((points, torch.full_like(points, self.size)), -1), features
        ), None


def attention_maps(logits: Tensor) -> Tensor:
    """Softmax over all places of maps (M, N, H, W), in float32 at least."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.flatten(2).softmax(-1).unflatten(-1, logits.shape[-2:])


def moments(weights: Tensor) -> Tensor:
    """Maps (..., H, W) that sum to 1 -> boxes of triangles with the same mean and variance."""
    found = []
    for axis in (-2, -1):  # summed away: over rows for x, over columns for y
        profile = weights.sum(axis)
        cells = profile.shape[-1]
        place = (torch.arange(cells, dtype=profile.dtype, device=profile.device) + 0.5) / cells
        mean = (profile * place).sum(-1)
        variance = (profile * (place - mean[..., None]) ** 2).sum(-1)
        found.append((mean, (6 * variance).clamp(min=1e-12).sqrt()))
    (x, half_x), (y, half_y) = found
    return torch.stack((x, y, half_x, half_y), dim=-1)
