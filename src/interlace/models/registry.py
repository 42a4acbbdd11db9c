"""Models by name: build one, list them, open one from a file."""

from __future__ import annotations

import difflib
import fnmatch
from pathlib import Path
from typing import Any

from interlace.models import digit_models, video_models
from interlace.models.backbones.timm import PREFIX, timm_entry
from interlace.models.classifier import VideoClassifier
from interlace.models.entry import Entry
from interlace.models.weights import load_weights, read_card

_MODELS: dict[str, Entry] = {**digit_models.MODELS, **video_models.MODELS}


def list_models(pattern: str = "*", *, channels: int | None = None) -> list[str]:
    """Names of all registered models that match a shell-style pattern.

    Args:
        pattern: such as "tsm_r50*".
        channels: only those for such video; 1 is digits, 3 real videos.

    Example:
        >>> list_models("rstg_all*")
        ['rstg_all_temp', 'rstg_all_temp_small']
    """
    names = fnmatch.filter(_MODELS, pattern)
    return sorted(n for n in names if channels in (None, _MODELS[n].channels))


def describe_model(name: str) -> str:
    """One line on a registered model."""
    return _entry(name).about


def create_model(
    name: str, *, num_classes: int = 46, weights: str | Path | None = None
) -> VideoClassifier:
    """Builds a registered model.

    Args:
        name: see `list_models`; or "timm/..." for any network of timm on each frame.
        num_classes: of the logits; 46 for SyncMNIST.
        weights: a safetensors file with weights of the same model; None starts fresh.

    Raises:
        ValueError: for an unknown name, or weights of another model.
        FileNotFoundError: for weights that are not there.

    Example:
        >>> create_model("mean_lstm_small", num_classes=11).num_classes
        11
    """
    model = _entry(name).build(num_classes)
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


def input_channels(name: str) -> int:
    """Of the video that a registered model takes: 1 for digits, 3 for real videos."""
    return _entry(name).channels


def _entry(name: str) -> Entry:
    if name.startswith(PREFIX):
        return timm_entry(name)
    if name not in _MODELS:
        near = difflib.get_close_matches(name.lower(), _MODELS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no model is named {name!r}; {hint}`interlace list` shows all")
    return _MODELS[name]
