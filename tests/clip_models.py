"""Tiny models for video files, with two graphs or none, and their weights in a file."""

import dataclasses

import torch
from torch import nn

import interlace
from interlace.data.clips.shape import ClipShape
from interlace.models.backbones.normalise import Normalise
from interlace.models.classifier import VideoClassifier
from interlace.models.registry import MODELS
from interlace.models.weights import save_weights
from registered import register_for_a_test

CLIPS = ClipShape(num_frames=4, size=32, short_side=40)
CLASSES = ["left", "right", "apart"]


def network(*, graphs=True, seed=0):
    """Two convolutions on each frame, with a graph after each."""
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1))
    if not graphs:
        return interlace.insert(layers, {"0": lambda channels: Still(channels)})
    body = interlace.insert(
        layers, {at: lambda c: interlace.DyReg(c, nodes=3, width=8, rounds=1) for at in "02"}
    )
    with torch.no_grad():
        for value in body.graphs.parameters():
            if not bool(value.any()):
                value.normal_(std=0.5)  # what starts at zero wakes up
    return body


class Still(nn.Module):
    """Keeps the face of a graph, changes nothing and has no trace."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, features, state=None, *, return_state=False, return_trace=False):
        return (features, *([()] * return_state), *([None] * return_trace))


def classifier(**options):
    return VideoClassifier(Normalise(), network(**options), num_classes=3).eval()


def saved(model, path, monkeypatch):
    """Weights of a `classifier()` in a file, while it is a model of the registry."""
    register_for_a_test(monkeypatch)
    MODELS.register("tiny_clips", "tiny")(lambda classes: classifier())
    card = {
        "model": "tiny_clips",
        "num_classes": 3,
        "classes": CLASSES,
        "clips": dataclasses.asdict(CLIPS),
    }
    return save_weights(model, path, card=card)
