"""The whole DyReg graph: the paper's equations, and what must hold whatever gives its regions."""

import copy
import io
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_dyreg as naive
from graphs import draw, exact, random_dyreg, regions_of, weights_of
from interlace.graph.boxes import anchors
from interlace.graph.dyreg import DyReg, RegionKind
from interlace.graph.motion import Motion, RelativeMotion
from interlace.graph.regions.dynamic import DynamicRegions
from interlace.graph.regions.simple import FixedRegions, GivenRegions
from tolerances import BFLOAT16, EXACT, FLOAT32

KINDS = list(get_args(RegionKind))
BOUND = ["content", "objects"]  # test_content.py has them in loops
PAPER = [kind for kind in KINDS if kind not in BOUND]
REMEMBER = ["dynamic", "light", "objects"]
STREAMS = [kind for kind in KINDS if kind != "constant"]
READOUTS = ["map", "vector", "mean-vector"]
NAN = float("nan")


def told(block, clip, *, count=3, seed=7):
    """Boxes for a graph that needs them, some of them missing."""
    if not block.needs_boxes:
        return {}
    boxes = draw(*clip.shape[:2], count, 4, seed=seed).sigmoid() * 0.8 + 0.1
    boxes[:, ::2, -1] = NAN
    return {"boxes": boxes}


def fresh(kind, *, nodes=9, readout="map", **options):
    torch.manual_seed(0)
    regions = regions_of(kind, 5, nodes, region_width=32, **options)
    nodes = nodes if isinstance(regions, str) else None
    return DyReg(5, width=8, nodes=nodes, regions=regions, readout=readout)


# --- as in the paper -----------------------------------------------------------------------------

options = st.fixed_dictionaries(
    {
        "nodes": st.sampled_from([1, 2, 5, 9]),
        "rounds": st.integers(1, 3),
        "residual": st.booleans(),
        "readout": st.sampled_from(READOUTS),
        "anchors": st.sampled_from(["center", "grid"]),
        "size": st.sampled_from([1 / 6, 0.4, 0.0]),
    }
)
only_built = st.fixed_dictionaries(
    {"learn_size": st.booleans(), "memory": st.booleans(), "region_width": st.sampled_from([8, 5])}
)


@pytest.mark.parametrize("kind", PAPER)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(options, only_built, st.sampled_from([8, 3]), st.integers(1, 6), st.integers(1, 3))
def test_every_option_as_in_loops(kind, options, only_built, channels, height, frames):
    block = random_dyreg(channels, regions=kind, **options, **only_built)
    clip = draw(1, frames, channels, height, height + 2)
    boxes = told(block, clip)
    out, trace = block(clip, return_trace=True, **boxes)

    given = boxes["boxes"][0].tolist() if boxes else None
    expected, where, attention = naive.dyreg(
        clip[0].tolist(), weights_of(block), kind, given=given, **options
    )
    torch.testing.assert_close(out[0], exact(expected), **EXACT)
    torch.testing.assert_close(trace.boxes[0], exact(where).float())
    torch.testing.assert_close(trace.attention[0], exact(attention).float())


@pytest.mark.parametrize("residual", [True, False])
def test_the_papers_block_as_in_loops(residual):
    """All defaults, with nine nodes, on a map that is not square."""
    block = random_dyreg(6, width=4, region_width=5, residual=residual)
    clip = draw(1, 3, 6, 5, 7)
    expected, _, _ = naive.dyreg(clip[0].tolist(), weights_of(block), residual=residual)
    torch.testing.assert_close(block(clip)[0], exact(expected), **EXACT)


RESNET = 2_790_904  # parameters of the ResNet-18 with three stages


