"""What users of PyTorch take for granted holds for a graph: derivatives of any order, torch.func,
hooks, wrappers and subclasses, with and without the faster ways."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

import interlace
from graphs import draw, random_dyreg, random_rstg
from interlace.graph import fast
from interlace.graph.edges import Edges
from interlace.graph.motion import RelativeMotion
from interlace.graph.readout import ToMap, ZeroStartNorm
from interlace.graph.recurrence import SCHEDULES
from interlace.graph.regions.content import ContentRegions
from interlace.graph.regions.objects import ObjectRegions
from interlace.graph.space_stage import DotGather
from tolerances import EXACT


@pytest.fixture(autouse=True)
def fast_on_small_maps_too(monkeypatch):
    monkeypatch.setattr("interlace.graph.fast.remap.LARGE", 0)


def rstg(**options):
    return random_rstg(scales=(2, 1), rounds=1, positional=True, **options)


def dyreg(**options):
    return random_dyreg(nodes=3, rounds=1, **options)


GRAPHS = pytest.mark.parametrize("make", [rstg, dyreg])
WAYS = pytest.mark.parametrize("quick", [False, True], ids=["plain", "fast"])
LARGE = pytest.mark.parametrize("large", [False, True], ids=["kept", "computed again"])


def compute_again(large, monkeypatch):
    if large:
        for stage in ("space_stage", "time_stage"):
            monkeypatch.setattr(f"interlace.graph.{stage}.LARGE", 0)


# --- derivatives ---------------------------------------------------------------------------------

CANCEL = {"gather.key.bias"}  # one number for all senders cancels in a softmax


@GRAPHS
@WAYS
@LARGE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_penalty_reaches_all_parameters(make, quick, large, dtype, monkeypatch):
    """Of what the graph adds: d/dw |d(w . block(x))/dx|^2."""
    compute_again(large, monkeypatch)
    block, clip = make().to(dtype), draw(1, 2, 5, 6, 6).to(dtype).requires_grad_()
    with fast.use(quick):
        out = block(clip)
        (slope,) = torch.autograd.grad((out * draw(*out.shape)).sum(), clip, create_graph=True)
        slope.square().sum().backward()
    for name, value in block.named_parameters():
        if name in ("branch.bias", "project_back.bias"):
            continue  # a shift has no slope; that of all nodes goes with the norm, or not
        silent = any(name.endswith(end) for end in CANCEL)
        assert silent or (value.grad is not None and bool((value.grad != 0).any())), name


@GRAPHS
@WAYS
@LARGE
def test_second_derivatives_are_right(make, quick, large, monkeypatch):
    compute_again(large, monkeypatch)
    # regions below a cell have the slope of a larger one, which no difference quotient finds
    block = make() if make is rstg else make(size=0.6)
    clip = draw(1, 2, 5, 4, 3).requires_grad_()
    names = ("branch.weight", "project.weight", "recurrence.stages.final.cell.bias_hh_l0")
    names += ("recurrence.stages.space.send.deeper.0.bias",)
    params = {name: block.get_parameter(name).detach().requires_grad_() for name in names}

    def run(clip, *values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(block, given, clip).square()

    with fast.use(quick):
        assert torch.autograd.gradgradcheck(run, (clip, *params.values()), fast_mode=True)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_second_derivatives_of_each_schedule(schedule):
    options = {} if schedule == "time-only" else {"rounds": 1}
    block = random_rstg(schedule=schedule, scales=(2,), readout="mean-vector", **options)
    clip = draw(1, 2, 5, 4, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(block, clip, fast_mode=True)


# --- torch.func ----------------------------------------------------------------------------------


@GRAPHS
@WAYS
@LARGE
def test_transforms_of_functions(make, quick, large, monkeypatch):
    """grad, vmap, both together, and jvp say what autograd and a loop say."""
    compute_again(large, monkeypatch)
    with fast.use(quick):
        transforms(make(), draw(3, 1, 2, 5, 6, 6))


NEW = {
    "content": {"regions": ContentRegions(5, 3)},
    "objects": {"regions": ObjectRegions(5, 3, kinds=2, apart=0.2, extent=0.3, reach=0.3)},
    "sharp": {"sharp": True, "scales": (2, 1)},
}


@pytest.mark.parametrize("parts", NEW.values(), ids=NEW)
def test_transforms_of_graphs_that_are_told_their_steps(parts):
    options = {"rounds": 1, "readout": "vector", "motion": True, "time": "add"}
    options["relative_motion"] = RelativeMotion(scales=(1.0, 3.0))
    block = random_rstg(**options, **parts)
    transforms(block, draw(3, 1, 3, 5, 6, 6))
    if "objects" not in str(type(block.regions)):  # of which parts are detached
        clip = draw(1, 2, 5, 4, 3).requires_grad_()
        assert torch.autograd.gradgradcheck(block, clip, fast_mode=True)


def transforms(block, clips):
    weights = dict(block.named_parameters())

    def loss(weights, clip):
        return torch.func.functional_call(block, weights, clip).square().mean()

    expected = torch.autograd.grad(block(clips[0]).square().mean(), list(weights.values()))
    got = torch.func.grad(loss)(weights, clips[0])
    for a, b in zip(got.values(), expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT)

    each = torch.stack([block(clip) for clip in clips])
    torch.testing.assert_close(torch.vmap(block)(clips), each, **EXACT)

    per_clip = torch.vmap(torch.func.grad(loss), (None, 0))(weights, clips)
    for name, value in per_clip.items():
        torch.testing.assert_close(value[0], got[name], **EXACT)

    direction = draw(*clips[0].shape, seed=5)
    value, slope = torch.func.jvp(block, (clips[0],), (direction,))
    torch.testing.assert_close(value, each[0], **EXACT)
    clip = clips[0].clone().requires_grad_()
    other = draw(*value.shape, seed=6)
    (back,) = torch.autograd.grad((block(clip) * other).sum(), clip)
    torch.testing.assert_close((slope * other).sum(), (back * direction).sum(), **EXACT)


@GRAPHS
def test_forward_derivatives_in_float32(make):
    """Where the library's LSTM has none."""
    block, clip = make().float(), draw(1, 2, 5, 6, 6).float()
    _, slope = torch.func.jvp(block, (clip,), (clip,))
    exact = torch.func.jvp(block.double(), (clip.double(),), (clip.double(),))[1].float()
    assert (slope - exact).abs().max() < 1e-4 * exact.abs().max()


