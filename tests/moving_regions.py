"""Made-up traces whose regions follow digits, or any boxes, as those of DyReg-GNN do."""

import re

import torch

from interlace.data.digits.images import load_digits
from interlace.data.digits.syncmnist import SyncMNIST
from interlace.graph.trace import Trace


def triangles(boxes, size=(9, 11)):
    """Kernels (..., H, W) of boxes (..., 4): products of triangles that sum to 1."""
    profiles = []
    for cells, centre, half in ((size[0], 1, 3), (size[1], 0, 2)):
        place = (torch.arange(cells) + 0.5) / cells
        reach = boxes[..., half, None].clamp(min=1 / cells)
        profiles.append((reach - (boxes[..., centre, None] - place).abs()).clamp(min=0) + 1e-9)
    kernels = profiles[0][..., :, None] * profiles[1][..., None, :]
    return kernels / kernels.sum((-2, -1), keepdim=True)


def moving_trace(objects, nodes=9, *, rounds=1, seed=0):
    """A trace of one clip whose regions follow objects (T, D, 4) with noise, nodes in turn."""
    generator = torch.Generator().manual_seed(seed)
    time, count, _ = objects.shape
    boxes = objects[:, torch.arange(nodes) % count].clone()
    boxes[..., :2] += 0.03 * torch.randn(time, nodes, 2, generator=generator)
    boxes[..., 2:] *= torch.exp(0.2 * torch.randn(time, nodes, 2, generator=generator))
    return trace_of(boxes[None], rounds=rounds, seed=seed)


def trace_of(boxes, *, kernels=None, rounds=1, seed=0, mass=None):
    """A trace (1, T, N, ...) with these boxes, their kernels and random attention."""
    generator = torch.Generator().manual_seed(seed)
    batch, time, nodes, _ = boxes.shape
    logits = torch.randn(batch, time, rounds, 1, nodes, nodes, generator=generator)
    return Trace(
        boxes=boxes,
        kernels=triangles(boxes) if kernels is None else kernels,
        attention=logits.softmax(-1),
        nodes=torch.zeros(batch, time, nodes, 2),
        mass=torch.ones(batch, time, nodes) if mass is None else mass,
    )


def a_clip(index=3, **options):
    """One SyncMNIST video with its boxes, and which of its digits move together."""
    videos = SyncMNIST(
        load_digits("embedded", train=False), size=20, split="test", no_pair=0.0, **options
    )
    one = videos.batch([index])
    return one.video[0], one.boxes[0], one.synchronous[0]


def drawn(axes, gid):
    """The artists of a panel whose gid starts so, by their number."""
    found = axes.findobj(lambda artist: re.match(rf"{gid} \d+$", artist.get_gid() or ""))
    return {int(artist.get_gid().split()[-1]): artist for artist in found}


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
