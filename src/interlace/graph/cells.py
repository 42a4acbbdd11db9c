"""The library's recurrences as one operation each, which a compiler passes over.

The backward pass runs the recurrence again: it costs a third more, and the library keeps sixteen
numbers for each one that comes out, while this keeps what goes in.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class Cell(nn.RNNBase):
    """An LSTM or a GRU of one layer, with the library's weights and their names.

    Args:
        kind: "lstm" or "gru".
        width: of what comes in and goes out.
    """

    def __init__(self, kind: Literal["lstm", "gru"], width: int):
        super().__init__(kind.upper(), width, width)
        self.kind = kind
        self.memories = 2 if kind == "lstm" else 1  # h and c, or h

    def forward(self, x: Tensor, hidden: list[Tensor]) -> list[Tensor]:
        """Run over x, on from `hidden`.

        Args:
            x: (T, M, D).
            hidden: (1, M, D) each: [h, c] of an LSTM, [h] of a GRU.

        Returns:
            [(T, M, D) all outputs, then where it ended, as `hidden`].
        """
        dtype = self.weight_ih_l0.dtype
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
        weights = [self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]
        x, *others = [value.to(dtype) for value in (x, *hidden, *weights)]
        if torch.compiler.is_exporting() or (x.is_cuda and not torch.compiler.is_compiling()):
            return _run(self.kind, [x, *others], train=True)  # as the library has it
        return _recur(self.kind, x, others[:-4], others[-4:])


def _run(kind: str, inputs: list[Tensor], *, train: bool) -> list[Tensor]:
    """inputs: x, the hidden ones, the four weights."""
    x, *hidden = inputs[:-4]
    options = (inputs[-4:], True, 1, 0.0, train, False, False)
    with torch.autocast(x.device.type, enabled=False):
        if kind == "lstm":
            return list(torch.lstm(x, hidden, *options))
        return list(torch.gru(x, hidden[0], *options))


@torch.library.custom_op("interlace::recur", mutates_args=())
def _recur(kind: str, x: Tensor, hidden: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    return _run(kind, [x, *hidden, *weights], train=False)


# made by hand, since inside a `custom_op` nothing can be differentiated
_library = torch.library.Library("interlace", "FRAGMENT")
_library.define("recur_backward(str kind, Tensor[] grads, Tensor[] inputs) -> Tensor[]")
_library.impl("recur_backward", torch.library.fallthrough_kernel, "Autograd")


def _backward(kind: str, grads: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    with torch.enable_grad():
        inputs = [value.detach().requires_grad_() for value in inputs]
        out = _run(kind, inputs, train=True)
    *results, last = torch.autograd.grad(out, inputs, grads)
    return [*results, last.clone()]  # the two biases may share their gradient


_library.impl("recur_backward", _backward, "CompositeExplicitAutograd")


@_recur.register_fake
def _(kind, x, hidden, weights):
    return [x.new_empty(*x.shape[:2], hidden[0].shape[-1]), *map(torch.empty_like, hidden)]


@torch.library.register_fake("interlace::recur_backward")
def _(kind, grads, inputs):
    return [torch.empty_like(value) for value in inputs]


def _setup(ctx, inputs, output):
    ctx.kind, x, hidden, weights = inputs
    ctx.save_for_backward(x, *hidden, *weights)


def _autograd(ctx, grads):
    x, *others = ctx.saved_tensors
    hidden, weights = others[:-4], others[-4:]
    like = [x.new_empty(()).expand(*x.shape[:2], hidden[0].shape[-1]), *hidden]
    grads = [torch.zeros_like(v) if g is None else g for g, v in zip(grads, like, strict=True)]
    to_x, *results = torch.ops.interlace.recur_backward(ctx.kind, grads, [x, *hidden, *weights])
    return None, to_x, results[:-4], results[-4:]


_recur.register_autograd(_autograd, setup_context=_setup)
