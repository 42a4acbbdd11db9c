"""The registries of models and of backbones: a decorator puts one into them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from torch import nn

from interlace.models.backbones.normalise import Normalise
from interlace.models.classifier import VideoClassifier
from interlace.models.insertion.insert import over_video
from interlace.registry import Registry

Build = Callable[[int], VideoClassifier]
BuildNetwork = Callable[[], nn.Module]

DROPOUT = 0.5  # before the head of a network on real videos, as TSM trains


class Models(Registry[Build]):
    """Name -> what builds a model for so many classes."""

    def __init__(self) -> None:
        super().__init__("model")
        self._channels: dict[str, int] = {}

    def register(
        self, name: str, about: str = "", *, channels: int = 3
    ) -> Callable[[Build], Build]:
        """As of any registry.

        Args:
            name: to find it by.
            about: one line.
            channels: of the video it takes, 3 for real videos, 1 for digits.
        """
        add = super().register(name, about)

        def register(build: Build) -> Build:
            add(build)
            self._channels[name] = channels
            return build

        return register

    def channels(self, name: str) -> int:
        """Of the video that a model takes."""
        return self._channels[self.find(name)]


MODELS = Models()


class Backbones(Registry[BuildNetwork]):
    """Name -> what builds a network over video, without a head.

    Over frames (M, 3, H, W), over clips (B, 3, T, H, W), or what `insert` made of either. Each is a
    model of the same name, too: with a mean over space and time and a head behind it.
    """

    def __init__(self) -> None:
        super().__init__("backbone")

    def register(self, name: str, about: str = "") -> Callable[[BuildNetwork], BuildNetwork]:
        """As of any registry."""
        register = super().register(name, about)

        def both(build: BuildNetwork) -> BuildNetwork:
            @MODELS.register(name, about)
            @wraps(build)
            def alone(num_classes: int) -> VideoClassifier:
                return with_head(build(), num_classes)

            return register(build)

        return both


BACKBONES = Backbones()


def with_head(network: nn.Module, num_classes: int) -> VideoClassifier:
    """A network for real videos, its features averaged over space and time, and a head."""
    body = over_video(network)
    said = getattr(body.network, "pretrained_cfg", None) or {}  # timm's say how they were trained
    frames = Normalise(**{key: said[key] for key in ("mean", "std") if key in said})
    return VideoClassifier(frames, body, num_classes, dropout=DROPOUT)
