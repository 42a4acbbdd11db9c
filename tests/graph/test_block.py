import copy
import io
import shutil
from typing import get_args

import pytest
import torch
from torch import nn

from graphs import draw, gather_of, random_rstg
from interlace import RSTG, DyReg
from interlace.graph.block import region_weights
from interlace.graph.dyreg import RegionKind
from interlace.graph.recurrence import SCHEDULES
from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.dynamic import DynamicRegions
from interlace.graph.regions.objects import ObjectRegions
from interlace.graph.regions.sharp import SharpRegions
from interlace.graph.regions.simple import StaticRegions
from interlace.graph.space_stage import DotGather, Update
from tolerances import BFLOAT16, EXACT, FLOAT32

READOUTS = ["map", "vector", "mean-vector"]


def same(a, b, **tolerance):
    torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("readout", READOUTS)
def test_a_stream_is_the_clip(schedule, readout):
    rounds = None if schedule == "time-only" else 2
    block = random_rstg(schedule=schedule, readout=readout, rounds=rounds, scales=(2, 1))
    clip = draw(2, 7, 5, 6, 4)
    whole, last = block(clip, return_state=True)
    sizes = {k: v.shape for k, v in enumerate(flat(last))}
    for chunks in ([1] * 7, [3, 1, 3], [5, 2]):
        state, parts = None, []
        for chunk in clip.split(chunks, dim=1):
            out, state = block(chunk, state, return_state=True)
            parts.append(out)
            assert {k: v.shape for k, v in enumerate(flat(state))} == sizes
        same(torch.cat(parts, 1) if readout == "map" else parts[-1], whole, **EXACT)
        for a, b in zip(flat(state), flat(last), strict=True):
            same(a, b, **EXACT)


def flat(state):
    """The tensors of a state."""
    parts = (state.regions, *state.recurrence, state.readout, state.motion, state.relations)
    return [v for v in parts if v is not None]


