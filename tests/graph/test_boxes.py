import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphs import exact
from interlace.graph.boxes import corners, grid_boxes, iou, neighbours
from naive import adjacency, cells
from tolerances import EXACT

SCALES = [(3, 2, 1), (1,), (4, 3), (6, 5, 2, 1), (7, 3, 3), (2, 1, 12)]


@pytest.mark.parametrize("scales", SCALES)
def test_cells_of_a_grid(scales):
    low, high = corners(grid_boxes(scales))
    expected = exact([[float(v) for v in cell] for cell in cells(scales)])
    torch.testing.assert_close(torch.cat((low, high), -1), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("scales", SCALES)
def test_neighbours_as_in_rational_arithmetic(scales):
    assert neighbours(grid_boxes(scales)).tolist() == adjacency(scales)


def test_the_papers_graph_has_90_directed_edges():
    joined = neighbours(grid_boxes((3, 2, 1)))
    assert joined.sum() == 90
    assert not joined[0, 4]  # a touching corner
    assert joined[0, 1]
    assert joined[0, 13]  # the whole frame meets every cell


coordinate = st.tuples(*[st.floats(0, 1)] * 2, *[st.floats(0.01, 0.5)] * 2)


@given(st.lists(coordinate, min_size=1, max_size=4))
def test_iou_is_symmetric_and_one_only_with_itself(boxes):
    boxes = torch.tensor(boxes, dtype=torch.float64)
    value = iou(boxes, boxes)
    torch.testing.assert_close(value, value.T, **EXACT)
    torch.testing.assert_close(value.diagonal(), torch.ones(len(boxes)).double(), **EXACT)
    assert ((value >= 0) & (value <= 1 + 1e-9)).all()


def test_iou_of_known_boxes():
    whole, quarter = torch.tensor([[0.5, 0.5, 0.5, 0.5]]), torch.tensor([[0.25, 0.25, 0.25, 0.25]])
    far = torch.tensor([[0.9, 0.9, 0.1, 0.1]])
    assert iou(whole, quarter).item() == 0.25
    assert iou(far, quarter).item() == 0


@pytest.mark.parametrize("scales", [(), (3, 0), (-1,)])
def test_scales_must_be_positive(scales):
    with pytest.raises(ValueError, match="scales must be positive"):
        grid_boxes(scales)
