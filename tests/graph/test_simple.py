"""Regions that do not depend on the video, and those somebody else found."""

import itertools

import pytest
import torch

import naive_dyreg as naive
from graphs import draw, exact, random_dyreg, randomise, weights_of
from interlace.graph.boxes import anchors
from interlace.graph.dyreg import DyReg
from interlace.graph.kernels import pool
from interlace.graph.regions.regions import triangles
from interlace.graph.regions.simple import FixedRegions, GivenRegions, StaticRegions
from interlace.models.insertion.insert import insert
from tolerances import EXACT, FLOAT32

NAN, INF = float("nan"), float("inf")
SOME = (0.3, 0.6, 0.2, 0.25)
WHOLE = [0.5, 0.5, 0.5, 0.5]


def told(*boxes, nodes=2, size=(5, 7)):
    """Regions of one frame for these boxes."""
    module = GivenRegions(nodes)
    shape = (1, 1, 3, *size)
    regions, state = module(torch.zeros(shape).double(), None, exact(boxes).view(1, 1, -1, 4))
    assert state is None
    kernels = regions.pool.dense()
    assert regions.boxes.shape == (1, 1, nodes, 4)
    assert regions.pool is regions.remap
    torch.testing.assert_close(kernels.sum((-1, -2)), torch.ones(1, 1, nodes).double(), **EXACT)
    given = [list(box) for box in boxes] or [None]
    expected = [naive.given_box(given[n % len(given)]) for n in range(nodes)]
    torch.testing.assert_close(regions.boxes[0, 0], exact(expected), **EXACT)
    torch.testing.assert_close(
        kernels[0, 0], exact([naive.kernel(box, *size) for box in expected]), **EXACT
    )
    return regions.boxes[0, 0].tolist()


@pytest.mark.parametrize("nodes", [1, 2, 5, 9])
def test_fixed_regions_are_a_grid(nodes):
    for size in ((5, 7), (1, 1), (16, 16)):
        regions, state = FixedRegions(nodes)(torch.zeros(2, 3, 4, *size))
        assert state is None
        boxes = torch.cat((anchors(nodes, "grid"), torch.full((nodes, 2), 1 / 6)), -1)
        torch.testing.assert_close(regions.boxes[0, 0], boxes.float())
        kernels = exact([naive.kernel(box, *size) for box in boxes.tolist()])
        torch.testing.assert_close(regions.pool.dense()[0, 0], kernels.float(), **FLOAT32)


def test_static_regions_are_learned_and_the_same_for_all_videos():
    module = randomise(StaticRegions(3, width=4, anchors="grid"))
    regions, _ = module(draw(2, 3, 5, 6, 6))
    other, _ = module(draw(1, 1, 5, 6, 6, seed=1))
    assert torch.equal(regions.boxes, other.boxes)
    assert len(regions.boxes[0, 0].unique(dim=0)) == 3
    expected, kernels = naive.regions(
        "static", weights_of(module), [[[[0.0] * 6] * 6]], 3, anchors="grid"
    )
    torch.testing.assert_close(regions.boxes[0], exact(expected), **EXACT)
    torch.testing.assert_close(regions.pool.dense()[0], exact(kernels), **EXACT)
    regions.boxes[0, 0, 0, 0].backward()
    grad = module.latent.grad
    assert (grad[0] != 0).all()
    assert (grad[1:] == 0).all()


def test_fresh_static_regions_start_at_their_points():
    regions, _ = StaticRegions(3, width=4)(torch.zeros(1, 1, 1, 5, 5))
    start = torch.tensor([0.5, 0.5, 1 / 6, 1 / 6]).expand(1, 1, 3, 4)
    torch.testing.assert_close(regions.boxes, start, rtol=0, atol=1e-6)


def test_given_boxes_are_taken_as_they_are():
    assert told(SOME, (0.9, 0.1, 0.05, 0.4)) == [list(SOME), [0.9, 0.1, 0.05, 0.4]]


def test_of_more_boxes_than_nodes_the_first_are_taken():
    assert told(SOME, (0.9, 0.1, 0.05, 0.4), nodes=1) == [list(SOME)]


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_fewer_boxes_than_nodes_are_given_out_again(nodes):
    other = (0.9, 0.1, 0.05, 0.4)
    assert told(SOME, other, nodes=nodes) == [list((SOME, other)[n % 2]) for n in range(nodes)]
    assert told(nodes=nodes) == [WHOLE] * nodes  # if there is no box at all


@pytest.mark.parametrize("k", range(4))
def test_a_nan_anywhere_in_a_box_is_no_object(k):
    broken = list(SOME)
    broken[k] = NAN
    assert told(broken, SOME) == [WHOLE, list(SOME)]


@pytest.mark.parametrize(
    ("box", "read"),
    [
        ((-0.2, 1.7, 0.1, 0.1), [0, 1, 0.1, 0.1]),
        ((-INF, INF, 0.1, 0.1), [0, 1, 0.1, 0.1]),
        ((0.5, 0.5, 40, INF), [0.5, 0.5, 1, 1]),
        ((0.0, 1.0, 0.0, 0.0), [0, 1, 0, 0]),
    ],
)
def test_boxes_out_of_the_frame_or_without_area(box, read):
    assert told(box, SOME) == [read, list(SOME)]