MOVES = {"motion": True, "relative_motion": True}
PARTS = {
    "motion": MOVES,
    "sharp": {"sharp": True, **MOVES},
    "add": {"sharp": True, **MOVES, "time": "add"},
    "content": {"regions": ContentRegions(5, 3), **MOVES},
    "objects": {"regions": ObjectRegions(5, 4, reach=0.3), **MOVES},
    "dynamic": {"regions": DynamicRegions.of(5, 3, width=4), **MOVES},
    "static": {"regions": StaticRegions(3), **MOVES},
    "sharp-dynamic": {"regions": SharpRegions(DynamicRegions.of(5, 3, width=4), 5, 3)},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("schedule", ["all-temp", "space-only", "time-only"])
@pytest.mark.parametrize("readout", READOUTS)
@torch.no_grad()
def test_a_stream_is_the_clip_whatever_gives_regions(parts, schedule, readout):
    rounds = None
    if schedule == "time-only":
        parts = {key: value for key, value in parts.items() if key != "relative_motion"}
    else:
        rounds = 1
    if "regions" not in parts:
        parts = {"scales": (2, 1), **parts}
    parts = parts | {"time": "replace" if schedule == "space-only" else "add"}
    block = random_rstg(schedule=schedule, readout=readout, rounds=rounds, **parts)
    clip, every = draw(2, 6, 5, 6, 4), {} if readout == "map" else {"every_frame": True}
    whole, last = block(clip, return_state=True, **every)
    sizes = [v.shape for v in flat(last)]
    for chunks in ([1] * 6, [3, 1, 2], [5, 1]):
        state, outs = None, []
        for chunk in clip.split(chunks, dim=1):
            out, state = block(chunk, state, return_state=True, **every)
            outs.append(out)
            assert [v.shape for v in flat(state)] == sizes
        same(torch.cat(outs, 1), whole, **EXACT)
        for a, b in zip(flat(state), flat(last), strict=True):
            same(a, b, **EXACT)
    if block.motion is not None:
        with pytest.raises(ValueError, match="state must be"):
            block(clip[:, :1], last._replace(motion=last.motion[:1]))
    if block.relations is not None:
        with pytest.raises(ValueError, match="state must be"):
            block(clip[:, :1], last._replace(relations=last.relations[..., 1:]))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("readout", ["vector", "mean-vector"])
@torch.no_grad()
def test_every_frame_is_what_a_call_on_the_frames_so_far_says(schedule, readout):
    rounds = None if schedule == "time-only" else 1
    block = random_rstg(schedule=schedule, readout=readout, rounds=rounds, scales=(2, 1))
    clip = draw(2, 4, 5, 6, 4)
    every, state, trace = block(clip, every_frame=True, return_state=True, return_trace=True)
    assert every.shape == (2, 4, 8)
    for t in range(4):
        same(every[:, t], block(clip[:, : t + 1]), **EXACT)
    plain, last, other = block(clip, return_state=True, return_trace=True)
    assert torch.equal(every[:, -1], plain)
    for a, b in zip([*flat(state), trace.nodes], [*flat(last), other.nodes], strict=True):
        assert torch.equal(a, b)
    rest = block(clip[:, 2:], block(clip[:, :2], return_state=True)[1], every_frame=True)
    same(rest, every[:, 2:], **EXACT)


def test_a_map_is_of_every_frame_as_it_is():
    block, clip = random_rstg(rounds=1), draw(1, 3, 5, 6, 6)
    assert torch.equal(block(clip, every_frame=True), block(clip))


@pytest.mark.parametrize("parts", ["sharp", "objects"])
def test_compiled_is_eager_whatever_gives_regions(parts):
    scales = {} if "regions" in PARTS[parts] else {"scales": (2,)}
    block = random_rstg(rounds=1, schedule="space-only", **scales, **PARTS[parts])
    compiled_as_eager(block, "aot_eager", [2], fullgraph=True, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_fresh_block_is_the_identity_and_learns(schedule):
    block, clip = RSTG(5, width=8, schedule=schedule), draw(1, 2, 5, 6, 6).float()
    assert torch.equal(block(clip), clip)
    (block(clip) ** 2).sum().backward()
    assert block.branch.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "size",
    [(1, 1, 1), (1, 2, 5), (3, 7, 2), (2, 13, 9), (1, 14, 14)],
)
def test_any_size(size):
    frames, height, width = size
    block = random_rstg(scales=(3, 2, 1), positional=True)
    clip = draw(2, frames, 5, height, width)
    out = block(clip)
    assert out.shape == clip.shape
    assert out.isfinite().all()
    assert not torch.equal(out, clip)
    same(block(clip[1:]), out[1:], **EXACT)  # clips of a batch do not mix


def test_a_constant_map_stays_constant():
    """Up to what nodes know of their place: here one node, which sees and fills the frame."""
    block = random_rstg(scales=(1,))
    branch = block(torch.ones(1, 2, 5, 4, 6).double()) - 1
    same(branch, branch.mean((-1, -2), keepdim=True).expand_as(branch), **EXACT)


MESSAGES = [schedule for schedule in SCHEDULES if schedule != "time-only"]


@pytest.mark.parametrize("gather", [("dot", 1), ("dot", 2), ("additive", 1), ("sum", 1)])
@pytest.mark.parametrize("schedule", MESSAGES)
@pytest.mark.parametrize("readout", ["map", "vector"])
def test_every_parameter_gets_a_gradient(gather, schedule, readout):
    gather, heads = gather
    block = random_rstg(
        gather=gather_of(gather, 8, heads),
        update=Update(8, groups=(4, 1)),
        schedule=schedule,
        readout=readout,
        positional=True,
        rounds=2,
        scales=(2, 1),
    )
    clip = draw(2, 3, 5, 6, 6).requires_grad_()
    out = block(clip)
    (out * draw(*out.shape)).sum().backward()
    assert clip.grad.isfinite().all()
    unused = {"gather.key.bias"}  # one number for all senders cancels in a softmax
    for name, value in block.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        moves = value.grad.abs().max() > 1e-12
        assert moves or (gather == "dot" and any(name.endswith(end) for end in unused)), name


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("gather", [("dot", 1), ("additive", 1), ("dot", 4)])
def test_bfloat16_is_close_to_float32(schedule, gather):
    torch.manual_seed(0)
    name, heads = gather
    options = {} if schedule == "time-only" else {"gather": gather_of(name, 64, heads)}
    block = RSTG(64, width=64, schedule=schedule, readout="vector", **options)
    clip = torch.randn(2, 6, 64, 8, 8)
    plain = block(clip)
    with torch.autocast("cpu", torch.bfloat16):
        fast = block(clip)
        _, state = block(clip[:, :3], return_state=True)
        stream = block(clip[:, 3:], state)
    for out in (fast, stream):
        assert out.isfinite().all()
        assert (out - plain).abs().max() < BFLOAT16 * plain.abs().max()

    weights, values = torch.randn_like(plain), list(block.parameters())
    exact, close = (torch.autograd.grad((v * weights).sum(), values) for v in (plain, fast))
    assert all(value.dtype == torch.float32 for value in close)
    exact, close = (torch.cat([v.flatten() for v in grads]) for grads in (exact, close))
    assert (close - exact).norm() < 5 * BFLOAT16 * exact.norm()


def test_copies_compute_the_same():
    block, clip = random_rstg(positional=True), draw(1, 3, 5, 6, 6)
    out, state = block(clip, return_state=True)
    stored = io.BytesIO()
    torch.save(block, stored)
    stored.seek(0)
    for other in (copy.deepcopy(block), torch.load(stored, weights_only=False)):
        assert torch.equal(other(clip), out)
    stored = io.BytesIO()
    torch.save(tuple(state), stored)  # a state goes through a file without running pickled code
    stored.seek(0)
    kept = torch.load(stored, weights_only=True)
    assert torch.equal(block(clip, kept), block(clip, state))


def test_weights_are_all_there_is_to_save():
    block, clip = random_rstg(positional=True, residual=True), draw(1, 3, 5, 6, 6)
    assert set(block.state_dict()) == {name for name, _ in block.named_parameters()}
    other = random_rstg(positional=True, residual=True, seed=1)
    assert not torch.allclose(other(clip), block(clip))
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(clip), block(clip))


