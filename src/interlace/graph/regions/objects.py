"""Nodes that are bound to objects: found in each frame, followed from frame to frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.graph.kernels import DenseKernel
from interlace.graph.regions.attention import moments
from interlace.graph.regions.content import CELLS, content_maps, read_maps
from interlace.graph.regions.regions import Regions, map_size
from interlace.graph.state import carried

NEWBORN = 1e-3  # how readily an empty node takes an object, beside one that was just there
FADE = 0.8  # of its memory that a node keeps over a frame in which it sees nothing
LOOKALIKE = 0.1  # how readily a node takes an object of another kind than it remembers


class ObjectRegions(nn.Module):
    """Nodes that each follow one object, of any kind; those without an object are silent.

    Maps say what kind of thing is where, l_k = W_k X; their soft maximum over kinds is a saliency.
    In each frame, its N highest peaks are found, places that are the best within `apart`, and for
    each its kind q_j, a softmax of the evidence of each kind there; then, with the map of its own
    kind, o_j = log sum_k q_jk exp(l_k),

        k_j(p) = softmax_p(o_j(p) / softness)  within `extent`,   c_j = sum_p k_j(p) p
        mass_j = sigmoid(log-odds of its best kind there)
                 * prod_i (1 - s_i (q_i . q_j) exp(-|c_i - c_j|^2 / 2 apart^2))

    over all peaks i that are better than j, or as good and before it, where s_i is the first
    factor of mass_i: so a second peak on the same thing is explained away. Computed in float32 also
    under autocast. A peak goes to the node that was
    there before:

        a_ij = mass_j (memory_i exp(-|c_j - c_i|^2 / 2 reach^2) alike_ij + (1 - memory_i) newborn)

    Pairs are taken from the largest a on, each node and each peak once. A node whose object is
    hidden remembers place and kind for some frames, and takes it up again near there. So a node is
    one object over time, however many there are, and how many speak follows the scene.

    Which peak is whose has no gradient; places, masses and kernels have.

    Args:
        channels: C of the features.
        nodes: N, more than there are objects.
        kinds: of content that maps tell apart.
        apart: two objects' centres are at least so far from each other along x or y.
        extent: of what belongs to an object, to each side of its peak.
        reach: standard deviation of how far an object goes in a frame.
        softness: of the kernels; 1 trusts the highest cells most.
    """

    def __init__(
        self,
        channels: int,
        nodes: int = 16,
        *,
        kinds: int = 10,
        apart: float = 0.05,
        extent: float = 0.09,
        reach: float = 0.04,
        softness: float = 4.0,
    ):
        super().__init__()
        for name, count in (("nodes", nodes), ("kinds", kinds)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        for name, value in (
            ("apart", apart),
            ("extent", extent),
            ("reach", reach),
            ("softness", softness),
        ):
            if not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        self.nodes = nodes
        self.kinds = kinds
        self.apart = apart
        self.extent = extent
        self.reach = reach
        self.softness = softness
        self.maps = content_maps(channels, kinds)

    def forward(self, features: Tensor, state: Tensor | None = None) -> tuple[Regions, Tensor]:
        """features (B, T, C, H, W) -> regions of each frame, with masses; state (B, N, 3 + kinds).

        The state is what each node remembers: its place, how sure it is of it, and its kind.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self._follow(read_maps(self.maps, features), state)

    def _follow(self, maps: Tensor, state: Tensor | None) -> tuple[Regions, Tensor]:
        """maps (B, T, kinds, H, W) -> regions, state."""
        peaks = self._peaks(maps.detach().logsumexp(2))  # (B, T, N) cells
        near, _ = around(maps, peaks, self.apart)  # (B, T, N, kinds, P)
        scores = near.logsumexp(-1) - math.log(CELLS)  # (B, T, N, kinds)
        kind = scores.detach().softmax(-1)
        near, cells = around(maps, peaks, self.extent)
        own = (near + kind.log()[..., None]).logsumexp(-2) / self.softness  # (B, T, N, P)
        height, width = map_size(maps)
        kernels = maps.new_zeros(*peaks.shape, height * width)
        kernels = kernels.scatter_add(-1, cells, own.softmax(-1)).unflatten(-1, (height, width))
        boxes = moments(kernels)
        score = scores.amax(-1)
        mass = score.sigmoid() * self._unexplained(boxes[..., :2], score, kind)

        state = carried(state, (len(maps), self.nodes, 3 + self.kinds), maps).to(maps.dtype)
        orders = []
        for seen in torch.cat((boxes[..., :2], mass[..., None], kind), -1).detach().unbind(1):
            order = match(self._affinity(state, seen))  # (B, N): the peak of each node
            orders.append(order)
            state = _remember(state, _take(seen, order))
        order = torch.stack(orders, 1)  # (B, T, N)
        kernel = DenseKernel(_take(kernels, order))
        return Regions(_take(boxes, order), kernel, kernel, _take(mass, order)), state

    def _peaks(self, saliency: Tensor) -> Tensor:
        """The N highest cells of (B, T, H, W) that none nearby exceeds: (B, T, N), row by row."""
        size = map_size(saliency)
        far = [_radius(self.apart, cells) for cells in size]
        highest = F.max_pool2d(saliency, [2 * r + 1 for r in far], stride=1, padding=far)
        lowest = torch.finfo(saliency.dtype).min
        ranked = saliency.masked_fill(saliency < highest, lowest).flatten(2)  # (B, T, H * W)
        count = ranked.shape[-1]
        ranked = F.pad(ranked, (0, max(0, self.nodes - count)), value=lowest)
        return ranked.topk(self.nodes, -1).indices % count

    def _unexplained(self, place: Tensor, score: Tensor, kind: Tensor) -> Tensor:
        """What better peaks of the same kind nearby leave of each: (B, T, N), without gradient."""
        place, score = place.detach(), score.detach()
        far = (place[..., :, None, :] - place[..., None, :, :]).square().sum(-1)  # (B, T, N, N)
        same = torch.exp(-far / (2 * self.apart**2)) * (kind @ kind.mT)
        theirs, own = score[..., None, :], score[..., :, None]
        earlier = torch.ones_like(same, dtype=torch.bool).tril(-1)
        better = (theirs > own) | ((theirs == own) & earlier)
        return (1 - better * same * score.sigmoid()[..., None, :]).prod(-1)

    def _affinity(self, state: Tensor, seen: Tensor) -> Tensor:
        """Of node i, as it remembers, and peak j: (B, N, N)."""
        far = (state[:, :, None, :2] - seen[:, None, :, :2]).square().sum(-1)
        near = torch.exp(-far / (2 * self.reach**2))
        alike = state[..., 3:] @ seen[..., 3:].mT
        known = state[..., 2, None] * near * (LOOKALIKE + (1 - LOOKALIKE) * alike)
        return seen[:, None, :, 2] * (known + (1 - state[..., 2, None]) * NEWBORN)

    def extra_repr(self) -> str:
        return (
            f"nodes={self.nodes}, apart={self.apart:.3g}, extent={self.extent:.3g}, "
            f"reach={self.reach:.3g}, softness={self.softness:.3g}"
        )


