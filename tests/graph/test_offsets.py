import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_dyreg as naive
from graphs import draw, exact, randomise, weights_of
from interlace.graph.boxes import anchors, offset_boxes
from interlace.graph.kernels import triangle_kernel
from interlace.graph.regions.offsets import Offsets
from tolerances import EXACT, FLOAT32

KINDS = ["center", "grid"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodes", [*range(1, 18), 30])
def test_reference_points_as_in_loops(nodes, kind):
    points = anchors(nodes, kind)
    torch.testing.assert_close(points, exact(naive.reference_points(nodes, kind)), **EXACT)
    assert points.shape == (nodes, 2)
    assert ((points > 0) & (points < 1)).all()
    assert len(points.unique(dim=0)) == (nodes if kind == "grid" else 1)
    torch.testing.assert_close(points.mean(0)[1], torch.tensor(0.5).double(), rtol=0, atol=0.1)


def test_nine_points_are_the_middles_of_a_3_by_3_grid():
    thirds = [1 / 6, 1 / 2, 5 / 6]
    expected = [[x, y] for y in thirds for x in thirds]
    torch.testing.assert_close(anchors(9, "grid"), exact(expected), **EXACT)


offset = st.tuples(*[st.floats(-8, 8)] * 4)
point = st.tuples(*[st.floats(0.01, 0.99)] * 2)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(offset, point), min_size=1, max_size=4), st.floats(0, 0.5))
def test_boxes_as_in_the_formulas(drawn, size):
    raw, points = exact([r for r, _ in drawn]), exact([p for _, p in drawn])
    boxes = offset_boxes(raw, points, size)
    expected = [naive.offset_box(*each, size) for each in drawn]
    torch.testing.assert_close(boxes, exact(expected), **EXACT)
    # the paper counts in cells: a frame of 14 has the same boxes, 14 times as large
    cells = [naive.offset_box(r, (14 * x, 14 * y), 14 * size, frame=14) for r, (x, y) in drawn]
    torch.testing.assert_close(14 * boxes, exact(cells), **EXACT)


def test_gradients_of_boxes():
    raw, points = draw(2, 5, 4).requires_grad_(), anchors(5, "grid").requires_grad_()
    torch.autograd.gradcheck(offset_boxes, (raw, points, 0.3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1 / 6, 0.0])
@pytest.mark.parametrize("far", [8.0, 30.0, 500.0, 1e30, math.inf])
def test_no_offset_is_too_large(far, size, dtype):
    """Regions stay in the frame, and see something; before, exp overflowed and all was NaN."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 4)
    raw = torch.where(signs == 0, 0.0, signs * far).to(dtype)
    boxes = offset_boxes(raw, anchors(1), size)
    assert ((boxes[:, :2] >= 0) & (boxes[:, :2] <= 1)).all()
    assert ((boxes[:, 2:] > 0) if size else (boxes[:, 2:] == 0)).all()
    kernel = triangle_kernel(boxes, (5, 7)).dense()
    assert (kernel >= 0).all()
    torch.testing.assert_close(kernel.sum((-1, -2)), torch.ones(81, dtype=dtype), **FLOAT32)


@pytest.mark.parametrize("learn_size", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodes", [1, 2, 5, 9])
def test_module_as_in_loops(nodes, kind, learn_size):
    module = randomise(Offsets(6, nodes=nodes, anchors=kind, size=0.2, learn_size=learn_size))
    z = draw(2, 3, nodes, 6)
    points = [naive.single(p) for p in naive.reference_points(nodes, kind)]
    expected = [
        [naive.boxes_of(weights_of(module), frame, points, 0.2) for frame in clip]
        for clip in z.tolist()
    ]
    boxes = module(z)
    torch.testing.assert_close(boxes, exact(expected), **EXACT)
    assert bool((boxes[..., 2:] == 0.2).all()) is not learn_size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodes", [1, 5, 9])
def test_regions_start_at_their_points_with_a_sixth_of_the_frame(nodes, kind):
    boxes = Offsets(6, nodes=nodes, anchors=kind)(100 * torch.randn(2, 3, nodes, 6))
    start = torch.cat((anchors(nodes, kind), torch.full((nodes, 2), 1 / 6)), -1)
    torch.testing.assert_close(boxes, start.float().expand_as(boxes), rtol=0, atol=1e-6)


def test_half_precision_does_not_move_regions():
    module = randomise(Offsets(6, nodes=5)).float()
    z = draw(2, 5, 6).float()
    with torch.autocast("cpu", torch.bfloat16):
        boxes = module(z)
    assert boxes.dtype == torch.float32
    assert torch.equal(boxes, module(z))


def test_sizes_of_zero_stay_zero():
    """exp(w) * 0: this is how regions are held at bilinear interpolation."""
    module = randomise(Offsets(6, nodes=3, size=0))
    assert (module(draw(2, 3, 6))[..., 2:] == 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"anchors": "corner"}, "anchors must be 'center' or 'grid', got 'corner'"),
        ({"nodes": 0}, "at least one node, got nodes=0"),
        ({"size": -0.1}, "size of a region must not be negative, got -0.1"),
        ({"size": math.nan}, "size of a region must not be negative, got nan"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        Offsets(6, **wrong)
