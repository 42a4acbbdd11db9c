import pytest
import torch

import naive
import naive_dyreg
from graphs import draw, exact, randomise, weights_of
from interlace.graph.boxes import grid_boxes
from interlace.graph.kernels import DenseKernel, triangle_kernel
from interlace.graph.position import KernelPositions, gaussian_maps, kernel_picture
from interlace.graph.regions.regions import triangles
from tolerances import EXACT


@pytest.mark.parametrize(("scales", "size", "sigma"), [((3, 2, 1), 6, 2.0), ((4, 1), 5, 0.8)])
def test_maps_as_in_loops(scales, size, sigma):
    maps = gaussian_maps(grid_boxes(scales), size=size, sigma=sigma)
    expected = exact(naive.position_maps(scales, size, sigma))
    torch.testing.assert_close(maps, expected, **EXACT)


def test_every_node_has_its_own_map_and_it_peaks_where_the_node_looks():
    maps = gaussian_maps(grid_boxes((3,)))
    assert len(torch.unique(maps, dim=0)) == 9
    assert maps[0].argmax() in (0, 1, 6, 7)
    assert maps[8].argmax() in (28, 29, 34, 35)


BOXES = [[0.3, 0.6, 0.2, 0.4], [0.0, 1.0, 0.1, 0.05], [0.5, 0.5, 2.0, 0.3]]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (3, 20), (33, 2)])
@pytest.mark.parametrize("grid", [1, 4, 16])
def test_pictures_of_kernels_as_in_loops(size, grid):
    kernel = triangle_kernel(exact(BOXES), size)
    expected = exact([naive_dyreg.shared_out(k, grid) for k in kernel.dense().tolist()])
    pictures = kernel_picture(kernel, grid)
    torch.testing.assert_close(pictures, expected, **EXACT)
    torch.testing.assert_close(kernel_picture(DenseKernel(kernel.dense()), grid), expected, **EXACT)
    torch.testing.assert_close(pictures.sum((-1, -2)), torch.ones(3).double(), **EXACT)


def test_a_grid_of_the_size_of_the_map_leaves_the_kernel_as_it_is():
    kernel = triangle_kernel(exact(BOXES), (6, 6))
    torch.testing.assert_close(kernel_picture(kernel, 6), kernel.dense(), **EXACT)


def test_codes_as_in_loops():
    module = randomise(KernelPositions(5, grid=4))
    boxes = exact(BOXES).expand(2, 3, 3, 4)
    codes = module(triangles(boxes, draw(2, 3, 1, 5, 7)))
    pictures = [naive_dyreg.shared_out(naive_dyreg.kernel(box, 5, 7), 4) for box in BOXES]
    expected = [
        naive.layer(weights_of(module), "linear", [v for row in picture for v in row])
        for picture in pictures
    ]
    torch.testing.assert_close(codes, exact(expected).expand(2, 3, 3, 5), **EXACT)


def test_a_fresh_code_tells_close_regions_from_far_ones():
    torch.manual_seed(0)
    boxes = torch.tensor([[[[x, 0.5, 0.1, 0.1] for x in (0.2, 0.25, 0.8)]]])
    codes = KernelPositions(64)(triangles(boxes, torch.zeros(1, 1, 1, 14, 14)))[0, 0]
    near, far = (codes[0] - codes[1]).norm(), (codes[0] - codes[2]).norm()
    assert 0 < near < far / 3
    other = KernelPositions(64)(triangles(boxes, torch.zeros(1, 1, 1, 14, 14)))[0, 0]
    assert not torch.allclose(other, codes)  # waves are drawn


def test_codes_hardly_depend_on_the_size_of_the_map():
    torch.manual_seed(0)
    module, boxes = KernelPositions(64), torch.tensor([[[[0.3, 0.6, 0.25, 0.25]]]])
    small, large = (module(triangles(boxes, torch.zeros(1, 1, 1, s, s))) for s in (14, 56))
    elsewhere = module(triangles(1 - boxes, torch.zeros(1, 1, 1, 14, 14)))
    assert (small - large).norm() < 0.1 * (small - elsewhere).norm()
