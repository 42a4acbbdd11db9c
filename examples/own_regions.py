"""Regions of one's own: nodes that look around the boxes they are told; takes a second.

python examples/own_regions.py
"""

import torch
from torch import Tensor, nn

import interlace
from interlace.graph.regions.regions import Regions, triangles


class Surroundings(nn.Module):
    """Each node looks at a told box, and as far around it as it has learned."""

    needs_boxes = True  # the graph hands on what it is told: block(features, boxes=boxes)

    def __init__(self):
        super().__init__()
        self.grow = nn.Parameter(torch.tensor(0.5))

    def forward(self, features: Tensor, state: None, boxes: Tensor) -> tuple[Regions, None]:
        """features (B, T, C, H, W), boxes (B, T, N, 4) -> regions, and no state to carry."""
        centre, half = boxes.split(2, dim=-1)  # fractions of the frame
        wider = torch.cat((centre, half * (1 + self.grow.exp())), dim=-1)
        return triangles(wider, features), None


def main() -> float:
    """How much the loss tells the regions to grow."""
    torch.manual_seed(0)
    graph = interlace.DyReg(64, regions=Surroundings(), readout="vector")
    features = torch.randn(2, 8, 64, 14, 14)  # (B, T, C, H, W) of any backbone
    boxes = torch.rand(2, 8, 5, 4) * 0.1 + 0.1  # (B, T, N, 4), as a detector gives them
    out, trace = graph(features, boxes=boxes, return_trace=True)
    print(f"told a half extent of {boxes[0, 0, 0, 2]:.2f}, looked at {trace.boxes[0, 0, 0, 2]:.2f}")
    out.square().mean().backward()
    return float(graph.regions.grow.grad)


if __name__ == "__main__":
    main()