def test_a_box_of_no_size_reads_a_point():
    features = draw(1, 1, 3, 5, 7)
    regions, _ = GivenRegions(1)(features, None, exact([[[[3.5 / 7, 1.5 / 5, 0, 0]]]]))
    nodes = pool(features, regions.pool)  # in the middle of a cell: that cell alone
    torch.testing.assert_close(nodes[0, 0, 0], features[0, 0, :, 1, 3], **EXACT)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_silent_node_is_one_without_a_box(count):
    """No box is given out twice; of a box with a NaN, that node and frame alone are silent."""
    given = draw(1, 2, count, 4).sigmoid() / 2
    if count:
        given[0, 1, 0, 2] = NAN
    module, features = GivenRegions(3, silent=True), draw(1, 2, 4, 5, 7)
    regions, _ = module(features, None, given)
    there = [[n < count and not (t == 1 and n == 0) for n in range(3)] for t in range(2)]
    assert regions.mass.tolist() == [there]
    for t, n in itertools.product(range(2), range(3)):
        expected = given[0, t, n] if there[t][n] else exact(WHOLE)
        torch.testing.assert_close(regions.boxes[0, t, n], expected, **EXACT)
    assert GivenRegions(3)(features, None, given)[0].mass is None
    assert "silent" in repr(module)
    assert "silent" not in repr(GivenRegions(3))


@torch.no_grad()
def test_whom_no_box_is_given_has_no_say():
    """More silent nodes change nothing but what they weigh in a softmax, little."""
    outs, features = [], draw(1, 3, 5, 6, 6)
    boxes = draw(1, 3, 2, 4).sigmoid() / 2
    for nodes in (2, 6):
        regions = GivenRegions(nodes, silent=True)
        block = random_dyreg(regions=regions, readout="vector", motion=True, relative_motion=True)
        outs.append(block(features, boxes=boxes))
        for more in (0, 3):  # as boxes that have a NaN
            padded = torch.nn.functional.pad(boxes, (0, 0, 0, more), value=NAN)
            assert torch.equal(block(features, boxes=padded), outs[-1])
    torch.testing.assert_close(*outs, rtol=0.02, atol=0.02 * float(outs[0].abs().max()))
    loud = random_dyreg(
        regions=GivenRegions(6), readout="vector", motion=True, relative_motion=True
    )
    assert not torch.allclose(loud(features, boxes=boxes), outs[0], rtol=0.1)


def test_missing_boxes_stop_no_gradient():
    boxes = exact([[[SOME, (NAN,) * 4]]]).requires_grad_()
    features = draw(1, 1, 3, 5, 7)
    regions, _ = GivenRegions(3)(features, None, boxes)
    pool(features, regions.pool).square().sum().backward()
    assert boxes.grad.isfinite().all()
    assert (boxes.grad[0, 0, 0] != 0).all()
    assert (boxes.grad[0, 0, 1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_boxes_of_any_type(dtype):
    boxes = torch.tensor(SOME).expand(1, 1, 1, 4)
    regions, _ = GivenRegions(2)(torch.zeros(1, 1, 3, 5, 7, dtype=dtype), None, boxes)
    assert regions.boxes.dtype == torch.promote_types(dtype, torch.float32)


@pytest.mark.parametrize(
    "shape", [(2, 3, 4), (2, 4, 4), (2, 2, 5, 4), (1, 3, 5, 4), (2, 3, 5, 5), (2, 3, 1, 5, 4)]
)
def test_boxes_of_another_shape_are_refused(shape):
    block = DyReg(5, width=4, nodes=2, regions="given")
    with pytest.raises(ValueError, match=r"boxes must be \(B, T, M, 4\) with B, T = \(2, 3\), got"):
        block(torch.zeros(2, 3, 5, 6, 6), boxes=torch.zeros(shape))


def test_what_given_regions_refuse():
    block, clip = DyReg(5, width=4, nodes=2, regions="given"), torch.zeros(1, 1, 5, 6, 6)
    with pytest.raises(ValueError, match=r"pass boxes=\(B, T, M, 4\), as \(cx, cy, rx, ry\)"):
        block(clip)
    with pytest.raises(ValueError, match="half extents must not be negative"):
        block(clip, boxes=torch.tensor([0.5, 0.5, 0.1, -0.1]).expand(1, 1, 2, 4))
    with pytest.raises(ValueError, match="at least one node, got nodes=0"):
        GivenRegions(0)


@pytest.mark.parametrize("kind", ["dynamic", "fixed", "semantic"])
def test_boxes_are_refused_where_nobody_takes_them(kind):
    block = DyReg(5, width=4, regions=kind)
    with pytest.raises(ValueError, match=r"told where to look, .*this one has .*Regions$"):
        block(torch.zeros(1, 1, 5, 6, 6), boxes=torch.zeros(1, 1, 2, 4))


def test_regions_of_ones_own_may_be_told_boxes():
    """A module that says so, in a block, a classifier and a network: none knows its class."""

    class Halved(torch.nn.Module):
        needs_boxes = True

        def forward(self, features, state, boxes):
            return triangles(torch.cat((boxes[..., :2], boxes[..., 2:] / 2), -1), features), None

    boxes = exact(SOME).float().expand(1, 2, 3, 4)
    block = DyReg(5, width=4, regions=Halved())
    assert block.needs_boxes
    _, trace = block(torch.randn(1, 2, 5, 6, 6), boxes=boxes, return_trace=True)
    torch.testing.assert_close(trace.boxes[..., 2:], boxes[..., 2:] / 2)

    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.ReLU())
    model = insert(network, {"0": lambda channels: DyReg(channels, width=4, regions=Halved())})
    _, traces = model(torch.randn(1, 2, 3, 8, 8), boxes=boxes, return_trace=True)
    torch.testing.assert_close(traces["0"].boxes, trace.boxes)
    assert not DyReg(5, width=4).needs_boxes