@pytest.mark.parametrize(
    ("kind", "millions"), [("fixed", 2.82), ("semantic", 2.85), ("light", 2.83), ("dynamic", 3.08)]
)
def test_sizes_of_table_6(kind, millions):
    block = DyReg(128, width=32, regions=kind)
    count = RESNET + sum(value.numel() for value in block.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_keypoints_have_the_size_of_dynamic_regions():
    """Appendix E.4: "such that the number of parameters remains the same"."""
    counts = [
        sum(value.numel() for value in DyReg(128, width=32, regions=kind).parameters())
        for kind in ("keypoints", "dynamic")
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.1)


def test_the_papers_values_are_the_defaults():
    block = DyReg(512)
    assert block.recurrence.schedule == ("time", "space") * 3 + ("final",)
    assert block.regions.offsets.nodes == 9
    assert block.project.out_features == 256
    assert DyReg(64).regions.view.nodes == 9
    assert isinstance(DyReg(64).project, torch.nn.Identity)


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": 4},
        {"width": 6},
        {"rounds": 2},
        *[{"regions": kind} for kind in KINDS if kind != "dynamic"],
        {"region_width": 4},
        {"memory": False},
        {"learn_size": False},
        {"size": 0.3},
        {"anchors": "grid"},
        {"residual": False},
        {"sharp": True},
        {"motion": True},
        {"motion": Motion(8, scale=3.0)},
        {"relative_motion": True},
        {"relative_motion": RelativeMotion(scale=3.0)},
        {"time": "add"},
        {"readout": "vector"},
        {"readout": "mean-vector"},
    ],
    ids=lambda change: "-".join(str(v) for pair in change.items() for v in pair),
)
@torch.no_grad()
def test_an_option_changes_the_output(change):
    """With the same weights wherever both have them."""
    plain, other = random_dyreg(), random_dyreg(**change)
    theirs = {k: v for k, v in plain.state_dict().items() if k in other.state_dict()}
    same = {k: v for k, v in theirs.items() if v.shape == other.state_dict()[k].shape}
    other.load_state_dict(same, strict=False)
    clip = draw(1, 3, 5, 6, 6)
    a, b = plain(clip), other(clip, **told(other, clip))
    assert a.shape != b.shape or not torch.allclose(a, b, rtol=1e-3)


