"""Regions that are multiplied by a saliency, and end on what is in them."""

import pytest
import torch

import naive_content as naive
from blobs import blobs
from graphs import draw, exact, random_dyreg, random_rstg, randomise, weights_of
from interlace.graph.block import region_weights
from interlace.graph.regions.dynamic import DynamicRegions
from interlace.graph.regions.sharp import SharpRegions
from interlace.graph.regions.simple import FixedRegions, GivenRegions, GridRegions
from tolerances import EXACT, FLOAT32

INNER = {
    "grid": lambda: GridRegions((2, 1)),
    "fixed": lambda: FixedRegions(5, size=0.3),
    "dynamic": lambda: DynamicRegions.of(3, 5, width=4),
    "given": lambda: GivenRegions(5),
}
WITHIN = pytest.mark.parametrize("inner", INNER)


def boxes_for(module, clip):
    if not module.needs_boxes:
        return ()
    return (draw(*clip.shape[:2], 5, 4, seed=5).sigmoid() * 0.6 + 0.2,)


@WITHIN
@pytest.mark.parametrize(("nodes", "compete"), [(1, False), (5, False), (5, True)])
def test_sharp_regions_as_in_loops(inner, nodes, compete):
    module = randomise(SharpRegions(INNER[inner](), 3, nodes, compete=compete))
    clip = draw(2, 2, 3, 6, 7)
    boxes = boxes_for(module, clip)
    regions, _ = module(clip, None, *boxes)
    given, _ = module.regions(clip, None, *boxes)
    kernels = given.pool.dense().expand(2, 2, -1, -1, -1)
    for b in range(2):
        for t in range(2):
            expected, centres = naive.sharp(
                weights_of(module), clip[b, t].tolist(), kernels[b, t].tolist(), compete=compete
            )
            torch.testing.assert_close(regions.pool.dense()[b, t], exact(expected), **EXACT)
            torch.testing.assert_close(regions.boxes[b, t, :, :2], exact(centres), **EXACT)
    torch.testing.assert_close(regions.boxes[..., 2:], given.boxes[..., 2:].expand(2, 2, 5, 2))
    for a, b in zip(regions.remap, given.remap, strict=True):
        assert torch.equal(a, b)  # nodes write as before
    assert not torch.allclose(regions.pool.dense(), kernels, atol=1e-2)


@WITHIN
@pytest.mark.parametrize("compete", [False, True])
@torch.no_grad()
def test_fresh_sharp_regions_are_those_within(inner, compete):
    module = SharpRegions(INNER[inner](), 3, 5, compete=compete).double()
    clip = draw(2, 2, 3, 6, 7)
    boxes = boxes_for(module, clip)
    regions, _ = module(clip, None, *boxes)
    given, _ = module.regions(clip, None, *boxes)
    kernels = given.pool.dense().expand(2, 2, -1, -1, -1)
    torch.testing.assert_close(regions.pool.dense(), kernels, **EXACT)


def reads_brightness(module, high=1.0):
    torch.nn.init.constant_(module.maps.weight, high)
    return module.double()


def test_a_cell_of_a_grid_is_where_the_thing_in_it_is():
    """And follows it until it leaves; the other cells stay where they are."""
    module = reads_brightness(SharpRegions(GridRegions((2,)), 1))
    path = [(0.12 + 0.04 * t, 0.3 - 0.02 * t) for t in range(6)]
    regions, _ = module(blobs([[(0, *place)] for place in path], width=0.04))
    torch.testing.assert_close(regions.boxes[0, :, 0, :2], exact(path), rtol=0, atol=0.015)
    still = exact([[0.25, 0.75], [0.75, 0.75]]).expand(6, 2, 2)
    torch.testing.assert_close(regions.boxes[0, :, 2:, :2], still, rtol=0, atol=0.01)
    (pool,) = regions.pool
    assert (pool[0, :, 0, 12:] == 0).all()  # nothing is read outside of the region
    assert (pool[0, :, 0, :, 12:] == 0).all()


@torch.no_grad()
def test_where_nothing_is_salient_regions_are_as_they_were():
    """Beside a place so bright that all else is zero, in float32."""
    module = reads_brightness(SharpRegions(GridRegions((2,)), 1), 100.0).float()
    regions, _ = module(blobs([[(0, 0.25, 0.25)]]).float())
    assert (regions.boxes[0, 0, 0, :2] - 0.25).abs().max() < 0.03
    given, _ = module.regions(torch.zeros(1, 1, 1, 24, 24))
    far, before = (value.pool.dense()[0, 0, 3].float() for value in (regions, given))
    torch.testing.assert_close(far, before, **FLOAT32)


