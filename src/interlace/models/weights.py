"""Weights in files: safetensors only, so loading never executes anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from interlace.files import writing


def save_weights(
    model: nn.Module, path: str | Path, *, card: Mapping[str, Any], half: bool = False
) -> Path:
    """Writes the weights of a model with what one must know to use them.

    Args:
        model: whose state dict is written.
        path: ends in .safetensors.
        card: model name, data, accuracy, ...; values that JSON knows.
        half: store floating-point tensors in half precision.

    Raises:
        ValueError: if a weight is not finite, or too large for half precision.
        OSError: if the file cannot be written; what was there stays.
    """
    from safetensors.torch import save

    tensors = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        tensors[name] = value.half() if half and value.is_floating_point() else value
    _check_finite(tensors, "in half precision: save without half" if half else "")
    with writing(path) as file:
        file.write_bytes(save(tensors, metadata={"card": json.dumps(dict(card))}))
    return Path(path)


def read_card(path: str | Path) -> dict[str, Any]:
    """The card that `save_weights` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_existing(path), framework="pt") as file:
            text = (file.metadata() or {}).get("card", "{}")
    except SafetensorError as error:
        raise ValueError(f"{path} {_instead(Path(path), error)}") from error
    try:
        card = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the card of {path} is damaged ({error}): take another copy") from error
    if not isinstance(card, dict):
        raise ValueError(f"the card of {path} is damaged (no names in it): take another copy")
    return card


def _instead(path: Path, error: Exception) -> str:
    """Why a file holds no weights of ours, and what to take instead."""
    if path.suffix == ".ckpt":
        best = path.with_name("best.safetensors")
        return f"is the state that a run goes on from, not its weights: take {best}"
    if path.suffix in (".pt", ".pth", ".tar"):
        return f"is no safetensors file: make one with `interlace convert {path} ours.safetensors`"
    return f"is not a complete safetensors file ({error})"


def load_weights(model: nn.Module, path: str | Path, *, name: str, part: str = "") -> None:
    """Fills a model from a file that `save_weights` wrote, whatever its precision.

    Args:
        model: changed in place.
        path: of the file.
        name: of the model, for the error.
        part: take only tensors whose names begin so, e.g. "backbone.", for this part of a model.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if the file is damaged or holds weights of another model.
    """
    from safetensors.torch import load_file

    made_for = read_card(path).get("model", "another model")
    tensors = {
        key.removeprefix(part): value
        for key, value in load_file(_existing(path)).items()
        if key.startswith(part)
    }
    own, held = (
        {(key, value.shape) for key, value in named.items()}
        for named in (model.state_dict(), tensors)
    )
    wrong = {key for key, _ in own ^ held}
    if wrong and made_for == name:
        raise ValueError(
            f"{path} holds weights of a {name} of another size: {min(wrong)} differs; create it "
            "with the num_classes that its card names"
        )
    if wrong:
        raise ValueError(
            f"{path} holds weights of {made_for}, not of {name}: {len(wrong)} tensors differ, "
            f"{min(wrong)} first; create the model that its card names"
        )
    _check_finite(tensors, f"in {path}: take weights from before training failed")
    model.load_state_dict(tensors)


def _check_finite(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"the weight {name} is not finite {where}".rstrip())


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise FileNotFoundError(
            f"{path} is a folder: name its weights, {path / 'best.safetensors'}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}: check the path")
    return path