def test_options_of_regions_change_no_first_weights_but_theirs():
    """A fixed model has no memory of regions, so it starts the same whatever came before."""
    weights = []
    for regions in ("fixed", FixedRegions(9)):
        torch.manual_seed(0)
        weights.append(DyReg(5, width=8, regions=regions).state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("light", [False, True])
def test_the_plain_kinds_are_their_modules(light):
    torch.manual_seed(0)
    named = DyReg(5, width=8, nodes=4, regions="light" if light else "dynamic")
    torch.manual_seed(0)
    made = DyReg(5, width=8, regions=DynamicRegions.of(5, 4, light=light))
    assert list(named.state_dict()) == list(made.state_dict())
    for a, b in zip(named.parameters(), made.parameters(), strict=True):
        assert torch.equal(a, b)


def test_regions_of_ones_own():
    regions = GivenRegions(3)
    block, clip = random_dyreg(regions=regions), draw(1, 2, 5, 6, 6)
    assert block.regions is regions
    built = random_dyreg(regions="given", nodes=3)
    assert torch.equal(block(clip, **told(block, clip)), built(clip, **told(block, clip)))


# --- a fresh block -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_block_is_the_identity_and_learns(kind):
    block, clip = fresh(kind), draw(1, 2, 5, 6, 6).float()
    out = block(clip, **told(block, clip))
    assert torch.equal(out, clip)
    (out**2).sum().backward()
    assert block.branch.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("points", ["center", "grid"])
@pytest.mark.parametrize("nodes", [1, 4, 9])
@pytest.mark.parametrize("kind", ["dynamic", "light", "constant", "static"])
def test_fresh_regions_start_at_their_points_with_a_sixth_of_the_frame(kind, nodes, points):
    clip = 10 * draw(2, 3, 5, 6, 7).float()
    _, trace = fresh(kind, nodes=nodes, anchors=points)(clip, return_trace=True)
    start = torch.cat((anchors(nodes, points), torch.full((nodes, 2), 1 / 6)), -1).float()
    torch.testing.assert_close(trace.boxes, start.expand(2, 3, -1, -1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["dynamic", "light", "constant", "static"])
def test_regions_learn_from_the_first_day(kind):
    """gamma starts at zero: it moves first, and with it the weights that it multiplies.

    Under a zero-started branch even gamma waits, until the branch has moved.
    """
    clip = draw(2, 3, 5, 6, 6).float()

    def gradients(block):
        out = block(clip)
        (out * draw(*out.shape, seed=3).float()).sum().backward()
        offsets = block.regions.offsets
        return [value.grad.abs() for value in (offsets.gamma, offsets.linear.weight)]

    for readout in ("vector", "mean-vector"):
        gamma, weight = gradients(fresh(kind, readout=readout))
        assert (gamma > 0).all()
        assert (weight == 0).all()
    block = fresh(kind)
    assert (gradients(block)[0] == 0).all()
    torch.nn.init.constant_(block.branch.weight, 0.1)
    assert (gradients(block)[0] > 0).all()


# --- any input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (1, 2, 5, 9), (3, 7, 2, 2), (2, 20, 17, 5)])
@torch.no_grad()
def test_any_size(kind, size):
    frames, height, width, nodes = size
    block, clip = random_dyreg(regions=kind, nodes=nodes), draw(2, frames, 5, height, width)
    boxes = told(block, clip)
    out, trace = block(clip, return_trace=True, **boxes)
    assert out.shape == clip.shape
    assert out.isfinite().all()
    assert not torch.allclose(out, clip)
    assert trace.boxes.shape == (2, frames, nodes, 4)
    assert ((trace.boxes[..., :2] >= 0) & (trace.boxes[..., :2] <= 1)).all()
    assert (trace.boxes[..., 2:] > 0).all()
    assert (trace.kernels >= 0).all()
    torch.testing.assert_close(trace.kernels.sum((-1, -2)), torch.ones(2, frames, nodes), **FLOAT32)
    alone = block(clip[1:], **{k: v[1:] for k, v in boxes.items()})
    torch.testing.assert_close(alone, out[1:], **EXACT)  # clips of a batch do not mix


@pytest.mark.parametrize("kind", ["dynamic", "light", "constant", "static"])
@torch.no_grad()
def test_huge_offsets(kind):
    block, clip = random_dyreg(regions=kind).float(), draw(1, 2, 5, 6, 6).float()
    block.regions.offsets.gamma.fill_(1e6)
    out, trace = block(clip, return_trace=True)
    assert out.isfinite().all()
    assert ((trace.boxes[..., :2] >= 0) & (trace.boxes[..., :2] <= 1)).all()
    assert ((trace.boxes[..., 2:] > 0) & trace.boxes[..., 2:].isfinite()).all()
    torch.testing.assert_close(trace.kernels.sum((-1, -2)), torch.ones(1, 2, 9), **FLOAT32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("random", [False, True])
def test_black_clips(kind, random):
    """All zeros: finite, the same for all clips, with finite gradients."""
    block = random_dyreg(regions=kind).float() if random else fresh(kind)
    clip = torch.zeros(2, 3, 5, 6, 6)
    boxes = {k: v.float()[:1].expand(2, -1, -1, -1) for k, v in told(block, clip).items()}
    out = block(clip, **boxes)
    assert out.isfinite().all()
    torch.testing.assert_close(out[0], out[1], **FLOAT32)
    assert random or torch.equal(out, clip)
    out.square().sum().backward()
    grads = [value.grad for value in block.parameters() if value.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_nan_in_the_features_is_not_hidden(kind):
    """It fills the output from its frame on; earlier frames and other clips do not see it."""
    block, clip = random_dyreg(regions=kind), draw(2, 4, 5, 6, 6)
    boxes = told(block, clip)
    plain = block(clip, **boxes)
    clip[0, 2, 1, 3, 3] = NAN
    out = block(clip, **boxes)
    first = 0 if kind == "constant" else 2
    assert out[0, first:].isnan().all()
    assert torch.equal(out[0, :first], plain[0, :first])
    assert torch.equal(out[1], plain[1])


def test_nothing_outside_of_its_region_reaches_a_node():
    block, clip = random_dyreg(regions="given", nodes=2), draw(1, 2, 5, 8, 8)
    boxes = exact([0.25, 0.25, 0.2, 0.2]).expand(1, 2, 2, 4)
    other = clip.clone()
    other[..., 4:, 4:] = 0
    branch = block(clip, boxes=boxes) - clip
    torch.testing.assert_close(block(other, boxes=boxes) - other, branch, **EXACT)


# --- gradients, precision, copies, compilers -----------------------------------------------------

UNUSED = {
    # one number for all places, or for all senders, cancels in a softmax
    "light": {"regions.view.weigh.bias"},
    "semantic": {"regions.weigh.bias"},
    "keypoints": {"regions.encoder.4.bias"},
}


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind, readout):
    block = random_dyreg(regions=kind, nodes=3, rounds=2, readout=readout)
    clip = draw(2, 3, 5, 6, 6).requires_grad_()
    out = block(clip, **told(block, clip))
    (out * draw(*out.shape)).sum().backward()
    assert clip.grad.isfinite().all()
    assert (clip.grad.abs().amax((2, 3, 4)) > 0).all()  # of every frame
    for name, value in block.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        unused = {"recurrence.stages.space.gather.key.bias", *UNUSED.get(kind, ())}
        assert bool(value.grad.abs().max() > 1e-9) is not (name in unused), name


def test_regions_without_a_size_do_not_learn_one():
    """size=0 stays bilinear interpolation: exp(w) * 0."""
    block = random_dyreg(nodes=3, size=0, readout="vector")
    block(draw(1, 2, 5, 6, 6)).sum().backward()
    gamma = block.regions.offsets.gamma.grad
    assert (gamma[:2] != 0).all()
    assert (gamma[2:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_close_to_float32(kind):
    torch.manual_seed(0)
    block = DyReg(64, width=64, nodes=5, regions=kind, readout="vector")
    for name, value in block.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(value, 0.3)
    clip = torch.randn(2, 6, 64, 8, 8)
    boxes = {k: v.float() for k, v in told(block, clip).items()}
    plain, trace = block(clip, return_trace=True, **boxes)
    with torch.autocast("cpu", torch.bfloat16):
        fast, half = block(clip, return_trace=True, **boxes)
    assert fast.isfinite().all()
    assert (fast - plain).abs().max() < BFLOAT16 * plain.abs().max()
    assert (half.boxes - trace.boxes).abs().max() < 0.005  # of the frame

    weights, values = torch.randn_like(plain), list(block.parameters())
    exact, close = (torch.autograd.grad((v * weights).sum(), values) for v in (plain, fast))
    assert all(value.dtype == torch.float32 for value in close)
    exact, close = (torch.cat([v.flatten() for v in grads]) for grads in (exact, close))
    assert (close - exact).norm() < 5 * BFLOAT16 * exact.norm()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_copies_compute_the_same(kind):
    block, clip = random_dyreg(regions=kind, anchors="grid"), draw(1, 3, 5, 6, 6)
    boxes = told(block, clip)
    out, state = block(clip, return_state=True, **boxes)
    stored = io.BytesIO()
    torch.save(block, stored)
    stored.seek(0)
    for other in (copy.deepcopy(block), torch.load(stored, weights_only=False)):
        assert torch.equal(other(clip, **boxes), out)
    if kind != "constant":
        stored = io.BytesIO()
        torch.save(tuple(state), stored)  # a state goes through a file without pickled code
        stored.seek(0)
        kept = torch.load(stored, weights_only=True)
        assert torch.equal(block(clip, kept, **boxes), block(clip, state, **boxes))

    assert set(block.state_dict()) == {name for name, _ in block.named_parameters()}
    other = random_dyreg(regions=kind, anchors="grid", seed=1)
    assert not torch.allclose(other(clip, **boxes), out)
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(clip, **boxes), out)


@pytest.mark.parametrize("kind", ["light", *KINDS[3:]])
def test_the_compiler_finds_one_unbroken_graph_of_regions(kind):
    torch._dynamo.reset()
    block, clip = random_dyreg(regions=kind, nodes=3, memory=False), draw(2, 3, 5, 6, 7)
    compiled = torch.compile(block.regions, fullgraph=True, backend="eager")
    boxes = tuple(told(block, clip).values())
    (ours, state), (theirs, other) = (run(clip, None, *boxes) for run in (compiled, block.regions))
    torch.testing.assert_close(ours.boxes, theirs.boxes, **EXACT)
    torch.testing.assert_close(ours.pool.dense(), theirs.pool.dense(), **EXACT)
    assert (state is None) is (other is None)


@pytest.mark.parametrize("kind", ["dynamic", "given"])
def test_compiled_is_eager(kind):
    """The compiler leaves out the library's recurrence, and finds the rest."""
    torch._dynamo.reset()
    block, clip = random_dyreg(regions=kind, nodes=2, rounds=1), draw(2, 3, 5, 6, 7)
    compiled = torch.compile(block, backend="aot_eager" if kind == "dynamic" else "eager")
    boxes, results = told(block, clip), []
    for run in (compiled, block):
        out, state, trace = run(clip, return_state=True, return_trace=True, **boxes)
        grads = torch.autograd.grad(out.square().sum(), list(block.parameters()))
        results.append([out, *flat(state), trace.boxes, trace.kernels, *grads])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)  # a trace is in float32


@torch.no_grad()
def test_a_trace_is_true_to_the_computation():
    for kind in KINDS:
        block, clip = random_dyreg(regions=kind, nodes=3), draw(2, 3, 5, 6, 7)
        boxes = told(block, clip)
        out, trace = block(clip, return_trace=True, **boxes)
        assert torch.equal(out, block(clip, **boxes))
        assert trace.attention.shape == (2, 3, 3, 1, 3, 3)
        torch.testing.assert_close(trace.attention.sum(-1), torch.ones(2, 3, 3, 1, 3))
        regions, _ = block.regions(clip, None, *boxes.values())
        torch.testing.assert_close(trace.boxes, regions.boxes.float().expand(2, 3, -1, -1))
        assert len(trace.boxes[0, 0].unique(dim=0)) > 1


# --- renumbering ---------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", READOUTS)
@torch.no_grad()
def test_renumbering_given_boxes_renumbers_the_nodes(readout):
    block, clip = random_dyreg(regions="given", nodes=4, readout=readout), draw(2, 3, 5, 6, 7)
    boxes, order = told(block, clip, count=4)["boxes"], [2, 0, 3, 1]
    out, trace = block(clip, boxes=boxes, return_trace=True)
    same, other = block(clip, boxes=boxes[:, :, order], return_trace=True)
    torch.testing.assert_close(same, out, **EXACT)
    torch.testing.assert_close(other.boxes, trace.boxes[:, :, order])
    torch.testing.assert_close(other.nodes, trace.nodes[:, :, order], **FLOAT32)
    attention = trace.attention[..., order, :][..., order]
    torch.testing.assert_close(other.attention, attention, **FLOAT32)


@torch.no_grad()
def test_renumbering_the_views_of_the_nodes_changes_no_map():
    """Nodes differ by what they see of the frame, and by nothing else."""
    block, clip, order = random_dyreg(nodes=4), draw(2, 3, 5, 6, 7), [2, 0, 3, 1]
    out, trace = block(clip, return_trace=True)
    linear = block.regions.view.linear
    for value in (linear.weight, linear.bias):
        value.copy_(value.unflatten(0, (4, -1))[order].flatten(0, 1))
    same, other = block(clip, return_trace=True)
    torch.testing.assert_close(same, out, **EXACT)
    torch.testing.assert_close(other.nodes, trace.nodes[:, :, order], **FLOAT32)


# --- streams -------------------------------------------------------------------------------------


def flat(state):
    """The tensors of a state."""
    parts = (state.regions, *state.recurrence, state.readout, state.motion)
    return [v for v in parts if v is not None]


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("kind", STREAMS)
@torch.no_grad()
def test_a_stream_is_the_clip(kind, readout):
    parts = {"motion": True, "time": "add", "sharp": kind not in BOUND}  # sharp: 9 nodes
    block = random_dyreg(regions=kind, rounds=2, readout=readout, **parts)
    clip = draw(2, 6, 5, 6, 7)
    boxes = told(block, clip)
    assert bool(boxes) is (kind == "given")
    whole, last = block(clip, return_state=True, **boxes)
    sizes = [v.shape for v in flat(last)]
    assert (last.regions is not None) is (kind in REMEMBER)
    for chunks in ([1] * 6, [3, 1, 2], [5, 1]):
        state, parts = None, []
        for frames in torch.arange(6).split(chunks):
            here = {k: v[:, frames] for k, v in boxes.items()}
            out, state = block(clip[:, frames], state, return_state=True, **here)
            parts.append(out)
            assert [v.shape for v in flat(state)] == sizes
        got = torch.cat(parts, 1) if readout == "map" else parts[-1]
        torch.testing.assert_close(got, whole, **EXACT)
        for a, b in zip(flat(state), flat(last), strict=True):
            torch.testing.assert_close(a, b, **EXACT)


@torch.no_grad()
def test_regions_go_on_where_they_were():
    """What the memory of the regions carries matters: without it other boxes come out."""
    block, clip = random_dyreg(nodes=3), draw(1, 4, 5, 6, 6)
    _, whole = block(clip, return_trace=True)
    _, state = block(clip[:, :2], return_state=True)
    _, rest = block(clip[:, 2:], state, return_trace=True)
    torch.testing.assert_close(rest.boxes, whole.boxes[:, 2:])
    _, alone = block(clip[:, 2:], state._replace(regions=None), return_trace=True)
    assert not torch.allclose(alone.boxes, rest.boxes, atol=1e-3)


@pytest.mark.parametrize("memory", [True, False])
def test_regions_constant_in_time_refuse_a_stream(memory):
    block = random_dyreg(regions="constant", memory=memory)
    clip = draw(1, 4, 5, 6, 6)
    _, state = block(clip[:, :2], return_state=True)
    with pytest.raises(ValueError, match="pass it in one call, without a state"):
        block(clip[:, 2:], state)
    boxes = block(clip, return_trace=True)[1].boxes
    assert torch.equal(boxes, boxes[:, -1:].expand(-1, 4, -1, -1))


def test_states_of_other_clips_or_graphs_are_refused():
    block, clip = random_dyreg(nodes=3), draw(2, 1, 5, 6, 6)
    _, state = block(clip, return_state=True)
    for other, frames in (
        (block, clip[:1]),
        (random_dyreg(nodes=4), clip),
        (random_dyreg(nodes=3, rounds=2), clip),
        (random_dyreg(nodes=3, region_width=4), clip),
        (random_dyreg(nodes=3, width=4), clip),
    ):
        with pytest.raises(ValueError, match="state must be"):
            other(frames, state)
    with pytest.raises(ValueError, match="state must be what this block returned"):
        block(clip, state.recurrence)


# --- wrong options -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"regions": "moving"},
            "regions must be one of dynamic, light, constant, static, fixed, semantic, keypoints, "
            "given, content, objects, got 'moving'",
        ),
        ({"readout": "vec"}, "readout must be one of map, vector, mean-vector, got 'vec'"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"nodes": 0}, "at least one node, got nodes=0"),
        ({"time": "sum"}, "time must be one of replace, add, got 'sum'"),
        ({"first_weights": None}, "first_weights must be one of torch, he, got None"),
        *[({"regions": kind, "nodes": 0}, "nodes must be at least 1, got 0") for kind in BOUND],
        (
            {"regions": GivenRegions(3), "nodes": 3},
            r"regions=GivenRegions\(...\) says itself how many nodes there are: leave out nodes",
        ),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        DyReg(4, width=8, **wrong)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((16, 5, 6, 6), r"must be \(B, T, C, H, W\), got \(16, 5, 6, 6\); .*unflatten\(0"),
        ((1, 2, 7, 6, 6), "built for 5 channels, got features of 7"),
        ((1, 0, 5, 6, 6), "must not be empty"),
    ],
)
def test_wrong_features(shape, message):
    with pytest.raises(ValueError, match=message):
        fresh("dynamic")(torch.zeros(shape))


