"""Nodes that look for a kind of content, and are silent where there is none."""

import pytest
import torch

import naive_content as naive
from blobs import blobs, reads_channels
from graphs import draw, exact, random_dyreg, random_rstg, randomise, weights_of
from interlace.graph.recurrence import SCHEDULES
from interlace.graph.regions.content import ContentRegions, gaussian_window, presence
from interlace.graph.regions.objects import ObjectRegions
from interlace.graph.regions.sharp import SharpRegions
from interlace.graph.regions.simple import FixedRegions
from interlace.graph.space_stage import DotGather
from tolerances import EXACT, FLOAT32

NAN = float("nan")


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (2, 3), (6, 6)])
@pytest.mark.parametrize("options", [{}, {"window": 0.3, "softness": 0.7}])
def test_content_as_in_loops(size, options):
    module, clip = randomise(ContentRegions(3, 4, **options)), draw(1, 2, 3, *size)
    regions, state = module(clip)
    assert state is None
    assert regions.remap is regions.pool
    for t in range(2):
        expected = naive.content(weights_of(module), clip[0, t].tolist(), **options)
        found = regions.boxes, regions.pool.dense(), regions.mass
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a[0, t], exact(b), **EXACT)


@pytest.mark.parametrize("place", [(0.5, 0.5), (0.31, 0.62), (0.405, 0.777)])
def test_a_centre_is_finer_than_a_cell(place):
    regions, _ = reads_channels(ContentRegions(1, 1, softness=2.0))(blobs([[(0, *place)]]))
    torch.testing.assert_close(regions.boxes[0, 0, 0, :2], exact(place), rtol=0, atol=0.005)
    assert regions.mass.item() > 0.99


def test_a_second_thing_of_the_kind_does_not_pull():
    module = reads_channels(ContentRegions(1, 1))
    one, two = (blobs([[(0, 6.5 / 24, 0.5), *more]]) for more in ([], [(0, 0.8, 0.5)]))
    assert two[..., :12].max() > two[..., 12:].max()
    alone, both = (module(clip)[0].boxes[0, 0, 0, :2] for clip in (one, two))
    torch.testing.assert_close(both, alone, rtol=0, atol=0.004)
    far = reads_channels(ContentRegions(1, 1, window=10.0))(two)[0].boxes[0, 0, 0, 0]
    assert far > 0.4  # without a window it does


def test_each_node_follows_its_own_kind_and_is_silent_without_it():
    path = [(0.2 + 0.1 * t, 0.3 + 0.07 * t) for t in range(5)]
    clip = blobs(
        [[(0, 0.7, 0.2)] + ([(2, *p)] if t != 3 else []) for t, p in enumerate(path)], kinds=3
    )
    regions, _ = reads_channels(ContentRegions(3, 3))(clip)
    seen = torch.tensor([True, True, True, False, True])
    torch.testing.assert_close(regions.boxes[0, seen, 2, :2], exact(path)[seen], rtol=0, atol=0.01)
    assert (regions.mass[0].round() == exact([[1, 0, int(t != 3)] for t in range(5)])).all()


def test_presence_of_a_thing_of_four_cells_is_how_high_they_are():
    maps = torch.full((2, 9, 9), -1e4).double()
    maps[:, 3:5, 3:5] = exact([1.5, -2.0])[:, None, None]
    torch.testing.assert_close(presence(maps), exact([1.5, -2.0]), **EXACT)


def test_a_fresh_node_sees_nothing_anywhere():
    torch.manual_seed(0)
    mass = ContentRegions(8, 3)(torch.zeros(1, 1, 8, 2, 2))[0].mass  # as large as one thing
    torch.testing.assert_close(mass, torch.full((1, 1, 3), -4.0).sigmoid(), **FLOAT32)


def test_a_window_by_hand():
    window = gaussian_window(exact([[0.25, 0.5]]), (1, 2), 0.5)
    expected = exact([[[1.0, 0.6065306597126334]]])  # half a frame away: exp(-1/2)
    torch.testing.assert_close(window, expected, **EXACT)


BOUND = {
    "content": lambda: ContentRegions(5, 3),
    "objects": lambda: ObjectRegions(5, 3, kinds=4, apart=0.2, extent=0.3, reach=0.3),
    "sharp": lambda: SharpRegions(FixedRegions(4, size=0.4), 5, 4),
    "shared": lambda: SharpRegions(FixedRegions(4, size=0.4), 5),
    "competing": lambda: SharpRegions(FixedRegions(4, size=0.4), 5, 4, compete=True),
}
ALL = pytest.mark.parametrize("kind", BOUND)


