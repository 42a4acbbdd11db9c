import math

import pytest
import torch
from torch import nn

import naive_dyreg as naive
from graphs import draw, exact, randomise, weights_of
from interlace.graph.regions.attention import KeypointRegions, SemanticRegions
from tolerances import EXACT

SIZES = [(5, 7), (1, 1), (1, 4), (8, 3)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["semantic", "keypoints"])
def test_as_in_loops(kind, size):
    if kind == "semantic":
        module = randomise(SemanticRegions(3, 4))
    else:
        module = randomise(KeypointRegions(3, 4, hidden=5, size=0.3))
    clip = draw(1, 2, 3, *size)
    regions, state = module(clip)
    assert state is None
    boxes, kernels = naive.regions(kind, weights_of(module), clip[0].tolist(), 4, size=0.3)
    torch.testing.assert_close(regions.boxes[0], exact(boxes), **EXACT)
    torch.testing.assert_close(regions.pool.dense()[0], exact(kernels), **EXACT)
    ones = torch.ones(1, 2, 4).double()
    torch.testing.assert_close(regions.pool.dense().sum((-1, -2)), ones, **EXACT)
    assert ((regions.boxes[..., :2] > 0) & (regions.boxes[..., :2] < 1)).all()


def test_an_even_map_is_the_box_of_the_frame():
    regions, _ = SemanticRegions(3, 2)(torch.zeros(1, 1, 3, 200, 300))
    # a triangle with the variance of the frame, 1/12, is a little wider than it
    expected = torch.tensor([0.5, 0.5, math.sqrt(0.5), math.sqrt(0.5)]).expand(1, 1, 2, 4)
    torch.testing.assert_close(regions.boxes, expected, rtol=1e-3, atol=1e-4)


def test_a_keypoint_is_where_its_map_peaks():
    module = KeypointRegions(2, 2, size=0.1)
    module.encoder = nn.Identity()
    maps = torch.zeros(1, 1, 2, 5, 8)
    maps[0, 0, 0, 1, 6] = maps[0, 0, 1, 4, 0] = 100
    regions, _ = module(maps)
    expected = torch.tensor([[6.5 / 8, 1.5 / 5, 0.1, 0.1], [0.5 / 8, 4.5 / 5, 0.1, 0.1]])
    torch.testing.assert_close(regions.boxes[0, 0], expected)


def test_half_precision_does_not_move_attention():
    """The softmax runs in float32: a map of equal logits is even to the last bit."""
    with torch.autocast("cpu", torch.bfloat16):
        regions, _ = SemanticRegions(3, 2)(torch.zeros(1, 1, 3, 33, 31))
    weights = regions.pool.dense()
    assert weights.dtype == torch.float32
    assert (weights == weights.flatten()[0]).all()
