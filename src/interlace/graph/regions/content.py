"""Nodes that are bound to content: each looks at the best place of its own map, if it has one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from interlace.graph.kernels import DenseKernel
from interlace.graph.regions.attention import moments
from interlace.graph.regions.regions import Regions, map_size

NOTHING = -4.0  # what maps start from: nothing is anywhere until something is shown
CELLS = 4.0  # of the map that one thing covers: so many high cells are one thing, not several


class ContentRegions(nn.Module):
    """Nodes that each look for one kind of content, and are silent where there is none.

    Semantic maps and keypoints grown up: node n has a map l_n = W_n X, e.g. of a digit's class.

        mass_n = sigmoid(logsumexp_p l_n(p) - log 4)                       is there any?
        k_n(p) = softmax_p(l_n(p) / softness - |p - p_n|^2 / 2 window^2)   p_n the best place of l_n
        c_n    = sum_p k_n(p) p                                            the centre of mass

    The window keeps a second thing of the kind from pulling at the centre; the sum within it is
    finer than a cell, and has a gradient. Computed in float32 also under autocast.

    Convention: boxes have the centre of mass and the variance of k_n; p in [0, 1] of the frame.

    Args:
        channels: C of the features.
        nodes: N, kinds of content.
        window: standard deviation of the window, as a fraction of the frame; about half a thing.
        softness: of k_n; 1 trusts the highest cells most.
    """

    def __init__(
        self, channels: int, nodes: int = 10, *, window: float = 0.15, softness: float = 4.0
    ):
        super().__init__()
        if nodes < 1:
            raise ValueError(f"nodes must be at least 1, got {nodes}")
        if not window > 0 or not softness > 0:
            raise ValueError(
                f"window and softness must be above 0, got window={window}, softness={softness}"
            )
        self.identities = nodes  # a node always looks for the same
        self.window = window
        self.softness = softness
        self.maps = content_maps(channels, nodes)

    def forward(self, features: Tensor, state: None = None) -> tuple[Regions, None]:
        """features (B, T, C, H, W) -> regions of each frame, with masses."""
        with torch.autocast(features.device.type, enabled=False):
            maps = read_maps(self.maps, features)  # (B, T, N, H, W)
            window = gaussian_window(best_place(maps), map_size(maps), self.window)
            kernels = focus(maps / self.softness, window)
            kernel = DenseKernel(kernels)
            return Regions(moments(kernels), kernel, kernel, presence(maps).sigmoid()), None

    def extra_repr(self) -> str:
        return f"window={self.window:.3g}, softness={self.softness:.3g}"


def content_maps(channels: int, kinds: int) -> nn.Conv2d:
    """The maps of so many kinds of content: what a pre-training on labels of frames teaches."""
    maps = nn.Conv2d(channels, kinds, 1)
    nn.init.constant_(maps.bias, NOTHING)  # type: ignore[arg-type]
    return maps


def read_maps(maps: nn.Module, features: Tensor) -> Tensor:
    """features (B, T, C, H, W) -> logits (B, T, kinds, H, W), in float32 also under autocast."""
    frames = features.flatten(0, 1)
    with torch.autocast(frames.device.type, enabled=False):
        weight = getattr(maps, "weight", None)
        logits = maps(frames.to(weight.dtype) if isinstance(weight, Tensor) else frames)
    logits = logits.unflatten(0, features.shape[:2])
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def presence(maps: Tensor) -> Tensor:
    """Log-odds that something of the kind is in the frame: (..., H, W) -> (...)."""
    return maps.flatten(-2).logsumexp(-1) - math.log(CELLS)


def best_place(maps: Tensor) -> Tensor:
    """Centre (x, y) of the highest cell of maps (..., H, W): (..., 2)."""
    return centre_of_cell(maps.flatten(-2).argmax(-1), map_size(maps), maps.dtype)


def centre_of_cell(cell: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Numbers of cells (...), row by row of a map (H, W) -> their centres (x, y), (..., 2)."""
    height, width = size
    y, x = torch.div(cell, width, rounding_mode="floor"), cell % width
    return torch.stack(((x.to(dtype) + 0.5) / width, (y.to(dtype) + 0.5) / height), -1)


def focus(logits: Tensor, window: Tensor) -> Tensor:
    """softmax_p(logits(p) + log window(p)) over (..., H, W), which sum to 1."""
    tiny = torch.finfo(window.dtype).tiny
    logits = (logits + window.clamp(min=tiny).log()).flatten(-2)
    return logits.softmax(-1).unflatten(-1, window.shape[-2:])


def gaussian_window(place: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """exp(-|p - place|^2 / 2 sigma^2) at the cells of a map.

    Args:
        place: (..., 2) as (x, y) in [0, 1].
        size: (H, W) of the map.
        sigma: as a fraction of the frame.

    Returns:
        (..., H, W).
    """
    rows, cols = (torch.exp(-(far**2) / (2 * sigma**2)) for far in distances(place, size))
    return rows[..., :, None] * cols[..., None, :]


def distances(place: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """From (x, y) of places (..., 2) to the centres of rows (..., H) and of columns (..., W)."""
    found = []
    for axis, cells in zip((1, 0), size, strict=True):
        there = (torch.arange(cells, dtype=place.dtype, device=place.device) + 0.5) / cells
        found.append(there - place[..., axis, None])
    rows, cols = found
    return rows, cols
