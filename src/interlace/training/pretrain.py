"""Pre-training of a backbone: which digits are in a frame, and where if one wants that.

RSTG, section 3.1: the backbone is "pre-trained to classify a digit randomly placed in a frame".
Without it a recurrent graph stays at chance for tens of thousands of videos. Here a frame has as
many digits as the videos will have, and each is also located, from the very averages over regions
that become nodes: so nodes know from the start who is in them and where.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.graph.boxes import corners, grid_boxes
from interlace.graph.kernels import area_kernel, pool
from interlace.graph.regions.content import presence, read_maps


class PlacementLoss(NamedTuple):
    """The loss, and how well the whole frame's average tells what is in it."""

    loss: Tensor
    exact: Tensor  # fraction of frames whose set of digits is right
    distance: Tensor  # mean distance to the true centre, as a fraction of the frame


class PresenceLoss(NamedTuple):
    """The loss, and how well it is told what is in a frame."""

    loss: Tensor
    exact: Tensor  # fraction of frames whose set of digits is right


class DigitPresence(nn.Module):
    """Maps, one a class, whose best cells say which digits are in the frame.

    Knows labels of frames only and no boxes, so that what later finds the digits has found them by
    itself. A graph whose regions read such maps keeps them; else they are thrown away afterwards.

    Args:
        maps: (M, C, H, W) -> (M, classes, H, W), e.g. `content_maps(channels, classes)`.
    """

    def __init__(self, maps: nn.Module):
        super().__init__()
        self.maps = maps

    def forward(self, features: Tensor, classes: Tensor) -> PresenceLoss:
        """Compare what the maps show with what is there.

        Args:
            features: (B, T, C, H, W).
            classes: int64 (B, D), which may repeat.
        """
        scores = presence(read_maps(self.maps, features)).flatten(0, 1)  # (B * T, classes)
        truth = torch.zeros_like(scores).scatter(
            1, classes.repeat_interleave(features.shape[1], dim=0), 1.0
        )
        loss = F.binary_cross_entropy_with_logits(scores, truth)
        exact = ((scores > 0) == (truth > 0)).all(1).float().mean()
        return PresenceLoss(loss, exact.detach())