def compiled_as_eager(block, backend, frames, *, fullgraph=False, **tolerance):
    torch._dynamo.reset()
    compiled = torch.compile(block, fullgraph=fullgraph, backend=backend)
    values = [*block.parameters()]
    for count in frames:
        clip, results = draw(2, count, 5, 6, 6).to(values[0].dtype), []
        for run in (compiled, block):
            out, state, trace = run(clip, return_state=True, return_trace=True)
            grads = torch.autograd.grad(out.square().sum(), values)
            results.append([out, *flat(state), trace.attention.to(out.dtype), *grads])
        for a, b in zip(*results, strict=True):
            same(a, b, **tolerance)
    with torch.no_grad():  # inference is compiled by itself
        same(compiled(clip), block(clip), **tolerance)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_compiled_is_eager(schedule):
    """The library's LSTM is left out by the compiler; without one, the graph is unbroken."""
    options = {} if schedule == "time-only" else {"positional": True, "rounds": 1}
    block = random_rstg(schedule=schedule, scales=(2,), **options)
    whole = schedule in ("space-only", "homogeneous")
    # a trace is in float32
    compiled_as_eager(block, "aot_eager", [2], fullgraph=whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("large", [False, True], ids=["kept", "computed again"])
def test_the_compiler_finds_one_unbroken_graph_of_a_space_stage(large, monkeypatch):
    monkeypatch.setattr("interlace.graph.space_stage.LARGE", 0 if large else 2**20)
    torch._dynamo.reset()
    stage = random_rstg(scales=(2, 1)).recurrence.stages["space"]
    compiled = torch.compile(stage, fullgraph=True, backend="aot_eager")
    for frames in (2, 3, 5):
        nodes, results = draw(2, frames, 5, 8).requires_grad_(), []
        for run in (compiled, stage):
            out, _, attention = run(nodes)
            grads = torch.autograd.grad(out.square().sum(), [nodes, *stage.parameters()])
            results.append([out, attention, *grads])
        for a, b in zip(*results, strict=True):
            same(a, b, **EXACT)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on CPUs needs g++")
def test_compiled_to_machine_code_is_eager():
    """At any number of frames."""
    block = random_rstg(rounds=1, scales=(2, 1)).float()
    compiled_as_eager(block, "inductor", [3, 5, 8], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_trace_is_true_to_the_computation(schedule):
    options = {} if schedule == "time-only" else {"rounds": 2, "gather": DotGather(8, heads=2)}
    block, clip = random_rstg(schedule=schedule, **options), draw(2, 3, 5, 6, 6)
    out, trace = block(clip, return_trace=True)
    assert torch.equal(out, block(clip))
    assert not any(value.requires_grad for value in vars(trace).values())
    assert trace.boxes.shape == (2, 3, 14, 4)
    same(trace.kernels.sum((-1, -2)), torch.ones(2, 3, 14), **FLOAT32)
    rounds = 0 if schedule == "time-only" else 2
    assert trace.attention.shape[2] == rounds
    rows = trace.attention.sum(-1)
    assert (rows <= 1 + 1e-5).all()
    if rounds and schedule != "homogeneous":  # there the past has its share
        same(rows, torch.ones_like(rows), **FLOAT32)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((16, 5, 6, 6), r"must be \(B, T, C, H, W\), got \(16, 5, 6, 6\); .*unflatten\(0"),
        ((5, 6, 6), r"must be \(B, T, C, H, W\), got \(5, 6, 6\)$"),
        ((1, 2, 7, 6, 6), "built for 5 channels, got features of 7"),
        ((1, 0, 5, 6, 6), "must not be empty"),
        ((0, 2, 5, 6, 6), "must not be empty"),
    ],
)
def test_wrong_features(shape, message):
    with pytest.raises(ValueError, match=message):
        RSTG(5, width=8)(torch.zeros(shape))


