"""Memory for time: what is large is not kept for the backward pass, but computed again in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


def again_if(large: bool, call: Callable[..., Any], *values: Any) -> Any:
    """call(*values); if it is large, computed once more in the backward pass.

    Not under the transforms of torch.func, which cannot go through a checkpoint.
    """
    if large and torch.is_grad_enabled() and not transformed():
        return checkpoint(call, *values, use_reentrant=False)
    return call(*values)


def transformed() -> bool:
    """Whether a transform of torch.func is at work: grad, vmap, jvp and what is made of them."""
    return torch._C._are_functorch_transforms_active()