@torch.no_grad()
def test_nodes_that_compete_share_out_a_place():
    """Two at one place: each reads what it is more salient for, and nobody else does."""
    module = SharpRegions(FixedRegions(1, size=1.0), 2, 2, compete=True).double()
    module.regions.centre = module.regions.centre.expand(2, 2)
    module.maps.weight.copy_(torch.eye(2)[..., None, None])
    clip = blobs([[(0, 0.3, 0.5), (1, 0.7, 0.5)]], kinds=2, width=0.08)
    (left, right), _ = (pair[0, 0] for pair in (module(clip)[0].boxes[..., :2], clip))
    assert left[0] < 0.45
    assert right[0] > 0.55
    alone = SharpRegions(module.regions, 2, 2).double()
    assert not torch.allclose(alone(clip)[0].boxes[0, 0, 0, :2], left, atol=0.01)


@WITHIN
@pytest.mark.parametrize("chunks", [[1] * 5, [3, 2]])
@torch.no_grad()
def test_a_stream_is_the_clip(inner, chunks):
    module, clip = randomise(SharpRegions(INNER[inner](), 3, 5)), draw(2, 5, 3, 6, 7)
    boxes = boxes_for(module, clip)
    whole, last = module(clip, None, *boxes)
    state, parts = None, []
    for here in torch.arange(5).split(chunks):
        part, state = module(clip[:, here], state, *[value[:, here] for value in boxes])
        parts.append(part)
    torch.testing.assert_close(torch.cat([p.boxes for p in parts], 1), whole.boxes, **EXACT)
    assert (last is None) is (inner != "dynamic")
    assert last is None or torch.allclose(state, last, **EXACT)


GRAPHS = {
    "rstg": lambda **o: random_rstg(sharp=True, scales=(2, 1), rounds=1, **o),
    "dyreg": lambda **o: random_dyreg(sharp=True, regions="fixed", rounds=1, **o),
}


@pytest.mark.parametrize("make", GRAPHS.values(), ids=GRAPHS)
def test_an_option_of_the_graphs(make):
    """Every node has a saliency, which learns at the rate of regions."""
    block, clip = make(motion=True, readout="vector"), draw(1, 3, 5, 6, 7).requires_grad_()
    count = block(clip, return_trace=True)[1].boxes.shape[2]
    assert block.regions.maps.out_channels == count
    assert any(p is block.regions.maps.weight for p in region_weights(block))
    block(clip).square().sum().backward()
    assert (clip.grad.abs().amax((2, 3, 4)) > 0).all()
    for name, value in block.named_parameters():
        unused = name.endswith(("gather.key.bias", "regions.maps.bias"))  # cancels in a softmax
        assert bool(value.grad.abs().max() > 1e-9) is not unused, name


def test_motion_of_a_grid_needs_sharp_places():
    """A cell does not move; what is in it does."""
    clip = draw(1, 3, 5, 6, 7)
    for sharp in (False, True):
        block = random_rstg(sharp=sharp, scales=(2, 1), rounds=1, motion=True)
        codes, _ = block.motion(block.regions(clip)[0])
        still = codes[:, :1].expand_as(codes) if sharp else codes
        assert torch.allclose(codes, still) is not sharp


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: SharpRegions(FixedRegions(4), 3, compete=True), "say how many nodes there are"),
        (
            lambda: random_rstg(sharp=True, regions=FixedRegions(4)),
            r"give regions=SharpRegions\(...\)",
        ),
        (
            lambda: random_dyreg(sharp=True, regions="content"),
            "nodes that are bound to content are sharp already: leave out sharp",
        ),
        (
            lambda: SharpRegions(FixedRegions(4), 3, 5)(torch.zeros(1, 1, 3, 5, 5)),
            "saliencies for 5 nodes, and 4 regions: say nodes=4, or 1",
        ),
        (
            lambda: SharpRegions(GivenRegions(4), 3)(torch.zeros(1, 1, 3, 5, 5)),
            r"pass boxes=\(B, T, M, 4\)",
        ),
    ],
)
def test_what_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
