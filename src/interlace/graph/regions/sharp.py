"""Sharp places: within its region, a node reads what is salient, and is where that is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interlace.graph.kernels import DenseKernel
from interlace.graph.regions.content import read_maps
from interlace.graph.regions.regions import Regions


class SharpRegions(nn.Module):
    """Regions whose kernels are multiplied by a learned saliency, and end on what is in them.

        k'_n(p) ~ k_n(p) exp(s_n(p)),   c'_n = sum_p k'_n(p) p

    A cell of a grid never moves, what is in it does; a predicted box follows its object roughly,
    the centre of mass within it to a fraction of a cell: one step of mean shift. The saliency
    starts at zero, where regions are as they were. Nodes write to the map as before. Computed in
    float32 also under autocast.

    Args:
        regions: any module that gives regions.
        channels: C of the features.
        nodes: N: a saliency of each node's own; 1 for one that all share, which draws nodes that
            have not parted to the same bright places.
        compete: nodes share out each place by a softmax among them (slot attention, Locatello et
            al., 2020), so that no two read the same.
    """

    def __init__(self, regions: nn.Module, channels: int, nodes: int = 1, *, compete: bool = False):
        super().__init__()
        if compete and nodes == 1:
            raise ValueError(
                "nodes compete by saliencies of their own: say how many nodes there are"
            )
        self.regions: Any = regions
        self.compete = compete
        self.maps = nn.Conv2d(channels, nodes, 1)
        nn.init.zeros_(self.maps.weight)
        nn.init.zeros_(self.maps.bias)  # type: ignore[arg-type]

    @property
    def needs_boxes(self) -> bool:
        return getattr(self.regions, "needs_boxes", False)

    def forward(self, features: Tensor, state: Any = None, *boxes: Tensor) -> tuple[Regions, Any]:
        """features (B, T, C, H, W) -> regions of each frame, what the regions within carry on."""
        given, state = self.regions(features, state, *boxes)
        with torch.autocast(features.device.type, enabled=False):
            return self._sharpened(given, read_maps(self.maps, features)), state

    def _sharpened(self, given: Regions, maps: Tensor) -> Regions:
        """maps (B, T, N or 1, H, W)."""
        maps = maps.log_softmax(2) if self.compete else maps
        kernel = given.pool.dense().to(maps.dtype)
        if maps.shape[2] not in (1, kernel.shape[2]):
            raise ValueError(
                f"there are saliencies for {maps.shape[2]} nodes, and {kernel.shape[2]} regions: "
                f"say nodes={kernel.shape[2]}, or 1 for a saliency that all share"
            )
        maps = maps - maps.flatten(3).amax(-1)[..., None, None].detach()
        sharp = kernel * maps.exp()
        total = sharp.sum((-2, -1), keepdim=True)
        seen = total != 0  # else nothing is salient in all of it, beside a bright place elsewhere
        sharp = torch.where(seen, sharp / torch.where(seen, total, 1), kernel)
        centre = centre_of_mass(sharp)
        half = given.boxes[..., 2:].expand(*centre.shape[:-1], 2).to(centre.dtype)
        return given._replace(boxes=torch.cat((centre, half), -1), pool=DenseKernel(sharp))


def centre_of_mass(kernel: Tensor) -> Tensor:
    """(..., H, W) that sum to 1 -> (..., 2), (x, y) in [0, 1]."""
    found = []
    for axis in (-2, -1):  # summed away: over rows for x, over columns for y
        profile = kernel.sum(axis)
        cells = profile.shape[-1]
        place = (torch.arange(cells, dtype=kernel.dtype, device=kernel.device) + 0.5) / cells
        found.append(profile @ place)
    return torch.stack(found, -1)