# --- who moves like whom -------------------------------------------------------------------------


def related(kind, *, readout="vector"):
    regions = regions_of(kind, 5, 3) if kind != "silent" else GivenRegions(4, silent=True)
    options = {"regions": regions, "readout": readout, "rounds": 2}
    if isinstance(regions, str):
        options["nodes"] = 3
    return random_dyreg(**options, motion=True, relative_motion=True)


@pytest.mark.parametrize("kind", ["dynamic", "static", "given", "silent", "content", "objects"])
@pytest.mark.parametrize("readout", READOUTS)
@torch.no_grad()
def test_a_stream_of_nodes_that_move_is_the_clip(kind, readout):
    block, clip = related(kind, readout=readout), draw(2, 5, 5, 6, 4)
    boxes = told(block, clip)
    whole, last = block(clip, return_state=True, **boxes)
    state, parts = None, []
    for here in torch.arange(5).split([1, 3, 1]):
        now = {key: value[:, here] for key, value in boxes.items()}
        part, state = block(clip[:, here], state, return_state=True, **now)
        parts.append(part)
    found = torch.cat(parts, 1) if readout == "map" else parts[-1]
    torch.testing.assert_close(found, whole, **EXACT)
    torch.testing.assert_close(state.relations, last.relations, **EXACT)
    torch.testing.assert_close(state.motion, last.motion, **EXACT)
    for part in ("motion", "relations"):
        other = last._replace(**{part: getattr(last, part)[:1]})
        with pytest.raises(ValueError, match="state must be"):
            block(clip, other, **boxes)


