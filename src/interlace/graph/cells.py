"""The recurrent cells as one operation each, which a compiler passes over.

In float32 the library's LSTM runs, and once more in the backward pass: that costs a third more, but
the library keeps sixteen numbers for each one that comes out. In half precision on a CPU, where the
library's backward pass is slow, the LSTM is written out here and keeps five. So is the GRU in any
precision on a CPU: the library has many small steps for it, and in float32 slow products.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interlace.graph.linear import linear, product

WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


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
        weights: list[Tensor] = [getattr(self, name) for name in WEIGHTS]
        dtype = weights[0].dtype
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
        x, *hidden = [value.to(dtype) for value in (x, *hidden)]
        # to torch 2.11, torch.compile is an export, too
        exporting = torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()
        if exporting or (x.is_cuda and not torch.compiler.is_compiling()):
            return _library_run(self.kind, [x, *hidden, *weights], train=True)
        half = x.dtype in (torch.bfloat16, torch.float16)
        train = torch.is_grad_enabled()
        own = (train or not half) if self.kind == "gru" else (train and half)
        keep = own and x.device.type == "cpu"
        return _recur(self.kind, keep, x, hidden, weights)[: 1 + self.memories]


# --- the operation: [out, hidden at the end, what the backward pass needs] -----------------------


@torch.library.custom_op("interlace::recur", mutates_args=())
def _recur(
    kind: str, keep: bool, x: Tensor, hidden: list[Tensor], weights: list[Tensor]
) -> list[Tensor]:
    if keep:
        return (_lstm if kind == "lstm" else _gru)(x, *hidden, *weights)
    return _library_run(kind, [x, *hidden, *weights], train=False)


# made by hand, since inside a `custom_op` nothing can be differentiated
_library = torch.library.Library("interlace", "FRAGMENT")
_library.define("recur_backward(str kind, Tensor[] grads, Tensor[] inputs) -> Tensor[]")
_library.impl("recur_backward", torch.library.fallthrough_kernel, "Autograd")


def _backward(kind: str, grads: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    if len(inputs) > 6 + (kind == "lstm"):  # kept something
        return (_lstm_backward if kind == "lstm" else _gru_backward)(*grads, *inputs)
    with torch.enable_grad():
        inputs = [value.detach().requires_grad_() for value in inputs]
        out = _library_run(kind, inputs, train=True)
    *results, last = torch.autograd.grad(out, inputs, grads)
    return [*results, last.clone()]  # the two biases may share their gradient


_library.impl("recur_backward", _backward, "CompositeExplicitAutograd")


@_recur.register_fake
def _(kind: str, keep: bool, x: Tensor, hidden: list[Tensor], weights: list[Tensor]) -> Any:
    width = hidden[0].shape[-1]
    out = x.new_empty(*x.shape[:2], width)
    widths = ([4] if kind == "lstm" else [3, 1]) if keep else []
    kept = [x.new_empty(*x.shape[:2], k * width) for k in widths]
    return [out, *map(torch.empty_like, hidden), *kept]


@torch.library.register_fake("interlace::recur_backward")
def _(kind: str, grads: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    return [torch.empty_like(value) for value in inputs[: 6 + (kind == "lstm")]]


def _setup(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    ctx.kind, keep, x, hidden, weights = inputs
    kept = [output[0], *output[1 + len(hidden) :]] if keep else []  # outputs and gates
    ctx.save_for_backward(x, *hidden, *weights, *kept)


def _autograd(ctx: Any, grads: list[Tensor | None]) -> tuple:
    values = list(ctx.saved_tensors)
    x, *hidden = values[: 3 if ctx.kind == "lstm" else 2]
    like = [x.new_empty(()).expand(*x.shape[:2], hidden[0].shape[-1]), *hidden]
    grads = [torch.zeros_like(v) if g is None else g for g, v in zip(grads, like, strict=False)]
    results = torch.ops.interlace.recur_backward(ctx.kind, grads, values)
    return None, None, results[0], results[1:-4], results[-4:]


_recur.register_autograd(_autograd, setup_context=_setup)


def _library_run(kind: str, inputs: list[Tensor], *, train: bool) -> list[Tensor]:
    """inputs: x, the hidden ones, the four weights."""
    x, *hidden = inputs[:-4]
    options = ([weight.to(x.dtype) for weight in inputs[-4:]], True, 1, 0.0, train, False, False)
    with torch.autocast(x.device.type, enabled=False):
        if kind == "lstm":
            return list(torch.lstm(x, hidden, *options))
        return list(torch.gru(x, hidden[0], *options))


# --- the LSTM in half precision; what it remembers stays in float32 ------------------------------


def _lstm(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> list[Tensor]:
    """-> [out, h, c, gates (T, M, 4 D) after their activations]."""
    with torch.autocast(x.device.type, enabled=False):
        gates = F.linear(x, weight_ih.to(x.dtype), (bias_ih + bias_hh).to(x.dtype))
        weight_hh, width = weight_hh.to(x.dtype).t(), h.shape[-1]
        out = x.new_empty(*x.shape[:2], width)
        hidden, memory = h[0], c[0].float()
        for t in range(len(x)):
            z = gates[t].addmm_(hidden, weight_hh)
            i, f, g, o = z.chunk(4, -1)
            z[:, : 2 * width].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            memory = f * memory + i * g
            hidden = torch.mul(o, memory.tanh(), out=out[t])
    return [out, hidden[None].clone(), memory[None].to(x.dtype), gates]


def _lstm_backward(
    to_out: Tensor,
    to_h: Tensor,
    to_c: Tensor,
    x: Tensor,
    h: Tensor,
    c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    out: Tensor,
    gates: Tensor,
) -> list[Tensor]:
    """Gradients of x, h, c and the four weights."""
    through_sigmoid, through_tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    memory = [c[0].float()]  # before each frame, and after the last
    for i, f, g, _ in (z.chunk(4, -1) for z in gates):
        memory.append(f * memory[-1] + i * g)

    own, to_gates = weight_hh.to(x.dtype), torch.empty_like(gates)
    to_hidden, to_memory = to_h[0], to_c[0].float()
    for t in reversed(range(len(x))):
        to_hidden = (to_out[t] + to_hidden).float()
        i, f, g, o = gates[t].float().chunk(4, -1)
        to_i, to_f, to_g, to_o = to_gates[t].chunk(4, -1)
        shown = memory.pop().tanh()
        to_memory = to_memory + through_tanh(to_hidden * o, shown)
        to_i.copy_(through_sigmoid(to_memory * g, i))
        to_f.copy_(through_sigmoid(to_memory * memory[-1], f))
        to_g.copy_(through_tanh(to_memory * i, g))
        to_o.copy_(through_sigmoid(to_hidden * shown, o))
        to_memory = to_memory * f
        to_hidden = to_gates[t] @ own

    flat = to_gates.flatten(0, 1)  # (T * M, 4 D)
    before = torch.cat((h, out[:-1])).flatten(0, 1)
    to_bias = flat.sum(0, dtype=torch.float32).to(bias_ih.dtype)
    return [
        (flat @ weight_ih.to(x.dtype)).view_as(x),
        to_hidden[None].clone(),
        to_memory[None].to(c.dtype),
        (flat.t() @ x.flatten(0, 1)).to(weight_ih.dtype),
        (flat.t() @ before).to(weight_hh.dtype),
        to_bias,
        to_bias.clone(),
    ]


# --- the GRU on a CPU ----------------------------------------------------------------------------


def _gru(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> list[Tensor]:
    """-> [out, h, gates (T, M, 3 D), q (T, M, D)]: r, z, n after their activations; n hears r q."""
    width = h.shape[-1]
    with torch.autocast(x.device.type, enabled=False):
        gates = linear(x, weight_ih.to(x.dtype), bias_ih.to(x.dtype))
        weight_hh, bias_hh = weight_hh.to(x.dtype), bias_hh.to(x.dtype)
        out, memory = (x.new_empty(*x.shape[:2], width) for _ in range(2))
        hidden = h[0]
        parts = (gates[..., : 2 * width], *gates.chunk(3, -1), memory, out)
        for both, r, z, n, q, now in zip(*(part.unbind() for part in parts), strict=True):
            told, told_n = linear(hidden, weight_hh, bias_hh).split((2 * width, width), -1)
            both.add_(told).sigmoid_()
            n.addcmul_(r, q.copy_(told_n)).tanh_()
            hidden = torch.lerp(n, hidden, z, out=now)  # (1 - z) n + z h
    return [out, hidden[None].clone(), gates, memory]


def _gru_backward(
    to_out: Tensor,
    to_h: Tensor,
    x: Tensor,
    h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    out: Tensor,
    gates: Tensor,
    q: Tensor,
) -> list[Tensor]:
    """Gradients of x, h and the four weights."""
    through_sigmoid, through_tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    r, z, n = gates.chunk(3, -1)
    before = torch.cat((h, out[:-1]))
    # what a change of the hidden state is worth before the activations
    to_n = through_tanh(1 - z, n)
    to_z = through_sigmoid(before - n, z)
    to_told = torch.cat((through_sigmoid(to_n * q, r), to_z, to_n * r), dim=-1)

    own, width = weight_hh.to(x.dtype), h.shape[-1]
    to_hidden = torch.empty_like(out, dtype=torch.promote_types(x.dtype, torch.float32))
    carried = to_h[0]
    for t in reversed(range(len(x))):
        torch.add(to_out[t], carried, out=to_hidden[t])
        to_told[t].unflatten(-1, (3, width)).mul_(to_hidden[t, :, None])
        carried = to_hidden[t] * z[t] + product(to_told[t], own)

    flat = to_told.flatten(0, 1)  # (T * M, 3 D)
    to_own = product(flat.t(), before.flatten(0, 1)).to(weight_hh.dtype)
    to_own_bias = flat.sum(0, dtype=to_hidden.dtype).to(bias_hh.dtype)
    to_told[..., 2 * width :] = to_hidden * to_n  # what comes from x is not multiplied by r
    return [
        product(flat, weight_ih.to(x.dtype)).view_as(x),
        carried[None].to(h.dtype),
        product(flat.t(), x.flatten(0, 1)).to(weight_ih.dtype),
        to_own,
        flat.sum(0, dtype=to_hidden.dtype).to(bias_ih.dtype),
        to_own_bias,
    ]
