"""Nodes that each follow one object: found, told apart, matched, remembered."""

import itertools

import pytest
import torch

import naive_content as naive
from blobs import blobs, reads_channels
from graphs import draw, exact, random_dyreg, random_rstg, randomise, weights_of
from interlace.graph.regions.objects import ObjectRegions, match
from tolerances import EXACT

WIDE = {"apart": 0.21, "extent": 0.34, "reach": 0.27}  # for maps of a few cells


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((8, 9), WIDE),
        ((7, 6), {"apart": 0.05, "extent": 0.2, "reach": 0.04, "softness": 0.8}),
        ((9, 4), {**WIDE, "reach": 2.0}),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_objects_as_in_loops(size, options, seed):
    """Peaks, kinds, what is explained away, who takes which, and what is remembered."""
    module = randomise(ObjectRegions(3, 4, kinds=3, **options), seed)
    with torch.no_grad():
        module.maps.bias.sub_(2.0)
    clip = draw(1, 5, 3, *size, seed=seed)
    clip = clip[:, :1] * exact([1, 0.8, 0.1, 0.6, -1]).view(1, 5, 1, 1, 1) + 0.7 * clip
    regions, state = module(clip)
    *expected, memory = naive.objects(weights_of(module), clip[0].tolist(), 4, **options)
    found = regions.boxes, regions.pool.dense(), regions.mass
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a[0], exact(b), **EXACT)
    torch.testing.assert_close(state[0], exact(memory), **EXACT)
    assert ((regions.mass > 0.01) & (regions.mass < 0.99)).any()  # nothing is beyond doubt


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_matched_as_in_loops(seed):
    affinity = draw(5, 6, 6, seed=seed).abs()
    affinity[0] = affinity[0].round()  # with equals
    affinity[1] = 0
    expected = [naive.matched(rows) for rows in affinity.tolist()]
    assert match(affinity).tolist() == expected
    assert expected[1] == list(range(6))


def follow(frames, *, nodes=4, kinds=2, **options):
    """Places (T, N, 2), masses (T, N) and the state."""
    module = reads_channels(ObjectRegions(kinds, nodes, kinds=kinds, **options))
    regions, state = module(blobs(frames, kinds=kinds))
    return regions.boxes[0, ..., :2].detach(), regions.mass[0].detach(), state[0]


def node_at(places, masses, place):
    """The node that is nearest to a place, of those that speak."""
    far = (places.double() - exact(place)).norm(dim=-1)
    return int(far.masked_fill(masses < 0.5, 9.0).argmin())


def test_an_object_that_moves_is_one_node():
    """Two of a kind and one of another, on paths that come close in space, not in time."""
    paths = [
        (0, [(0.15 + 0.07 * t, 0.2) for t in range(9)]),
        (0, [(0.8 - 0.07 * t, 0.5) for t in range(9)]),
        (1, [(0.5, 0.9 - 0.04 * t) for t in range(9)]),
    ]
    frames = [[(kind, *path[t]) for kind, path in paths] for t in range(9)]
    places, masses, _ = follow(frames, reach=0.08)
    owners = set()
    for _, path in paths:
        node = node_at(places[0], masses[0], path[0])
        owners.add(node)
        torch.testing.assert_close(places[:, node], exact(path), rtol=0, atol=0.012)
        assert (masses[:, node] > 0.95).all()
    assert len(owners) == 3
    (silent,) = set(range(4)) - owners
    assert (masses[:, silent] < 0.05).all()


def test_two_of_a_kind_are_two_nodes_and_one_is_one():
    for things in (
        [(0, 0.3, 0.5)],
        [(0, 0.3, 0.5), (0, 0.5, 0.5)],
        [(0, 0.3, 0.5), (1, 0.52, 0.5)],
    ):
        _, masses, _ = follow([things])
        assert int((masses > 0.5).sum()) == len(things)
        assert int((masses < 0.05).sum()) == 4 - len(things)


def test_equal_peaks_on_one_thing_are_one_node():
    """Four cells as high as each other are one thing, and so is a map of fewer cells than nodes."""
    module = reads_channels(ObjectRegions(1, 6, kinds=1, apart=0.1, extent=0.2))
    maps = torch.full((1, 1, 1, 24, 24), -8.0).double()
    maps[..., 11:13, 11:13] = 6.0
    regions, _ = module(maps)
    speaks = regions.mass[0, 0] > 0.1
    assert int(speaks.sum()) == 1
    torch.testing.assert_close(
        regions.boxes[0, 0, speaks, :2], exact([[0.5, 0.5]]), rtol=0, atol=0.01
    )
    mass = module(torch.full((1, 1, 1, 1, 1), 8.0).double())[0].mass
    assert int((mass > 0.1).sum()) == 1


def test_a_hidden_object_is_taken_up_again_by_its_node():
    """Near where it was, after some frames, in which it remembers, while the other goes on."""
    hidden = range(3, 5)
    still = (0, 0.75, 0.75)

    frames = [[still, *([] if t in hidden else [(0, 0.3 + 0.01 * t, 0.3)])] for t in range(8)]

    places, masses, state = follow(frames, reach=0.06)
    node, other = (
        node_at(places[0], masses[0], (0.3, 0.3)),
        node_at(places[0], masses[0], still[1:]),
    )
    assert node != other
    assert [bool(m > 0.5) for m in masses[:, node]] == [t not in hidden for t in range(8)]
    torch.testing.assert_close(
        places[5:, node, 0], 0.3 + 0.01 * exact([5, 6, 7]), rtol=0, atol=0.01
    )
    assert (masses[:, other] > 0.95).all()
    torch.testing.assert_close(state[node, :2], places[-1, node], rtol=0, atol=1e-3)

    _, _, state = follow(frames[:5], reach=0.06)
    torch.testing.assert_close(state[node, 0], exact(0.32), rtol=0, atol=0.01)  # where it was last
    assert state[node, 2] == pytest.approx(0.64, abs=0.02)  # of two frames
    assert state[node, 3] > 0.9


