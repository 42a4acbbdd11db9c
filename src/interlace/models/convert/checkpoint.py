"""A checkpoint in a file: its tensors, and what stands beside them. Nothing in it is executed."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

# names that a state dict has within a training's checkpoint
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")


class Checkpoint(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: name -> tensor; floats are float32.
        beside: names of what is no part of the model, such as the epoch and the optimiser.
    """

    tensors: dict[str, Tensor]
    beside: list[str]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a state dict, or a checkpoint around one: PyTorch's, or safetensors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint at {path}: check the path")
    held = _held(path)
    wrappers = WRAPPERS if isinstance(held, Mapping) else ()
    wrapper = next((name for name in wrappers if isinstance(held.get(name), Mapping)), None)
    beside = [str(name) for name in held if name != wrapper] if wrapper else []
    held = held[wrapper] if wrapper else held
    if not isinstance(held, Mapping) or not held:
        raise ValueError(f"{path} holds no names and tensors, but a {type(held).__name__}")
    if wrong := [name for name, value in held.items() if not isinstance(value, Tensor)]:
        raise ValueError(
            f"{path} holds no state dict: {wrong[0]} is no tensor, but a "
            f"{type(held[wrong[0]]).__name__}; save the state dict alone with torch.save"
        )
    floats = {k: v.float() if v.is_floating_point() else v for k, v in held.items()}
    return Checkpoint({str(name): value for name, value in floats.items()}, beside)


def _held(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error})") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise ValueError(
            f"{path} holds more than tensors, or is damaged ({reason}); save its state dict "
            "alone with torch.save"
        ) from error