@pytest.mark.parametrize("readout", READOUTS)
def test_states_of_other_clips_or_graphs_are_refused(readout):
    block = RSTG(5, width=8, readout=readout)
    _, state = block(torch.zeros(2, 1, 5, 6, 6), return_state=True)
    with pytest.raises(ValueError, match="state must be"):
        block(torch.zeros(3, 1, 5, 6, 6), state)
    with pytest.raises(ValueError, match="state must be"):
        RSTG(5, width=8, schedule="1-temp")(torch.zeros(2, 1, 5, 6, 6), state)
    with pytest.raises(ValueError, match="state must be"):
        RSTG(5, width=16)(torch.zeros(2, 1, 5, 6, 6), state)
    with pytest.raises(ValueError, match="state must be what this block returned"):
        block(torch.zeros(2, 1, 5, 6, 6), state.recurrence)


REGIONS = list(get_args(RegionKind))


@pytest.mark.parametrize("regions", REGIONS)
def test_what_predicts_regions_is_all_of_them_but_gamma(regions):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), DyReg(8, nodes=2, regions=regions))
    found = {id(p) for p in region_weights(model)}
    names = {name for name, p in model.named_parameters() if id(p) in found}
    predicting = {name for name, _ in model.named_parameters() if name.startswith("1.regions.")}
    assert names == predicting - {"1.regions.offsets.gamma"}
    assert bool(names) == (regions not in ("fixed", "given"))


def test_gamma_sees_at_first_what_it_hides():
    block = DyReg(8, nodes=2, readout="vector")
    block(torch.randn(2, 2, 8, 6, 6)).pow(2).sum().backward()
    assert block.regions.offsets.gamma.grad.any()
    assert not any(p.grad.any() for p in region_weights(block) if p.grad is not None)
