import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
import naive_dyreg
from graphs import draw, exact
from interlace.graph.boxes import grid_boxes
from interlace.graph.kernels import (
    DenseKernel,
    RegionKernel,
    area_kernel,
    coverage_kernel,
    pool,
    remap,
    triangle_kernel,
)
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
    boxes = grid_boxes((2, 1))[None, None] * 0.9
    boxes[..., :2] += 0.04  # no edge of a box on one of a cell, where the gradient has a step
    if function == "pool":
        given, call = draw(1, 2, 2, 3, 4), lambda x, b: pool(x, area_kernel(b, (3, 4)))
    else:
        given, call = draw(1, 2, 5, 2), lambda x, b: remap(x, coverage_kernel(b, (3, 4)))
    torch.autograd.gradcheck(call, (given.requires_grad_(), boxes.requires_grad_()))


def test_kernels_of_float64_boxes_serve_features_of_any_type():
    kernel = area_kernel(grid_boxes((2,))[None, None], (4, 4))
    assert pool(torch.ones(1, 1, 3, 4, 4, dtype=torch.bfloat16), kernel).dtype == torch.bfloat16


# --- triangles (DyReg-GNN, eqs. 5 to 7 and 10) ---------------------------------------------------

border = st.sampled_from([0.0, 1.0, 0.5])
extent = st.floats(0, 3) | st.sampled_from([0.0, 1e-12, 1 / 7, 1e4])
triangle_boxes = st.lists(
    st.tuples(*[st.floats(0, 1) | border] * 2, extent, extent), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(triangle_boxes, side, side)
def test_triangles_as_in_loops(boxes, height, width):
    kernel = triangle_kernel(exact(boxes), (height, width))
    expected = [naive_dyreg.kernel(box, height, width) for box in boxes]
    torch.testing.assert_close(kernel.dense(), exact(expected), **EXACT)
    assert (kernel.dense() >= 0).all()
    ones = torch.ones(len(boxes)).double()
    torch.testing.assert_close(kernel.dense().sum((-1, -2)), ones, **EXACT)

    features = draw(1, 1, 3, height, width)
    nodes = pool(features, RegionKernel(*(v[None, None] for v in kernel)))
    pooled = [naive_dyreg.pooled(features[0, 0].tolist(), k) for k in expected]
    torch.testing.assert_close(nodes[0, 0], exact(pooled), **EXACT)
    maps = remap(nodes, RegionKernel(*(v[None, None] for v in kernel)))
    torch.testing.assert_close(maps[0, 0], exact(naive_dyreg.remapped(pooled, expected)), **EXACT)
    dense = DenseKernel(kernel.dense()[None, None])  # the same, as any weights
    torch.testing.assert_close(pool(features, dense), nodes, **EXACT)
    torch.testing.assert_close(remap(nodes, dense), maps, **EXACT)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(triangle_boxes, side, side)
def test_mirrored_boxes_have_mirrored_kernels(boxes, height, width):
    boxes = exact(boxes)
    other = boxes * torch.tensor([-1, 1, 1, 1]) + torch.tensor([1, 0, 0, 0])
    kernel, mirrored = (triangle_kernel(b, (height, width)).dense() for b in (boxes, other))
    torch.testing.assert_close(mirrored, kernel.flip(-1), rtol=1e-6, atol=1e-9)


def test_the_smallest_kernel_is_bilinear_interpolation():
    features, size = draw(1, 1, 3, 5, 7), (5, 7)
    points = torch.cat((draw(40, 2).sigmoid(), torch.tensor([[0.0, 1.0], [1.0, 0.3]])))
    boxes = torch.cat((points, torch.zeros_like(points)), -1)[None, None]
    expected = torch.nn.functional.grid_sample(
        features[0], 2 * points[None, None] - 1, padding_mode="border", align_corners=False
    )[0, :, 0].T
    nodes = pool(features, triangle_kernel(boxes, size))[0, 0]
    torch.testing.assert_close(nodes, expected, **EXACT)


TRIANGLES = {
    "inside": (0.41, 0.57, 0.31, 0.37),
    "over the border": (0.03, 0.96, 0.33, 0.42),
    "on the border": (0.0, 1.0, 0.37, 0.29),
    "larger than the frame": (0.43, 0.61, 3.1, 2.3),
    "hardly larger than a cell": (0.44, 0.58, 0.157, 0.216),
    "wide and thin": (0.52, 0.37, 0.91, 0.21),
}


@pytest.mark.parametrize("box", TRIANGLES.values(), ids=TRIANGLES)
def test_gradients_of_triangles(box):
    features, boxes = draw(1, 1, 2, 5, 7).requires_grad_(), exact([[[box]]]).requires_grad_()
    torch.autograd.gradcheck(lambda x, b: pool(x, triangle_kernel(b, (5, 7))), (features, boxes))
    nodes = draw(1, 1, 1, 2).requires_grad_()
    torch.autograd.gradcheck(lambda v, b: remap(v, triangle_kernel(b, (5, 7))), (nodes, boxes))


@pytest.mark.parametrize("half", [0.0, 1e-6, 0.05, 0.13])
def test_regions_below_a_cell_can_grow_again(half):
    """They are read as one cell to each side, and have the gradient of that size."""
    features = draw(1, 1, 2, 5, 7)
    weights = draw(2)

    def read(width, height):
        box = exact([[[[0.43, 0.58, width, height]]]]).requires_grad_()
        out = pool(features, triangle_kernel(box, (5, 7)))[0, 0, 0] @ weights
        return out, torch.autograd.grad(out, box)[0].flatten()

    value, grad = read(half, half)
    at_cell, grad_at_cell = read(1 / 7, 1 / 5)
    torch.testing.assert_close(value, at_cell, **EXACT)
    torch.testing.assert_close(grad, grad_at_cell, **EXACT)
    assert (grad != 0).all()
    step = 1e-6
    for k, grown in ((2, (1 / 7 + step, 1 / 5)), (3, (1 / 7, 1 / 5 + step))):
        slope = (read(*grown)[0] - at_cell) / step
        torch.testing.assert_close(grad[k], slope, rtol=1e-4, atol=1e-6)


def test_kernels_of_dense_weights_have_gradients():
    features, weights = draw(1, 2, 3, 4, 5).requires_grad_(), draw(1, 2, 2, 4, 5).requires_grad_()
    torch.autograd.gradcheck(lambda x, w: pool(x, DenseKernel(w)), (features, weights))
    nodes = draw(1, 2, 2, 3).requires_grad_()
    torch.autograd.gradcheck(lambda v, w: remap(v, DenseKernel(w)), (nodes, weights))