def match(affinity: Tensor) -> Tensor:
    """One to one, from the largest of all that is left on: (B, N, N) -> (B, N), for each row."""
    batch, count, _ = affinity.shape
    left, row = affinity.clone(), torch.arange(count, device=affinity.device)
    chosen = torch.zeros(batch, count, dtype=torch.int64, device=affinity.device)
    for _ in range(count):
        best = left.flatten(1).argmax(-1, keepdim=True)  # (B, 1)
        i, j = torch.div(best, count, rounding_mode="floor"), best % count
        here = row == i  # (B, N)
        chosen = torch.where(here, j, chosen)
        taken = here[:, :, None] | (row == j)[:, None, :]
        left = left.masked_fill(taken, -1.0)
    return chosen


def around(maps: Tensor, cells: Tensor, far: float) -> tuple[Tensor, Tensor]:
    """What maps show at the cells that are nearer than `far` to given cells, along x and y.

    Args:
        maps: (B, T, kinds, H, W).
        cells: (B, T, N), counted row by row.
        far: as a fraction of the frame.

    Returns:
        (B, T, N, kinds, P), the lowest number there is outside the map; and (B, T, N, P) cells.
    """
    height, width = map_size(maps)
    up, left = (
        torch.arange(-_radius(far, size), _radius(far, size) + 1, device=maps.device)
        for size in (height, width)
    )
    y = torch.div(cells, width, rounding_mode="floor")[..., None, None] + up[:, None]
    x = (cells % width)[..., None, None] + left
    inside = ((y >= 0) & (y < height) & (x >= 0) & (x < width)).flatten(-2)  # (B, T, N, P)
    found = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).flatten(-2)
    index = found.flatten(2)[:, :, None].expand(-1, -1, maps.shape[2], -1)  # (B, T, kinds, N * P)
    near = maps.flatten(3).gather(-1, index).unflatten(-1, found.shape[2:]).transpose(2, 3)
    return near.masked_fill(~inside[..., None, :], torch.finfo(maps.dtype).min / 2), found


def _radius(far: float, cells: int) -> int:
    """How many cells away is still nearer than a fraction of the frame."""
    return max(0, math.ceil(far * cells) - 1)


def _take(values: Tensor, order: Tensor) -> Tensor:
    """Values (.., N, ...) of peaks as those of nodes: order (.., N)."""
    axis = order.dim() - 1
    index = order.reshape(*order.shape, *[1] * (values.dim() - order.dim()))
    return values.gather(axis, index.expand(*order.shape, *values.shape[order.dim() :]))


def _remember(state: Tensor, seen: Tensor) -> Tensor:
    """What nodes know after a frame: as much of the new as they are sure of it."""
    old, new = state[..., 2:3], seen[..., 2:3]
    sure = new / (new + FADE * old * (1 - new)).clamp(min=1e-6)  # (B, N, 1)
    place = state[..., :2] + sure * (seen[..., :2] - state[..., :2])
    kind = state[..., 3:] + sure * (seen[..., 3:] - state[..., 3:])
    return torch.cat((place, torch.maximum(new, FADE * old), kind), -1)
