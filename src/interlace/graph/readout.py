"""From nodes to what the rest of a network takes: a map or a vector (RSTG, section 2.3)."""

from __future__ import annotations

from torch import Tensor, nn

from interlace.graph.kernels import Kernel, remap
from interlace.graph.state import carried


class ToMap(nn.Module):
    """RSTG-to-map: every node goes back to where it came from; regions that overlap add up."""

    def forward(
        self, nodes: Tensor, state: None, kernel: Kernel, every_frame: bool = False
    ) -> tuple[Tensor, None]:
        """nodes (B, T, N, C) -> map (B, T, C, H, W)."""
        return remap(nodes, kernel), None


class ToEverywhere(nn.Module):
    """The sum of all nodes of a frame, the same at every place of the map.

    RSTG-to-vec inside a network: "we sum all the nodes and add them to the global spatial mean
    pooling of the backbone and average them across time" (RSTG, appendix B). A mean over the map
    with the vector added everywhere is the mean of the map plus the vector.
    """

    def forward(
        self, nodes: Tensor, state: None, kernel: Kernel, every_frame: bool = False
    ) -> tuple[Tensor, None]:
        """nodes (B, T, N, C) -> (B, T, C, 1, 1)."""
        return nodes.sum(2)[..., None, None], None


class ToVector(nn.Module):
    """RSTG-to-vec: the sum of all nodes, at the last step (the paper)."""

    def forward(
        self, nodes: Tensor, state: Tensor | None, kernel: Kernel, every_frame: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """nodes (B, T, N, C) -> vector (B, C), or (B, T, C) as of every frame."""
        return (nodes.sum(2) if every_frame else nodes[:, -1].sum(1)), None


class ToMeanVector(nn.Module):
    """The sum of all nodes, averaged over every step seen so far (the authors' program)."""

    def forward(
        self, nodes: Tensor, state: Tensor | None, kernel: Kernel, every_frame: bool = False
    ) -> tuple[Tensor, Tensor]:
        """nodes (B, T, N, C) -> vector (B, C), or (B, T, C) as of every frame.

        State (B, C + 1): sum and count.
        """
        batch, channels = len(nodes), nodes.shape[-1]
        state = carried(state, (batch, channels + 1), nodes)
        seen = nn.functional.pad(nodes.sum(2, dtype=state.dtype), (0, 1), value=1)  # (B, T, C + 1)
        if not every_frame:
            seen = seen.sum(1, keepdim=True)
        seen = state[:, None] + seen.cumsum(1)
        means = (seen[..., :-1] / seen[..., -1:]).to(nodes.dtype)
        return (means if every_frame else means[:, -1]), seen[:, -1]


class ZeroStartNorm(nn.LayerNorm):
    """Normalises a map over its channels; scale and shift start at zero, so it first adds nothing.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__(channels)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C, H, W) -> the same."""
        return super().forward(x.movedim(2, -1)).movedim(-1, 2)