class DigitPlacement(nn.Module):
    """Linear heads on features: class per cell; presence and place of each class per region.

    Only for training a backbone; thrown away afterwards.

    Args:
        seen_channels: of what the backbone sees, before it is located.
        channels: C of the features.
        classes: of digits.
        scales: of the grids over which features are averaged.
    """

    def __init__(
        self, seen_channels: int, channels: int, classes: int, *, scales: Sequence[int] = (3, 2, 1)
    ):
        super().__init__()
        self.classes = classes
        self.scales = tuple(scales)
        self.cells = nn.Linear(seen_channels, classes + 1)
        self.regions = nn.ModuleList(nn.Linear(channels, 3 * classes) for _ in scales)

    def forward(
        self, seen: Tensor, features: Tensor, boxes: Tensor, classes: Tensor
    ) -> PlacementLoss:
        """Compare what the heads read with what is there.

        Args:
            seen: (B, T, seen_channels, H, W), before the coordinates are joined.
            features: (B, T, C, H, W), after.
            boxes: (B, T, D, 4) of the digits.
            classes: int64 (B, D), all different in a video.
        """
        frames = features.flatten(0, 1)[:, None]  # (M, 1, C, H, W)
        count = boxes.shape[1]
        digits = boxes.flatten(0, 1)[:, :, :2]  # (M, D, 2) centres
        classes = classes.repeat_interleave(count, dim=0)  # (M, D)

        loss = self._cell_loss(seen.flatten(0, 1), digits, classes)
        place = torch.zeros(len(digits), self.classes, 2, device=digits.device)
        place = place.scatter(1, classes[..., None].expand(-1, -1, 2), digits)
        size = (frames.shape[-2], frames.shape[-1])
        for scale, head in zip(self.scales, self.regions, strict=True):
            grid = grid_boxes((scale,), device=digits.device)
            nodes = pool(frames, area_kernel(grid[None, None], size))
            guess = head(nodes[:, 0]).float().unflatten(-1, (self.classes, 3))  # (M, N, classes, 3)
            present = self._present(grid.float(), digits, classes)  # (M, N, classes)
            loss = loss + F.binary_cross_entropy_with_logits(guess[..., 0], present) * 3
            off = guess[..., 1:] - (2 * place[:, None] - 1)
            near = F.smooth_l1_loss(off, torch.zeros_like(off), reduction="none", beta=0.1).sum(-1)
            loss = loss + 2 * (near * present).sum() / present.sum()
        whole = present[:, -1] > 0
        exact = ((guess[:, -1, :, 0] > 0) == whole).all(-1).float().mean()
        distance = (off[:, -1].norm(dim=-1) / 2)[whole].mean()
        return PlacementLoss(loss, exact.detach(), distance.detach())

    def _cell_loss(self, frames: Tensor, digits: Tensor, classes: Tensor) -> Tensor:
        """Cross entropy of each cell with the digits there, cells of digits and the rest alike.

        A digit is shared by the four cells around its centre, by bilinear weights: these sum to 1
        and their mean place is the centre, so that averages over a region keep it exactly.
        """
        height, width = frames.shape[-2:]
        y = (torch.arange(height, device=digits.device) + 0.5) / height
        x = (torch.arange(width, device=digits.device) + 0.5) / width
        rows = (1 - (y - digits[..., 1:]).abs() * height).clamp(min=0)  # (M, D, H)
        cols = (1 - (x - digits[..., :1]).abs() * width).clamp(min=0)  # (M, D, W)
        share = (rows[..., :, None] * cols[..., None, :]).flatten(2).transpose(1, 2)  # (M, HW, D)
        truth = share.new_zeros(*share.shape[:2], self.classes)
        truth = truth.scatter_add(2, classes[:, None].expand_as(share), share)
        truth = truth / truth.sum(-1, keepdim=True).clamp(min=1)  # where digits overlap
        nothing = 1 - truth.sum(-1)
        guess = self.cells(frames.flatten(2).transpose(1, 2)).float().log_softmax(-1)
        of_digits = -(truth * guess[..., :-1]).sum() / truth.sum()
        of_nothing = -(nothing * guess[..., -1]).sum() / nothing.sum()
        return 2 * (of_digits + of_nothing)

    def _present(self, grid: Tensor, digits: Tensor, classes: Tensor) -> Tensor:
        """(M, N, classes): 1 where a digit of the class has its centre in the region."""
        low, high = corners(grid)
        centre = digits[:, None]  # (M, 1, D, 2)
        inside = ((centre >= low[:, None]) & (centre < high[:, None])).all(-1).float()  # (M, N, D)
        present = inside.new_zeros(*inside.shape[:2], self.classes)
        return present.scatter_add(2, classes[:, None].expand_as(inside), inside)


def jitter(video: Tensor, *, scale: float = 0.25, turn: float = 0.2, shear: float = 0.15) -> Tensor:
    """Half of the frames a little smaller or larger, turned, sheared and shifted.

    What is in a frame stays. The other half stays as it is, so that batch norms know such, too.

    For labels of frames only: boxes would have to move along. A net then knows digits that it has
    not seen better, and those of other sizes.

    Args:
        video: float (B, T, C, H, W).
        scale: natural logarithm of how much smaller or larger at most.
        turn: radians at most.
        shear: at most.
    """
    count = video.shape[0] * video.shape[1]

    def drawn(most: float) -> Tensor:
        return (2 * torch.rand(count, device=video.device) - 1) * most

    size, angle, slant = drawn(scale).exp(), drawn(turn), drawn(shear)
    cos, sin = angle.cos() * size, angle.sin() * size
    rows = torch.stack((cos, slant * cos - sin, drawn(0.1), sin, slant * sin + cos, drawn(0.1)), -1)
    frames = video.flatten(0, 1)
    grid = F.affine_grid(rows.unflatten(-1, (2, 3)), list(frames.shape), align_corners=False)
    moved = F.grid_sample(frames, grid, align_corners=False)
    chosen = torch.rand(count, device=video.device) < 0.5
    return torch.where(chosen[:, None, None, None], moved, frames).unflatten(0, video.shape[:2])
