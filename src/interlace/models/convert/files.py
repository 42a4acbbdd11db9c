"""A released checkpoint in a file -> our weights in a file, and back into a model."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interlace.models.classifier import VideoClassifier
from interlace.models.convert.released import sort_tensors, tsm_from_pytorch
from interlace.models.weights import load_weights, read_card, save_weights

MODEL = "tsm_r50_dyreg"


def convert_file(source: str | Path, target: str | Path) -> Iterator[str]:
    """Writes a released checkpoint as safetensors with a card; lines on what went where.

    Args:
        source: a PyTorch checkpoint, read without executing anything, or safetensors.
        target: ends in .safetensors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is another kind of file, or not all of it has a place; nothing is written.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise ValueError(f"the new file must end in .safetensors, got {target.name}")
    if source.resolve() == target.resolve():
        raise ValueError(f"{source} would be overwritten: choose another name")
    tensors = read_checkpoint(source)
    parts = sort_tensors(tensors)
    yield from parts.lines()
    model = tsm_from_pytorch(parts)
    card = {
        "model": MODEL,
        "num_classes": model.num_classes,
        "converted_from": source.name,
        "made_from": {
            name: list(value.shape)
            for name, value in tensors.items()
            if name not in parts.constants
        },
    }
    save_weights(model, target, card=card)
    yield f"{sum(p.numel() for p in model.parameters()):,} parameters in {target}"


def open_converted(path: str | Path) -> VideoClassifier:
    """The model that `convert_file` wrote.

    Its shape follows from the names and shapes it was made from, which its card keeps.

    Raises:
        ValueError: for a file that `convert_file` did not write.
    """
    made_from = read_card(path).get("made_from")
    if not isinstance(made_from, Mapping):
        raise ValueError(f"{path} was not written by `interlace convert`")
    zeros = {name: np.zeros(shape, np.float32) for name, shape in made_from.items()}
    model = tsm_from_pytorch(sort_tensors(zeros))
    load_weights(model, path, name=MODEL)
    return model


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Name -> array of all tensors in a PyTorch checkpoint or a safetensors file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}: check the path")
    held: Any
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            held = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a complete safetensors file ({error})") from error
    else:
        try:
            held = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = " ".join(str(error).split("\n")[0].split())
            raise ValueError(
                f"{path} holds more than tensors, or is damaged ({reason}); save its state dict "
                "alone with torch.save"
            ) from error
    if isinstance(held, Mapping) and isinstance(held.get("state_dict"), Mapping):
        held = held["state_dict"]  # beside it: epoch, name of the architecture, best accuracy
    if not isinstance(held, Mapping) or not held:
        raise ValueError(f"{path} holds no names and tensors, but a {type(held).__name__}")
    if wrong := [name for name, value in held.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{path} holds no state dict: {wrong[0]} is no tensor")
    return {name: _array(value) for name, value in held.items()}


def _array(value: Tensor) -> np.ndarray:
    return value.float().numpy() if value.is_floating_point() else value.numpy()
