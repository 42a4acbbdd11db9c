"""A linear layer whose product is whichever is fastest: the same numbers as the library's."""

import pytest
import torch
from torch.nn import functional as F

from interlace.graph.linear import linear, product
from tolerances import BFLOAT16, EXACT, FLOAT32


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [(1,), (2, 3), (4, 81)])
@torch.no_grad()
def test_as_the_librarys(rows, dtype, relu):
    x, weight, bias = draw(*rows, 16), draw(24, 16, seed=1), draw(24, seed=2)
    expected = x.double() @ weight.double().t() + bias.double()
    expected = expected.clamp(min=0) if relu else expected
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    if dtype == torch.float64:
        expected = F.linear(x, weight, bias)
        expected = expected.clamp(min=0) if relu else expected
    out = linear(x, weight, bias, relu=relu)
    assert out.dtype == dtype
    if dtype == torch.bfloat16:
        largest = float(expected.abs().max())
        assert float((out - expected).abs().max()) < BFLOAT16 * largest
    else:
        limit = EXACT if dtype == torch.float64 else FLOAT32
        torch.testing.assert_close(out.double(), expected, **limit)
    assert bool((out < 0).any()) != relu


@torch.no_grad()
def test_parts_of_larger_tensors():
    x, weight, bias = draw(7, 40)[:, 8:24], draw(16, 24, seed=1).t(), draw(48, seed=2)[24:]
    torch.testing.assert_close(linear(x, weight, bias), F.linear(x, weight, bias), **FLOAT32)
    assert linear(x[:0], weight, bias).shape == (0, 24)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_products_of_matrices_in_any_order(dtype):
    a, b = draw(12, 16), draw(16, 24, seed=1)
    expected = a.double() @ b.double()
    for left in (a, a.t().contiguous().t(), draw(12, 40)[:, :16].copy_(a)):
        for right in (b, b.t().contiguous().t(), b[:, :0]):
            out = product(left.to(dtype), right.to(dtype)).double()
            limit = BFLOAT16 * float(expected.abs().max()) if dtype == torch.bfloat16 else 1e-4
            assert out.shape == (12, right.shape[1])
            assert bool(((out - expected[:, : right.shape[1]]).abs() < limit).all())


@pytest.mark.filterwarnings("ignore:TF32")  # torch's, on any change of these flags
@pytest.mark.parametrize("relu", [False, True])
@torch.no_grad()
def test_without_onednn(relu):
    x, weight, bias = draw(5, 16), draw(24, 16, seed=1), draw(24, seed=2)
    out = linear(x, weight, bias, relu=relu)
    with torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(linear(x, weight, bias, relu=relu), out, **FLOAT32)
