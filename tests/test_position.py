import pytest
import torch

import naive
from graphs import exact
from interlace.graph.boxes import grid_boxes
from interlace.graph.position import gaussian_maps
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
