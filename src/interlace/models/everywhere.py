"""What a graph says of a whole frame, told to every place of its map."""

from __future__ import annotations

from torch import Tensor, nn

from interlace.graph.kernels import Kernel


class ToEverywhere(nn.Module):
    """The sum of all nodes of a frame, the same at every place: a readout for `GraphBlock`.

    RSTG-to-vec inside a network: "we sum all the nodes and add them to the global spatial mean
    pooling of the backbone and average them across time" (RSTG, appendix B). A mean over the map
    with the vector added everywhere is the mean of the map plus the vector.
    """

    def forward(self, nodes: Tensor, state: None, kernel: Kernel) -> tuple[Tensor, None]:
        """nodes (B, T, N, C) -> (B, T, C, 1, 1)."""
        return nodes.sum(2)[..., None, None], None
