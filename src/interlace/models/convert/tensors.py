"""The tensors of a checkpoint, and modules filled with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Arrays = Mapping[str, Any]  # name -> array of numpy or torch
M = TypeVar("M", bound=nn.Module)


class Tensors(dict[str, Tensor]):
    """Name -> tensor; one that is lacking is named."""

    def __missing__(self, name: str) -> Tensor:
        near = ", ".join(sorted(self)[:3])
        raise KeyError(f"the checkpoint lacks {name}; it has {near}, ...")

    def take(self, name: str) -> Tensor:
        """The tensor, which is then left no more."""
        value = self[name]
        del self[name]
        return value


def fill(module: M, tensors: Arrays, names: Mapping[str, str] | None = None) -> M:
    """Fills a module with exactly these tensors, so that none is dropped silently.

    Args:
        module: changed in place, and put in eval mode.
        tensors: name -> array; axes of one cell may be more or fewer than in the module.
        names: how a name begins in the module -> how it begins there, if that is another.

    Raises:
        KeyError: if one is lacking.
        ValueError: if one has no place, or another shape.
    """
    own = module.state_dict()
    theirs = {name: _theirs(name, names or {}) for name in own}
    optional = {name for name in theirs.values() if name.endswith("num_batches_tracked")}
    if lacks := sorted({*theirs.values()} - tensors.keys() - optional):
        raise KeyError(f"the checkpoint lacks {', '.join(lacks[:5])} ({len(lacks)} in all)")
    if more := sorted(tensors.keys() - theirs.values()):
        raise ValueError(f"not used from the checkpoint: {', '.join(more)}")
    for name, value in own.items():
        if theirs[name] in tensors:
            held = torch.as_tensor(tensors[theirs[name]])
            if [n for n in held.shape if n > 1] != [n for n in value.shape if n > 1]:
                raise ValueError(
                    f"{theirs[name]} is {tuple(held.shape)} in the checkpoint, "
                    f"{tuple(value.shape)} here"
                )
            value.copy_(held.reshape(value.shape))
    return module.eval()


def _theirs(name: str, names: Mapping[str, str]) -> str:
    for ours, theirs in names.items():
        if f"{name}.".startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    return name