@ALL
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 2, 1), (3, 5, 7), (2, 9, 2)])
@torch.no_grad()
def test_any_size(kind, size):
    """Also of fewer cells than nodes: kernels sum to 1, masses and places are in [0, 1]."""
    frames, *space = size
    module, clip = randomise(BOUND[kind]()), draw(2, frames, 5, *space)
    regions, _ = module(clip)
    kernels = regions.pool.dense()
    assert kernels.shape[-2:] == tuple(space)
    assert (kernels >= 0).all()
    torch.testing.assert_close(
        kernels.sum((-2, -1)), torch.ones(2, frames, kernels.shape[2]).double(), **EXACT
    )
    for value in (regions.boxes, *[regions.mass] * (regions.mass is not None)):
        assert ((value >= 0) & (value <= 1)).all()
    alone = module(clip[1:])[0]
    torch.testing.assert_close(alone.boxes, regions.boxes[1:], **EXACT)


@ALL
def test_places_and_masses_have_the_gradient_of_their_formula(kind):
    module, clip = randomise(BOUND[kind]()), draw(1, 2, 5, 4, 5).requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def read(clip, *values):
        given = dict(zip(names, values, strict=True))
        regions, _ = torch.func.functional_call(module, given, (clip,))
        told = (regions.boxes[..., :2], regions.pool.dense())
        return told if regions.mass is None or kind == "objects" else (*told, regions.mass)

    # what kind a peak is of, and what explains it, is detached: no difference quotient sees that
    if kind == "objects":
        regions, _ = module(clip)
        grads = [
            torch.autograd.grad(value.sum(), clip, retain_graph=True)[0]
            for value in (regions.boxes[..., 0], regions.mass)
        ]
        assert all(bool((grad.abs().amax((0, 2, 3, 4)) > 1e-6).all()) for grad in grads)
        return
    assert torch.autograd.gradcheck(read, (clip, *module.parameters()), fast_mode=True)


@ALL
@torch.no_grad()
def test_half_precision_moves_no_place(kind):
    """Given the same features, to the bit."""
    module, clip = randomise(BOUND[kind]()).float(), draw(2, 3, 5, 9, 7).float()
    plain, _ = module(clip)
    with torch.autocast("cpu", torch.bfloat16):
        half, _ = module(clip)
    for a, b in zip(half[0], plain[0], strict=True):
        assert torch.equal(a, b)
    assert torch.equal(half.pool.dense(), plain.pool.dense())
    assert plain.mass is None or torch.equal(half.mass, plain.mass)
    with torch.autocast("cpu", torch.bfloat16):  # what a backbone gives there
        module(clip.bfloat16())


@ALL
@torch.no_grad()
def test_a_nan_is_not_hidden(kind):
    """All masses of its frame, and places that it touches; none before, nor in other clips."""
    module, clip = randomise(BOUND[kind]()), draw(2, 3, 5, 6, 6)
    plain, _ = module(clip)
    clip[0, 1, 2, 3, 3] = NAN
    regions, state = module(clip)
    first = regions.boxes[0, :, :, :2].isnan()
    assert first[1].any() if kind == "objects" else first[1].all()
    assert not first[0].any()
    assert torch.equal(regions.boxes[1], plain.boxes[1])
    if regions.mass is not None:
        assert regions.mass[0, 1].isnan().all()
    assert (kind == "objects") == (state is not None and bool(state[0].isnan().any()))


@ALL
@torch.no_grad()
def test_the_compiler_finds_one_unbroken_graph(kind):
    torch._dynamo.reset()
    module, clip = randomise(BOUND[kind]()), draw(2, 3, 5, 6, 7)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    (ours, state), (theirs, other) = compiled(clip), module(clip)
    torch.testing.assert_close(ours.boxes, theirs.boxes, **EXACT)
    torch.testing.assert_close(ours.pool.dense(), theirs.pool.dense(), **EXACT)
    assert (state is None) is (other is None)
    assert theirs.mass is None or torch.equal(ours.mass, theirs.mass)


