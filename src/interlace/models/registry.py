"""Models by name: build one, list them, open one from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interlace.models import content_models, digit_models, video_models  # noqa: F401, which register theirs
from interlace.models.backbones.timm import PREFIX, timm_network
from interlace.models.classifier import VideoClassifier
from interlace.models.named import BACKBONES, MODELS, with_head
from interlace.models.weights import load_weights, read_card

__all__ = ["BACKBONES", "MODELS", "create_model", "list_models", "open_weights"]


def list_models(pattern: str = "*", *, channels: int | None = None) -> list[str]:
    """Names of all registered models that match a shell-style pattern.

    Args:
        pattern: such as "tsm_r50*"; "my_models:*" imports a module of yours and lists its own.
        channels: only those for such video; 1 is digits, 3 real videos.

    Example:
        >>> list_models("rstg_all*")
        ['rstg_all_temp', 'rstg_all_temp_small']
    """
    names = MODELS.names(pattern)
    return sorted(name for name in names if channels in (None, MODELS.channels(name)))


def describe_model(name: str) -> str:
    """One line on a registered model."""
    if name.startswith(PREFIX):
        return f"timm's {name.removeprefix(PREFIX)} on each frame"
    return MODELS.about(name)


def input_channels(name: str) -> int:
    """Of the video that a registered model takes: 1 for digits, 3 for real videos."""
    return 3 if name.startswith(PREFIX) else MODELS.channels(name)


def create_model(
    name: str, *, num_classes: int = 46, weights: str | Path | None = None
) -> VideoClassifier:
    """Builds a registered model.

    Args:
        name: see `list_models`; "timm/..." for any network of timm on each frame; "module:name"
            for a model or a backbone that a module of yours registers.
        num_classes: of the logits; 46 for SyncMNIST.
        weights: a safetensors file with weights of the same model; None starts fresh.

    Raises:
        ValueError: for an unknown name, or weights of another model.
        FileNotFoundError: for weights that are not there.

    Example:
        >>> create_model("mean_lstm_small", num_classes=11).num_classes
        11
    """
    if name.startswith(PREFIX):
        model = with_head(timm_network(name.removeprefix(PREFIX)), num_classes)
    else:
        model = MODELS[name](num_classes)
    if weights is not None:
        load_weights(model, weights, name=name)
    return model


def open_weights(path: str | Path) -> tuple[VideoClassifier, dict[str, Any]]:
    """The model that a safetensors file was saved from, and its card.

    Raises:
        FileNotFoundError: for weights that are not there.
        ValueError: for a file without a card of ours.
    """
    card = read_card(path)
    if not {"model", "num_classes"} <= card.keys():
        raise ValueError(
            f"{path} has no card that names its model: use create_model(name, weights=...) instead"
        )
    if "made_from" in card:
        from interlace.models.convert.files import open_converted

        return open_converted(path), card
    return create_model(card["model"], num_classes=card["num_classes"], weights=path), card
