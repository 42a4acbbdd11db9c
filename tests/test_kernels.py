import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from graphs import draw, exact
from interlace.graph.boxes import grid_boxes
from interlace.graph.kernels import area_kernel, coverage_kernel, pool, remap
from tolerances import EXACT

scales = st.lists(st.integers(1, 4), min_size=1, max_size=3)
side = st.integers(1, 9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(scales, side, side)
def test_pool_and_remap_as_in_loops(scales, height, width):
    features, boxes = draw(2, 1, 3, height, width), grid_boxes(scales)[None, None]
    nodes = pool(features, area_kernel(boxes, (height, width)))
    expected = [[naive.area_pool(image.tolist(), scales) for image in clip] for clip in features]
    torch.testing.assert_close(nodes, exact(expected), **EXACT)

    spread = remap(nodes, coverage_kernel(boxes, (height, width)))
    expected = [[naive.enlarge(v.tolist(), scales, height, width) for v in clip] for clip in nodes]
    torch.testing.assert_close(spread, exact(expected), **EXACT)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(scales, side, side)
def test_kernels_sum_to_one(scales, height, width):
    boxes = grid_boxes(scales)
    kernel = area_kernel(boxes, (height, width)).dense()  # (N, H, W)
    assert (kernel >= 0).all()
    torch.testing.assert_close(kernel.sum((-1, -2)), torch.ones(len(boxes)).double(), **EXACT)

    back = coverage_kernel(boxes, (height, width)).dense()
    for part in back.split([s * s for s in scales]):  # every place belongs to each scale once
        torch.testing.assert_close(part.sum(0), torch.ones(height, width).double(), **EXACT)


def test_a_constant_map_stays_constant():
    boxes = grid_boxes((3, 2))[None, None]
    nodes = pool(torch.full((1, 2, 3, 7, 5), 4.0).double(), area_kernel(boxes, (7, 5)))
    torch.testing.assert_close(nodes, torch.full_like(nodes, 4.0), **EXACT)
    spread = remap(nodes, coverage_kernel(boxes, (7, 5)))  # two scales
    torch.testing.assert_close(spread, torch.full_like(spread, 8.0), **EXACT)


def test_regions_may_move_from_frame_to_frame():
    """Kernels with axes (B, T, N) do what kernels of each frame do alone."""
    centre = draw(2, 3, 4, 2).sigmoid() * 0.4 + 0.3
    boxes = torch.cat((centre, torch.full_like(centre, 0.2)), -1)
    features, size = draw(2, 3, 5, 6, 8), (6, 8)
    kernel = area_kernel(boxes, size)
    for b in range(2):
        for t in range(3):
            one = area_kernel(boxes[b, t], size).dense()
            expected = torch.einsum("nyx,cyx->nc", one, features[b, t])
            torch.testing.assert_close(pool(features, kernel)[b, t], expected, **EXACT)


@pytest.mark.parametrize("function", ["pool", "remap"])
def test_gradients_of_features_and_of_boxes(function):
    boxes = grid_boxes((2, 1))[None, None] * 0.9 + 0.03
    if function == "pool":
        given, call = draw(1, 2, 2, 3, 4), lambda x, b: pool(x, area_kernel(b, (3, 4)))
    else:
        given, call = draw(1, 2, 5, 2), lambda x, b: remap(x, coverage_kernel(b, (3, 4)))
    torch.autograd.gradcheck(call, (given.requires_grad_(), boxes.requires_grad_()))


def test_kernels_of_float64_boxes_serve_features_of_any_type():
    kernel = area_kernel(grid_boxes((2,))[None, None], (4, 4))
    assert pool(torch.ones(1, 1, 3, 4, 4, dtype=torch.bfloat16), kernel).dtype == torch.bfloat16