@pytest.mark.parametrize("kind", ["content", "sharp"])
@torch.no_grad()
def test_transforms_of_functions(kind):
    module, clips = randomise(BOUND[kind]()), draw(3, 1, 2, 5, 4, 5)

    def place(clip):
        return module(clip)[0].boxes[..., :2]

    each = torch.stack([place(clip) for clip in clips])
    torch.testing.assert_close(torch.vmap(place)(clips), each, **EXACT)
    _, slope = torch.func.jvp(place, (clips[0],), (clips[1],))
    small = 1e-6 * clips[1]
    quotient = (place(clips[0] + small) - place(clips[0] - small)) / 2e-6
    torch.testing.assert_close(slope, quotient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nodes": 0}, "nodes must be at least 1, got 0"),
        ({"window": 0}, "window and softness must be above 0, got window=0, softness=4.0"),
        ({"softness": NAN}, "above 0, got window=0.15, softness=nan"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        ContentRegions(4, **wrong)


# --- in a graph ----------------------------------------------------------------------------------


def graph(kind="content", **options):
    said = {"rounds": 2, "residual": True, "motion": True, "time": "add", "readout": "vector"}
    said["relative_motion"] = options.get("schedule") != "time-only"
    said["gather"] = DotGather(8, scaled=True)
    return random_rstg(regions=BOUND[kind](), **{**said, **options})


def regions_in_loops(kind, weights, images):
    """Boxes, kernels, masses, [t][node]."""
    maps = naive.below(weights, "regions")
    if kind == "objects":
        return naive.objects(maps, images, 3, apart=0.2, extent=0.3, reach=0.3)[:3]
    frames = [naive.content(maps, image) for image in images]
    return [list(part) for part in zip(*frames, strict=True)]


@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize(
    ("moves", "relative"), [(True, True), (True, False), (False, True), (False, False)]
)
@pytest.mark.parametrize("kind", ["content", "objects"])
def test_the_whole_graph_as_in_loops(kind, moves, relative, adds):
    """All frames of a clip, of both graphs, with nodes that move and are told so."""
    clip, bound = draw(1, 4, 5, 6, 7), {"identities": kind == "content", "moves": moves}
    said = {"motion": moves, "time": "add" if adds else "replace"}
    images = clip[0].tolist()

    bound |= {"relative": relative}
    said |= {"relative_motion": relative}
    block = graph(kind, **said)
    weights = weights_of(block)
    expected = naive.rstg(
        images,
        weights,
        regions_in_loops(kind, weights, images),
        SCHEDULES["all-temp"](2),
        adds=adds,
        scaled=True,
        **bound,
    )
    torch.testing.assert_close(block(clip, every_frame=True)[0], exact(expected), **EXACT)

    for residual in (True, False):
        said |= {"residual": residual, "readout": "vector", "rounds": 2}
        block = random_dyreg(regions=BOUND[kind](), **said)
        weights = weights_of(block)
        regions = regions_in_loops(kind, weights, images)
        expected = naive.dyreg(images, weights, regions, 2, residual=residual, adds=adds, **bound)
        torch.testing.assert_close(block(clip, every_frame=True)[0], exact(expected), **EXACT)


@pytest.mark.parametrize("kind", ["content", "objects"])
@pytest.mark.parametrize("schedule", ["all-temp", "1-temp", "space-only", "time-only"])
def test_every_parameter_gets_a_gradient(kind, schedule):
    said = {"schedule": schedule}
    said |= {"rounds": None, "residual": False, "gather": None} if schedule == "time-only" else {}
    said |= {"time": "replace"} if schedule == "space-only" else {}
    block, clip = graph(kind, **said), draw(2, 3, 5, 6, 6).requires_grad_()
    block(clip).square().sum().backward()
    assert (clip.grad.abs().amax((2, 3, 4)) > 0).all()
    for name, value in block.named_parameters():
        assert value.grad is not None, name
        assert bool(value.grad.abs().max() > 1e-9) is not name.endswith("gather.key.bias"), name


@torch.no_grad()
def test_a_silent_node_changes_nothing_in_the_vector():
    """Whatever it reads: a kind that is nowhere has no say."""
    block, clip = graph(), draw(1, 3, 5, 6, 6)
    block.regions.maps.bias[1] = -1e3
    out, trace = block(clip, return_trace=True)
    assert (trace.mass[..., 1] == 0).all()
    assert (trace.nodes[..., 1, :] == 0).all()
    block.where.identity[1] += draw(8)
    torch.testing.assert_close(block(clip), out, **EXACT)
    block.where.identity[0] += draw(8)
    assert not torch.allclose(block(clip), out)


@torch.no_grad()
def test_renumbering_the_kinds_changes_no_vector():
    block, clip, order = graph(), draw(1, 3, 5, 6, 6), [2, 0, 1]
    out, trace = block(clip, return_trace=True)
    for value in (*block.regions.maps.parameters(), block.where.identity):
        value.copy_(value[order])
    same, other = block(clip, return_trace=True)
    torch.testing.assert_close(same, out, **EXACT)
    torch.testing.assert_close(other.nodes, trace.nodes[:, :, order], **FLOAT32)
    assert torch.equal(other.mass, trace.mass[:, :, order])


@torch.no_grad()
def test_a_trace_has_the_masses():
    block, clip = graph(), draw(1, 3, 5, 6, 6)
    _, trace = block(clip, return_trace=True)
    assert torch.equal(trace.mass, block.regions(clip)[0].mass.float())
    _, trace = random_rstg()(clip, return_trace=True)
    assert torch.equal(trace.mass, torch.ones(1, 3, 14))