@torch.no_grad()
def test_renumbering_boxes_renumbers_nodes_that_move():
    block, clip, order = related("silent"), draw(1, 4, 5, 6, 6), [2, 3, 1, 0]
    boxes = told(block, clip, count=4)["boxes"]
    out, trace = block(clip, boxes=boxes, return_trace=True)
    same, other = block(clip, boxes=boxes[:, :, order], return_trace=True)
    torch.testing.assert_close(same, out, **EXACT)
    torch.testing.assert_close(other.nodes, trace.nodes[:, :, order], **FLOAT32)


@torch.no_grad()
def test_only_relations_tell_who_moves_along():
    """On features that are the same everywhere, of nodes that are not told where they are."""

    class Nowhere(torch.nn.Module):
        def forward(self, regions):
            return torch.zeros(8).double()

    start = exact([[0.3, 0.3, 0.1, 0.1], [0.7, 0.3, 0.1, 0.1], [0.5, 0.7, 0.1, 0.1]])
    together = exact([[0.03, 0, 0, 0], [0.03, 0, 0, 0], [0, 0.03, 0, 0]])
    apart = exact([[0.03, 0, 0, 0], [-0.03, 0, 0, 0], [0, 0.03, 0, 0]])
    for relative in (True, False):
        regions = {"regions": GivenRegions(3), "readout": "vector"}
        block = random_dyreg(**regions, relative_motion=relative)
        block.where = Nowhere()
        one, other = (
            block(
                torch.ones(1, 4, 5, 8, 8).double(),
                boxes=(start + torch.arange(4)[:, None, None] * steps)[None],
            )
            for steps in (together, apart)
        )
        assert torch.allclose(one, other, rtol=1e-3) is not relative
