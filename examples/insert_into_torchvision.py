"""A graph in a network of torchvision, and a training step on random video; takes seconds.

python examples/insert_into_torchvision.py
"""

from functools import partial

import torch
import torchvision
from torch.nn.functional import cross_entropy

import interlace


def main(frames: int = 8, size: int = 112) -> tuple[float, float]:
    """Losses before and after the step.

    Args:
        frames: of a clip.
        size: of a frame, in pixels.
    """
    torch.manual_seed(0)
    video = torch.rand(2, frames, 3, size, size)  # (B, T, 3, H, W), normalise real ones
    labels = torch.tensor([3, 7])

    # Any network, pretrained or not. The graph is told its channels, 256, when it is put in.
    network = torchvision.models.resnet18(num_classes=10).eval()
    alone = network(video.flatten(0, 1)).unflatten(0, video.shape[:2])
    model = interlace.insert(network, {"layer3.1": partial(interlace.DyReg, nodes=9)})

    # A fresh graph adds nothing: the network is as good as before.
    logits, traces = model(video, return_trace=True)  # (B, T, classes)
    print(f"changed by a fresh graph: {float((logits - alone).detach().abs().max())}")
    boxes = traces["layer3.1"].boxes  # (B, T, N, 4): cx, cy, rx, ry as fractions of the frame
    print(f"regions {tuple(boxes.shape)}, the first at {boxes[0, 0, 0].tolist()}")

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = cross_entropy(logits.mean(1), labels)
    before.backward()
    optimizer.step()
    with torch.no_grad():
        after = cross_entropy(model(video).mean(1), labels)
    print(f"loss {before.item():.3f} -> {after.item():.3f}")

    assert model.remove() is network  # out again, with what it has learnt
    return before.item(), after.item()


if __name__ == "__main__":
    main()
