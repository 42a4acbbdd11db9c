"""The tensors of a checkpoint, and modules filled with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from interlace.graph.space_stage import Send

Arrays = Mapping[str, np.ndarray]
M = TypeVar("M", bound=nn.Module)


class Tensors:
    """The tensors of a checkpoint; remembers which were taken, so that none is dropped silently."""

    def __init__(self, tensors: Arrays):
        self.left = {name: torch.as_tensor(np.asarray(value)) for name, value in tensors.items()}

    def has(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> Tensor:
        if name not in self.left:
            near = ", ".join(sorted(self.left)[:3])
            raise KeyError(f"the checkpoint lacks {name}; unused so far: {near}, ...")
        return self.left.pop(name)

    def into(self, module: M, prefix: str, **theirs: str) -> M:
        """Fills all parameters of a module from those under a prefix, given their other names."""
        for name, _ in module.named_parameters():
            fill(module, **{name: self.take(f"{prefix}.{theirs.get(name, name)}")})
        return module

    def take_all(self, prefix: str) -> dict[str, np.ndarray]:
        """All that is left under a prefix, by the rest of their names."""
        names = [name for name in self.left if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.left.pop(name).numpy() for name in names}

    def finish(self) -> None:
        if self.left:
            raise ValueError(f"not used from the checkpoint: {', '.join(sorted(self.left))}")


@torch.no_grad()
def fill(module: nn.Module, **values: Tensor) -> None:
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, value in values.items():
        own[name.replace("__", ".")].copy_(value.reshape(own[name.replace("__", ".")].shape))


def fill_send(send: Send, weight: Tensor, bias: Tensor, width: int) -> None:
    """[W_s | W_r] of the first layer on [v_j | v_i] -> its two parts."""
    sender, receiver = weight.chunk(2, dim=1)
    fill(send, sender__weight=sender, sender__bias=bias, receiver__weight=receiver)
