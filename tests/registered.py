"""Registered models, for tests."""

import functools

import torch

from interlace.data.digits.datasets import DATASETS
from interlace.models.registry import BACKBONES, MODELS, create_model


@functools.cache
def awake(name):
    """A model in eval mode with nothing at zero, so that every part has a say."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=7).eval()
    with torch.no_grad():
        for value in model.parameters():
            if not bool(value.any()):
                value.normal_(std=0.3)
    return model


def register_for_a_test(monkeypatch):
    """What is registered from here on is forgotten after the test."""
    for registry in (MODELS, BACKBONES, DATASETS):
        for name, held in vars(registry).items():
            if isinstance(held, dict):
                monkeypatch.setattr(registry, name, dict(held))
