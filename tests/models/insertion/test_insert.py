"""Graphs inside any network: identity at first, named errors, streams, traces, out again."""

import copy
import functools
import threading

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint

import interlace
from interlace.graph.trace import Trace
from interlace.models.classifier import VideoClassifier
from interlace.models.insertion.insert import list_places
from interlace.models.insertion.interlaced import Interlaced
from interlace.models.registry import create_model
from tolerances import FLOAT32

GRAPH = functools.partial(interlace.DyReg, nodes=3, width=16, rounds=1)


class Own(nn.Module):
    """Somebody's network: 4 channels, channels last inside, two outputs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(4, 12, 3, stride=2, padding=1)
        self.mix = nn.Linear(12, 12)
        self.same = nn.ReLU()
        self.unused = nn.Conv2d(12, 12, 1)
        self.pair = Pair()

    def forward(self, x):
        x = self.same(self.first(x))
        x = self.same(self.mix(x.movedim(1, -1)))  # (M, H, W, C)
        return {"map": self.pair(x)[0].movedim(-1, 1), "mean": x.mean((1, 2))}


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def vit():
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=5)


CASES = {
    "resnet18": (torchvision.models.resnet18, {"layer2.1": 128, "layer3": 256, "layer4.0": 512}),
    "mobilenet": (torchvision.models.mobilenet_v3_small, {"features.4": 40, "features.8": 48}),
    "vit": (vit, {"blocks.0": 192, "blocks.1.mlp": 192}),
    "swin": (torchvision.models.swin_t, {"features.1.0": 96, "features.3": 192}),
    "r3d": (torchvision.models.video.r3d_18, {"layer1": 64, "layer3.0": 256}),
    "own": (Own, {"first": 12, "mix": 12}),
}


@functools.cache
def network_of(name):
    torch.manual_seed(0)
    build, _ = CASES[name]
    network = build(num_classes=5) if name in ("resnet18", "mobilenet", "r3d") else build()
    norms = [module for module in network.modules() if hasattr(module, "running_mean")]
    for norm in norms:
        norm.momentum = None  # a plain mean: random weights make faint features without it
    if norms:
        video = video_of(name, 8)
        network(video.transpose(1, 2) if name == "r3d" else video.flatten(0, 1))
    return network.eval()


def video_of(name, frames=3, size=(64, 64), clips=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    channels = 4 if name == "own" else 3
    return torch.randn(clips, frames, channels, *size, generator=generator)


def interlaced(name, *, awake=True):
    """A copy of a network with graphs in it, awake: no longer at zero."""
    torch.manual_seed(1)
    model = interlace.insert(copy.deepcopy(network_of(name)), dict.fromkeys(CASES[name][1], GRAPH))
    if awake:
        with torch.no_grad():
            for value in model.graphs.parameters():
                if not bool(value.any()):
                    value.normal_(std=0.5)
    return model


def plain(name, video):
    if name == "r3d":
        return network_of(name)(video.transpose(1, 2))
    out = network_of(name)(video.flatten(0, 1))
    if isinstance(out, dict):
        return {key: value.unflatten(0, video.shape[:2]) for key, value in out.items()}
    return out.unflatten(0, video.shape[:2])


def gap(one, other):
    one, other = (sum(v.values(), ()) if isinstance(v, dict) else v for v in (one, other))
    return float((one - other).abs().max())


def first(out):
    return out["map"] if isinstance(out, dict) else out


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_a_fresh_graph_changes_nothing_and_an_awake_one_does(name):
    video = video_of(name)
    expected = plain(name, video)
    out = interlaced(name, awake=False)(video)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    model = interlaced(name)
    assert {key: block.channels for key, block in model.graphs.items()} == {
        key.replace(".", "-"): channels for key, channels in CASES[name][1].items()
    }
    assert gap(first(model(video)), first(expected)) > 1e-4
    torch.testing.assert_close(first(model(video[1:])), first(model(video))[1:], **FLOAT32)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_weights_keep_their_names_and_graphs_come_out_again(name):
    network = copy.deepcopy(network_of(name))
    weights, video = network.state_dict(), video_of(name, 2)
    model = interlace.insert(network, dict.fromkeys(CASES[name][1], GRAPH))
    assert model.network is network
    assert network.state_dict().keys() == weights.keys()
    network.load_state_dict(weights)
    twin = interlaced(name)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin(video), model(video))

    model = interlaced(name)
    expected = plain(name, video)
    bare = model.network
    assert model.remove() is bare
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in bare.modules())
    assert not model.graphs
    torch.testing.assert_close(model(video), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name in CASES if name != "r3d"])
@torch.no_grad()
def test_a_stream_is_its_clip(name):
    model, video = interlaced(name), video_of(name, 4, clips=1)
    whole, last = model(video, return_state=True)
    state, parts = None, []
    for chunk in video.split([1, 2, 1], dim=1):
        out, state = model(chunk, state, return_state=True)
        parts.append(first(out))
    torch.testing.assert_close(torch.cat(parts, 1), first(whole), **FLOAT32)
    assert state.keys() == last.keys() == CASES[name][1].keys()
    assert gap(first(model(video[:, 3:])), first(whole)[:, 3:]) > 1e-5  # the state matters


@torch.no_grad()
def test_a_3d_network_has_no_state():
    model, video = interlaced("r3d"), video_of("r3d", 8)
    logits, state, traces = model(video, return_state=True, return_trace=True)
    assert state is None
    assert logits.shape == (2, 5)
    assert traces["layer1"].boxes.shape == (2, 8, 3, 4)
    assert traces["layer3.0"].boxes.shape == (2, 2, 3, 4)  # this network strides in time
    with pytest.raises(ValueError, match="whole clips"):
        model(video, {})


@torch.no_grad()
def test_traces_by_name_and_boxes_for_who_is_told():
    model, video = interlaced("vit"), video_of("vit")
    logits, traces = model(video, return_trace=True)
    torch.testing.assert_close(logits, model(video))
    assert list(traces) == ["blocks.0", "blocks.1.mlp"]
    assert all(isinstance(trace, Trace) for trace in traces.values())
    assert traces["blocks.0"].kernels.shape == (2, 3, 3, 4, 4)
    boxes = torch.full((2, 3, 2, 4), 0.3)
    with pytest.raises(ValueError, match="told where to look"):
        model(video, boxes=boxes)
    told = functools.partial(interlace.DyReg, nodes=2, regions="given", rounds=1)
    interlace.insert(model, {"blocks.1": told})
    _, traces = model(video, boxes=boxes, return_trace=True)
    torch.testing.assert_close(traces["blocks.1"].boxes, boxes)


@torch.no_grad()
def test_the_graph_sees_what_the_module_gave():
    """By hand, with the network cut at the module: maps, tokens with a class token, clips."""
    model, video = interlaced("resnet18"), video_of("resnet18")
    interlace_at = dict(zip(CASES["resnet18"][1], model.graphs.values(), strict=True))
    net = network_of("resnet18")
    x = net.maxpool(net.relu(net.bn1(net.conv1(video.flatten(0, 1)))))
    x = graphed(interlace_at["layer2.1"], net.layer2(net.layer1(x)))
    x = graphed(interlace_at["layer3"], net.layer3(x))
    x = net.layer4[1](graphed(interlace_at["layer4.0"], net.layer4[0](x)))
    expected = net.fc(x.mean((2, 3))).unflatten(0, (2, 3))
    torch.testing.assert_close(model(video), expected, **FLOAT32)

    model, video = interlaced("vit"), video_of("vit")
    block = model.graphs["blocks-0"]
    kept = {}
    hook = model.network.blocks[1].register_forward_pre_hook(lambda _, a: kept.update(x=a[0]))
    model(video)
    hook.remove()
    net = network_of("vit")
    tokens = []
    hook = net.blocks[0].register_forward_hook(lambda _, a, out: tokens.append(out))
    net(video.flatten(0, 1))
    hook.remove()
    assert torch.equal(kept["x"][:, 0], tokens[0][:, 0])  # the class token
    grid = tokens[0][:, 1:].reshape(2, 3, 4, 4, 192).permute(0, 1, 4, 2, 3)
    expected = block(grid).permute(0, 1, 3, 4, 2).reshape(6, 16, 192)
    torch.testing.assert_close(kept["x"][:, 1:], expected, **FLOAT32)


def graphed(block, frames):
    return block(frames.unflatten(0, (2, 3))).flatten(0, 1)


@torch.no_grad()
def test_blocks_that_are_built_and_what_goes_in_before():
    torch.manual_seed(0)
    net, video = copy.deepcopy(network_of("resnet18")), video_of("resnet18", 2)
    block = interlace.RSTG(128, width=16)
    block.branch.weight.data.normal_()
    model = interlace.insert(net, before={"layer3": block})
    assert model.graphs["before-layer3"] is block
    x = model(video)
    again = interlace.insert(copy.deepcopy(network_of("resnet18")), {"layer2": block})
    torch.testing.assert_close(again(video), x)
    assert gap(x, plain("resnet18", video)) > 1e-4


# --- a call is a function -----------------------------------------------------------------------


@torch.no_grad()
def test_a_deep_copy_is_equal_and_apart_and_the_bare_network_has_no_graphs():
    model, video = interlaced("resnet18"), video_of("resnet18", 2)
    before = model(video)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(video), before)
    for value in twin.parameters():
        value.mul_(1.5)
    assert torch.equal(model(video), before)
    assert not torch.equal(twin(video), before)
    bare = model.network(video.flatten(0, 1)).unflatten(0, (2, 2))
    assert torch.equal(bare, plain("resnet18", video))


def test_each_module_trains_or_rests_as_before_and_statistics_are_untouched():
    net = torchvision.models.resnet18()
    net.layer1.eval()
    before = copy.deepcopy(net)
    model = interlace.insert(net, {"layer2": GRAPH})
    assert model.training
    assert model.graphs["layer2"].training
    for one, other in zip(net.modules(), before.modules(), strict=True):
        assert one.training == other.training
    torch.testing.assert_close(net.state_dict(), before.state_dict(), rtol=0, atol=0)


@torch.no_grad()
def test_a_model_is_saved_whole_and_runs_in_other_precisions(tmp_path):
    model, video = interlaced("resnet18"), video_of("resnet18", 2)
    out = model(video)
    torch.save(model, tmp_path / "model.pt")
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    assert torch.equal(again(video), out)
    with torch.autocast("cpu", torch.bfloat16):
        fresh = interlaced("resnet18", awake=False)(video)
        assert torch.equal(fresh, plain("resnet18", video))
        assert bool(model(video).isfinite().all())
    double = copy.deepcopy(network_of("resnet18")).double()
    assert interlace.insert(double, {"layer2": GRAPH})(video.double()).dtype == torch.float64


@torch.no_grad()
def test_two_models_share_a_network_and_each_runs_its_own_graphs():
    net, video = copy.deepcopy(network_of("resnet18")), video_of("resnet18", 2)
    one, other = interlaced("resnet18"), interlaced("resnet18")
    kinds = [interlace.insert(net, {"layer2.1": GRAPH}), interlace.insert(net, {"layer2.1": GRAPH})]
    for model, source, scale in zip(kinds, (one, other), (1, 2), strict=True):
        graph = source.graphs["layer2-1"]
        graph.branch.weight.mul_(scale)
        model.graphs["layer2-1"].load_state_dict(graph.state_dict())
    alone = interlace.insert(copy.deepcopy(network_of("resnet18")), {"layer2.1": GRAPH})
    for model in kinds:
        alone.graphs.load_state_dict(model.graphs.state_dict())
        assert torch.equal(model(video), alone(video))
    kinds[0].remove()
    assert torch.equal(kinds[1](video), alone(video))


@torch.no_grad()
def test_calls_run_side_by_side():
    model = interlaced("own")
    videos = [video_of("own", frames, (16, 16), seed=frames) for frames in (2, 3, 4)]
    expected = [first(model(video)) for video in videos]
    results, start = {}, threading.Barrier(3)

    def work(k):
        start.wait()
        with torch.no_grad():
            results[k] = [first(model(videos[k])) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(out, expected[k]) for k in range(3) for out in results[k])


@torch.no_grad()
def test_compiled_is_eager():
    model, video = interlaced("own"), video_of("own", 2, (16, 16))
    compiled = torch.compile(model, backend="aot_eager")  # all but the library's recurrence
    out, state, traces = compiled(video, return_state=True, return_trace=True)
    expected, its_state, its_traces = model(video, return_state=True, return_trace=True)
    torch.testing.assert_close(out, expected, **FLOAT32)
    torch.testing.assert_close(traces["mix"].boxes, its_traces["mix"].boxes, **FLOAT32)
    assert state.keys() == its_state.keys()
    torch._dynamo.reset()


def test_gradients_reach_every_graph_and_the_network_before_them():
    model = interlaced("vit").train()
    model(video_of("vit")).square().sum().backward()
    for name, value in model.named_parameters():
        assert value.grad is not None, name
        assert bool(value.grad.isfinite().all()), name
    for graph in model.graphs.values():
        for part in (graph.branch.weight, graph.project.weight, graph.where.linear.weight):
            assert bool(part.grad.any())
    assert bool(model.network.patch_embed.proj.weight.grad.any())


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False)


def test_activation_checkpointing_around_a_graph_is_refused():
    model = interlace.insert(Checkpointed(), {"inner.0": GRAPH})
    out = model(torch.randn(1, 2, 3, 12, 12))
    with pytest.raises(RuntimeError, match="switch activation checkpointing off"):
        out.sum().backward()


@torch.no_grad()
def test_it_is_the_body_of_a_classifier():
    trunk = nn.Sequential(*list(network_of("resnet18").children())[:-2])
    body = interlace.insert(copy.deepcopy(trunk), {"6": GRAPH})
    assert body.out_channels == 512
    model = VideoClassifier(nn.Identity(), body, 7).eval()
    video = video_of("resnet18", 4)
    logits, state, traces = model(video, return_state=True, return_trace=True)
    assert logits.shape == (2, 7)
    assert list(traces) == ["6"]
    _, state = model(video[:, :1], return_state=True)
    torch.testing.assert_close(model(video[:, 1:], state), logits, **FLOAT32)


# --- what create_model returns ------------------------------------------------------------------


@torch.no_grad()
def test_graphs_go_into_the_network_of_a_registered_model():
    model = create_model("c2d_r18", num_classes=5).eval()
    video = torch.rand(2, 3, 3, 64, 64)
    before = model(video)
    assert interlace.insert(model, {"layer3.0": GRAPH}) is model
    logits, state, traces = model(video, return_state=True, return_trace=True)
    torch.testing.assert_close(logits, before, rtol=0, atol=0)
    assert list(traces) == list(state.body) == ["layer3.0"]
    interlace.insert(model, {"layer4": GRAPH}, before={"layer2": GRAPH})  # and more of them
    assert list(model.body.places) == ["layer3.0", "layer4", "before layer2"]
    for graph in model.body.graphs.values():
        graph.branch.weight.normal_(std=0.5)
    assert gap(model(video), before) > 1e-4
    assert model.body.remove() is model.network
    torch.testing.assert_close(model(video), before, rtol=0, atol=0)


@torch.no_grad()
def test_graphs_go_into_models_of_all_kinds():
    """Of digits, of clips in 3D, of timm: each is probed with the channels it takes."""
    for name, place, shape in (
        ("dyreg", "layer1", (1, 2, 1, 48, 48)),
        ("i3d_small", "res2", (1, 8, 1, 48, 48)),
        ("timm/resnet10t", "layer2.0", (1, 2, 3, 64, 64)),
    ):
        model = create_model(name, num_classes=5).eval()
        video = torch.rand(shape)
        before = model(video)
        traces = interlace.insert(model, {place: GRAPH})(video, return_trace=True)[1]
        assert place in traces
        torch.testing.assert_close(model(video), before, rtol=0, atol=0)
        assert list_places(model)[place] == model.body.graphs[place.replace(".", "-")].channels


def test_a_model_whose_graph_reads_the_features_of_a_backbone_says_why_it_cannot():
    model = create_model("rstg_all_temp_small")
    sentence = (
        r"no graph can be put at layers\.3: in this model a GraphBlock reads the features of a "
        r"StridedCNN.*insert\(network"
    )
    with pytest.raises(ValueError, match=sentence):
        interlace.insert(model, {"layers.3": GRAPH})
    with pytest.raises(ValueError, match="no module 'layer9'; did you mean"):
        interlace.insert(create_model("c2d_r18"), {"layer9": GRAPH})


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place", "sentence"),
    [
        ("resnet18", "layer5", "no module 'layer5'; did you mean 'layer[1-4]'.*possible: conv1"),
        ("resnet18", "layer3.0.con1", r"did you mean 'layer3\.0\.conv1'"),
        ("resnet18", "fc", r"no graph can be put at fc: it gives \(2, 5\), not maps"),
        ("resnet18", "layer1.0.relu", r"layer1\.0\.relu runs 2 times.*possible: conv1, bn1"),
        ("own", "unused", "unused runs never"),
        ("own", "pair", "it gives a tuple, not one tensor"),
        ("r3d", "fc", r"not maps \(B, C, T, H, W\)"),
        ("vit", "head", r"gives \(2, 5\)"),
    ],
)
def test_a_wrong_place_is_answered_with_a_sentence(name, place, sentence):
    with pytest.raises(ValueError, match=sentence):
        interlace.insert(copy.deepcopy(network_of(name)), {place: GRAPH})


def test_a_wrong_block_is_answered_with_a_sentence():
    net = copy.deepcopy(network_of("resnet18"))
    with pytest.raises(ValueError, match="built for 64 channels, there are 128"):
        interlace.insert(net, {"layer2": interlace.DyReg(64)})
    with pytest.raises(ValueError, match="gave a str"):
        interlace.insert(net, {"layer2": lambda channels: "graph"})
    with pytest.raises(ValueError, match="say where"):
        interlace.insert(net, {})
    with pytest.raises(ValueError, match=r"cannot be run on zeros .*example=video"):
        interlace.insert(nn.Linear(7, 7), {"x": GRAPH})
    with pytest.raises(ValueError, match=r"example must be \(B, T, C, H, W\)"):
        interlace.insert(net, {"layer2": GRAPH}, example=torch.zeros(3, 64, 64))
    assert not any(module._forward_hooks for module in net.modules())  # all or nothing
    model = interlace.insert(net, {"layer2": GRAPH})
    with pytest.raises(ValueError, match="something at 'layer2' already"):
        interlace.insert(model, {"layer2": GRAPH})
    with pytest.raises(ValueError, match="given clips=False"):
        interlace.insert(model, {"layer3": GRAPH}, clips=True)
    vector = interlace.insert(net, {"layer3": functools.partial(GRAPH, readout="vector")})
    with pytest.raises(ValueError, match='readout="map"'):
        vector(torch.zeros(1, 2, 3, 32, 32))


def test_wrong_videos_and_states_are_refused():
    model, video = interlaced("resnet18"), video_of("resnet18", 2, (32, 32))
    with pytest.raises(ValueError, match=r"video\[None\]"):
        model(video[0])
    with pytest.raises(ValueError, match="normalise it"):
        model(video.to(torch.uint8))
    with pytest.raises(ValueError, match=r"entries for layer2\.1, layer3, layer4\.0"):
        model(video, {"layer3": None})


def test_places_of_networks():
    places = list_places(network_of("vit"))
    assert places["blocks.0"] == places["blocks.2"] == 192
    assert not {"head", "fc_norm"} & places.keys()
    assert list_places(network_of("r3d"))["layer4.1"] == 512
    assert list_places(network_of("swin"))["features.5.1"] == 384
    assert isinstance(interlaced("own"), Interlaced)


@torch.no_grad()
def test_frames_that_are_not_square():
    """A ViT with tokens of 4 x 6 cells, maps of 2 x 3, found with an example of that shape."""
    net = timm.create_model("vit_tiny_patch16_224", img_size=(64, 96), depth=2).eval()
    video = video_of("vit", 2, (64, 96))
    model = interlace.insert(net, {"blocks.0": GRAPH}, example=video)
    _, traces = model(video, return_trace=True)
    assert traces["blocks.0"].kernels.shape[-2:] == (4, 6)
    model = interlaced("resnet18")
    _, traces = model(video, return_trace=True)
    assert traces["layer4.0"].kernels.shape[-2:] == (2, 3)