@pytest.mark.parametrize("near", [0.0, 0.4])
def test_an_object_of_another_kind_elsewhere_is_another_node(near):
    places, masses, _ = follow(
        [[(0, 0.3, 0.3)], [(0, 0.3, 0.3), (1, 0.3 + near, 0.3)][near == 0 :]]
    )
    node = node_at(places[0], masses[0], (0.3, 0.3))
    assert masses[0, node] > 0.95
    assert masses[1, node] > 0.95  # its own, or the other kind in its place
    assert int((masses[1] > 0.5).sum()) == (2 if near else 1)


@pytest.mark.parametrize("chunks", [[1] * 6, [3, 1, 2], [5, 1]])
@torch.no_grad()
def test_a_stream_is_the_clip(chunks):
    module = randomise(ObjectRegions(3, 4, kinds=5, **WIDE))
    clip = draw(2, 6, 3, 8, 9)
    whole, last = module(clip)
    state, parts = None, []
    for chunk in clip.split(chunks, dim=1):
        part, state = module(chunk, state)
        assert state.shape == (2, 4, 8)
        parts.append(part)
    for a, b in zip(zip(*[(p.boxes, p.pool.dense(), p.mass) for p in parts], strict=True),
                    (whole.boxes, whole.pool.dense(), whole.mass), strict=True):  # fmt: skip
        torch.testing.assert_close(torch.cat(a, 1), b, **EXACT)
    torch.testing.assert_close(state, last, **EXACT)
    alone, _ = module(clip[:, 3:])
    assert not torch.allclose(alone.boxes, whole.boxes[:, 3:], atol=1e-3)  # the state matters


def test_more_nodes_find_the_same_objects():
    things = [[(0, 0.3, 0.5), (1, 0.6, 0.2)]]
    for nodes in (2, 3, 9):
        places, masses, _ = follow(things, nodes=nodes)
        for _, *place in things[0]:
            assert masses[0, node_at(places[0], masses[0], place)] > 0.95
        assert masses.sum().item() == pytest.approx(2, abs=0.1)


@torch.no_grad()
def test_an_exchange_of_objects_exchanges_nodes_and_changes_no_vector():
    """Objects are interchangeable: of two that start elsewhere, the nodes have changed roles."""
    for make, options in ((random_rstg, {"rounds": 1}), (random_dyreg, {"rounds": 1})):
        regions = ObjectRegions(2, 3, kinds=2)
        block = make(2, regions=regions, readout="vector", motion=True, **options)
        reads_channels(regions)
        frames = [[(0, 0.3, 0.3 + 0.01 * t), (1, 0.7, 0.6 - 0.01 * t)] for t in range(3)]
        first, second = blobs(frames, kinds=2), blobs(frames, kinds=2)
        second[:, :, 0] += 0.1 * second[:, :, 0].relu()  # now the other one is the clearer
        (out, trace), (same, other) = (block(clip, return_trace=True) for clip in (first, second))
        torch.testing.assert_close(same, out, rtol=0.02, atol=0.02)
        places = trace.boxes[0, 0, :2, :2].tolist()
        swapped = [node_at(other.boxes[0, 0, :, :2], other.mass[0, 0], place) for place in places]
        assert swapped == [1, 0]
        torch.testing.assert_close(
            other.nodes[:, :, swapped], trace.nodes[:, :, :2], rtol=0.02, atol=0.02
        )


def test_which_peak_is_whose_has_no_gradient_but_its_place_has():
    """The state is detached; the place of a blob moves with its features."""
    module = reads_channels(ObjectRegions(1, 2, kinds=1))
    clip = blobs([[(0, 0.4, 0.5)]] * 2).requires_grad_()
    regions, state = module(clip)
    assert not state.requires_grad
    node = int(regions.mass[0, 1].argmax())
    (slope,) = torch.autograd.grad(regions.boxes[0, 1, node, 0], clip)
    assert (slope[0, 0] == 0).all()  # the frame before has no part in it
    right = torch.arange(24)[None].expand(24, -1) > 9.1
    near = slope[0, 1, 0].abs() > 1e-9
    assert (slope[0, 1, 0][near & right] > 0).all()
    assert (slope[0, 1, 0][near & ~right] < 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nodes": 0}, "nodes must be at least 1, got 0"),
        ({"kinds": 0}, "kinds must be at least 1, got 0"),
        *[
            ({name: value}, f"{name} must be above 0, got {value}")
            for name, value in itertools.product(
                ("apart", "extent", "reach", "softness"), (0, float("nan"))
            )
        ],
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        ObjectRegions(4, **wrong)


def test_a_state_of_other_clips_or_nodes_is_refused():
    module, clip = ObjectRegions(3, 4).double(), draw(2, 1, 3, 5, 5)
    _, state = module(clip)
    for other, frames in (
        (module, clip[:1]),
        (ObjectRegions(3, 5).double(), clip),
        (ObjectRegions(3, 4, kinds=9).double(), clip),
    ):
        with pytest.raises(ValueError, match=r"state must be .*start a new stream"):
            other(frames, state)