@GRAPHS
@WAYS
def test_dual_numbers(make, quick):
    block, clip = make(), draw(1, 2, 5, 6, 6)
    _, expected = torch.func.jvp(block, (clip,), (clip,))
    with fast.use(quick), forward_ad.dual_level():
        slope = forward_ad.unpack_dual(block(forward_ad.make_dual(clip, clip))).tangent
    torch.testing.assert_close(slope, expected, **EXACT)


# --- modules are called --------------------------------------------------------------------------


class LowRank(nn.Module):
    """A linear layer, and a product of two thin ones beside it, as LoRA has them."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        width = layer.in_features
        self.down = nn.Linear(width, 2, bias=False, dtype=torch.float64)
        self.up = nn.Linear(2, width, bias=False, dtype=torch.float64)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(x))


@GRAPHS
@WAYS
@LARGE
def test_a_wrapped_layer_of_the_messages_is_called_and_learns(make, quick, large, monkeypatch):
    compute_again(large, monkeypatch)
    block, clip = make(), draw(1, 2, 5, 6, 6)
    with fast.use(quick):
        before = block(clip)
        send = block.recurrence.stages["space"].send
        send.deeper[0] = LowRank(send.deeper[0])
        out = block(clip)
        assert not torch.allclose(out, before)
        out.square().sum().backward()
    for layer in (send.deeper[0].down, send.deeper[0].up, send.deeper[0].layer):
        assert (layer.weight.grad != 0).any()


@GRAPHS
@WAYS
def test_hooks_fire(make, quick):
    """On every module with a class of its own, once a stage."""
    block, clip, seen = make(), draw(1, 2, 5, 6, 6), set()
    for name, module in block.named_modules():
        module.register_forward_hook(lambda *_, name=name: seen.add(name))
    with fast.use(quick):
        block(clip)
    wanted = {"readout", "branch", "recurrence.stages.time.cell", "recurrence.stages.space.gather"}
    wanted |= {f"recurrence.stages.space.send{end}" for end in ("", ".sender", ".deeper.0")}
    if make is dyreg:
        wanted |= {f"regions.saliency.{k}" for k in ("project", "down", "inner", "up", "last")}
    assert wanted <= seen
    leaves = {name for name, module in block.named_modules() if not [*module.children()]}
    silent = {name for name in leaves - seen if [*block.get_submodule(name).parameters()]}
    assert not silent


@GRAPHS
@pytest.mark.parametrize("part", ["readout", "branch"])
@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward"])
def test_a_hook_on_what_the_fast_way_skips(make, part, kind):
    block, clip, seen = make(), draw(1, 2, 5, 6, 6).requires_grad_(), []
    module = block.get_submodule(part)
    getattr(module, f"register_{kind}_hook")(lambda *_: seen.append(part))
    block(clip).sum().backward()
    assert seen == [part]


@GRAPHS
@WAYS
def test_a_subclass_is_called(make, quick):
    class Half(ZeroStartNorm):
        def forward(self, x):
            return super().forward(x) / 2

    class Double(ToMap):
        def forward(self, nodes, state, kernel):
            maps, state = super().forward(nodes, state, kernel)
            return maps + 1, state

    block, clip = make(), draw(1, 2, 5, 6, 6)
    with fast.use(quick):
        added = block(clip) - clip
        block.branch.__class__ = Half
        torch.testing.assert_close(block(clip) - clip, added / 2, **EXACT)
        block.branch.__class__ = ZeroStartNorm
        block.readout = Double()  # a norm over channels does not see a constant
        torch.testing.assert_close(block(clip) - clip, added, **EXACT)
        nn.init.constant_(block.branch.weight, 0)
        block.branch = nn.Identity()
        block.readout = ToMap()
        bare = block(clip)
        block.readout = Double()
        torch.testing.assert_close(block(clip), bare + 1, **EXACT)


@GRAPHS
@pytest.mark.filterwarnings("ignore")  # torch's, which moves these functions elsewhere
def test_a_quantised_graph_is_close(make):
    block, clip = make(readout="vector").float(), draw(1, 2, 5, 6, 6).float()
    small = torch.ao.quantization.quantize_dynamic(block, {nn.Linear, nn.LSTM}, torch.qint8)
    out, close = block(clip), small(clip)
    assert not torch.equal(out, close)
    torch.testing.assert_close(close, out, rtol=0, atol=0.2 * float(out.detach().abs().max()))


# --- the switch ----------------------------------------------------------------------------------


def ways_of(block, clip, monkeypatch):
    """How often the faster way is taken."""
    from interlace.graph import block as home

    taken = []

    def counted(*values):
        taken.append(True)
        return add_remapped(*values)

    add_remapped = home.add_remapped
    with monkeypatch.context() as patch:
        patch.setattr(home, "add_remapped", counted)
        block(clip)
    return len(taken)


def test_one_switch_as_a_call_and_as_a_context(monkeypatch):
    block, clip = dyreg(), draw(1, 2, 5, 6, 6)
    assert ways_of(block, clip, monkeypatch) == 1
    with fast.use(False):
        assert ways_of(block, clip, monkeypatch) == 0
        with fast.use(True):
            assert ways_of(block, clip, monkeypatch) == 1
        assert ways_of(block, clip, monkeypatch) == 0
    assert ways_of(block, clip, monkeypatch) == 1
    fast.use(False)
    assert ways_of(block, clip, monkeypatch) == 0
    fast.use(True)
    assert ways_of(block, clip, monkeypatch) == 1


def test_the_switch_is_of_its_thread(monkeypatch):
    from concurrent.futures import ThreadPoolExecutor

    block, clip = dyreg(), draw(1, 2, 5, 6, 6)
    with fast.use(False), ThreadPoolExecutor(1) as pool:
        assert pool.submit(ways_of, block, clip, monkeypatch).result() == 1
        assert ways_of(block, clip, monkeypatch) == 0


@GRAPHS
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_fast_is_plain(make, order):
    """Values and all gradients, in float64; in the memory order of the features."""
    block, results = make(), []
    clip = draw(6, 5, 6, 7).contiguous(memory_format=order).unflatten(0, (2, 3)).requires_grad_()
    for quick in (False, True):
        with fast.use(quick):
            out = block(clip)
        grads = torch.autograd.grad((out * draw(*out.shape)).sum(), [clip, *block.parameters()])
        results.append([out, *grads])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    assert results[1][0].flatten(0, 1).is_contiguous(memory_format=order)


@GRAPHS
@WAYS
def test_float32_features_stay_exact_under_autocast(make, quick):
    block, clip = make().float(), draw(1, 2, 5, 6, 6).float()
    added = block(clip) - clip
    with fast.use(quick), torch.autocast("cpu", torch.bfloat16):
        out = block(clip)
        assert out.dtype == torch.float32
        assert (out - clip - added).abs().max() < 0.05 * added.abs().max()
        nn.init.zeros_(block.branch.weight)
        nn.init.zeros_(block.branch.bias)
        assert torch.equal(block(clip), clip)


def test_small_maps_go_the_plain_way(monkeypatch):
    monkeypatch.undo()
    assert ways_of(dyreg(), draw(1, 2, 5, 6, 6), monkeypatch) == 0
    assert ways_of(dyreg().float(), torch.randn(1, 1, 5, 700, 700), monkeypatch) == 1


def test_a_wrapped_layer_that_joins_heads_is_called_and_learns():
    gather, edges = DotGather(8, heads=2).double(), Edges()
    nodes, messages = draw(2, 3, 5, 8), draw(2, 3, 25, 8)
    before, _ = gather(nodes, messages, edges)
    gather.message.linear = LowRank(gather.message.linear)
    torch.nn.init.normal_(gather.message.linear.up.weight)
    after, _ = gather(nodes, messages, edges)
    assert not torch.allclose(before, after)
    after.sum().backward()
    assert bool(gather.message.linear.down.weight.grad.any())


def test_a_forward_of_ones_own_is_called_where_the_fast_way_would_skip_it():
    graph, features = interlace.DyReg(64, width=8), torch.randn(1, 4, 64, 96, 96)
    assert features.numel() >= 2**21  # where the fast way begins
    called = []
    forward = graph.readout.forward
    graph.readout.forward = lambda *given: called.append(1) or forward(*given)
    graph(features)
    assert called
