"""Ways to the same results that are faster where a benchmark shows it, and one switch for them.

`graph` is right and complete without this folder. Each way is taken only where nothing can tell it
from the plain one: parts with hooks, wrapped or subclassed ones, and transforms of torch.func get
the plain equations.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar, Token

import torch
from torch import nn

from interlace.graph.checkpoint import transformed

_WANTED: ContextVar[bool] = ContextVar("interlace_fast", default=True)


class use:  # noqa: N801, a call that is a context, too
    """Switches the faster ways on or off, in this thread: for good, or for a `with` block.

    Args:
        wanted: False for the plain equations; at first it is True.

    Example:
        >>> import torch, interlace
        >>> graph, features = interlace.RSTG(16, width=8), torch.randn(1, 2, 16, 6, 6)
        >>> with use(False):
        ...     plain = graph(features)
        >>> bool(torch.allclose(plain, graph(features)))
        True
    """

    def __init__(self, wanted: bool):
        self._before: Token[bool] = _WANTED.set(wanted)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        _WANTED.reset(self._before)


def suits(modules: Iterable[nn.Module], kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether a faster way may stand for these modules: they are of these very kinds, and unseen.

    A compiler finds its own ways, and torch.func is best served with the plain one.
    """
    if torch.compiler.is_compiling() or not _WANTED.get() or transformed():
        return False
    return all(type(module) in kinds and not _is_seen(module) for module in modules)


def _is_seen(module: nn.Module) -> bool:
    return bool(
        "forward" in vars(module)
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
