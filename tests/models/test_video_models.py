"""The contract of the models for real videos: names, sizes, streams, weights, fresh graphs."""

import pytest
import torch
from torchvision.models import resnet18, resnet50

from interlace.graph.trace import Trace
from interlace.models.registry import create_model, describe_model, list_models, open_weights
from interlace.models.weights import save_weights
from registered import awake as model_of
from tolerances import BFLOAT16, FLOAT32

DYREG = ["dyreg", "dyreg_r3", "dyreg_r5", "dyreg_r3_4_5"]
GRAPHS = ["rstg", "rstg_res2", "rstg_res3", "rstg_res4", "rstg_res3_4", *DYREG]
GRAPHS += [f"{kind}{depth}" for kind in ("fixed", "detector") for depth in ("", "_r3_4_5")]
ALONE = ["c2d_r34", "c2d_r101", "tsm_r34", "tsm_r101"]
WITH_GRAPHS = ["c2d_r18", "c2d_r50", "tsm_r18", "tsm_r50", "i3d_r50", "nl_i3d_r50"]
CAUSAL = ["tsm_r18_causal", "tsm_r50_causal"]

SMALL = ["c2d_r18", "tsm_r18", "tsm_r18_causal", "tsm_r18_causal_dyreg"]  # each graph on some
SMALL += [f"tsm_r18_{graph}" for graph in GRAPHS]
LARGE = ["tsm_r50_dyreg_r3_4_5", "i3d_r50_dyreg"]
STREAMS = ["c2d_r18_dyreg", "c2d_r18_rstg", "tsm_r18_causal", "tsm_r18_causal_dyreg_r3_4_5"]


def video_of(frames=3, *, clips=2, size=(70, 95), seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (clips, frames, 3, *size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def run(model, video, *args, **options):
    """Tells a model that wants to know where the objects are."""
    if model.needs_boxes:
        generator = torch.Generator().manual_seed(1)
        boxes = torch.rand(1, 1, 9, 4, generator=generator) / 2 + 0.2
        options["boxes"] = boxes.expand(*video.shape[:2], -1, -1)
    return model(video, *args, **options)


def largest(value):
    return float(value.detach().abs().max())


def test_names_and_what_they_are():
    expected = {*ALONE, *WITH_GRAPHS, *CAUSAL}
    expected |= {f"{name}_{graph}" for name in WITH_GRAPHS for graph in GRAPHS}
    expected |= {f"{name}_{graph}" for name in CAUSAL for graph in DYREG}
    assert set(list_models(channels=3)) == expected
    assert set(list_models()) == expected | set(list_models(channels=1))
    assert len({describe_model(name) for name in expected}) == len(expected)


@pytest.mark.parametrize("name", SMALL + LARGE)
@torch.no_grad()
def test_any_size_and_length_and_each_clip_alone(name):
    model, video = model_of(name), video_of()
    logits = run(model, video)
    assert logits.shape == (2, 7)
    assert bool(logits.isfinite().all())
    assert largest(logits[0] - logits[1]) > 1e-5
    torch.testing.assert_close(run(model, video[1:]), logits[1:], **FLOAT32)
    torch.testing.assert_close(run(model, video[1:] / 255), logits[1:], **FLOAT32)
    single = run(model, video_of(1, clips=1, size=(64, 64)))
    assert single.shape == (1, 7)
    assert bool(single.isfinite().all())


@pytest.mark.parametrize("name", [*SMALL, "i3d_r50_dyreg"])
def test_every_parameter_gets_a_gradient(name):
    model = model_of(name)
    model.zero_grad()
    logits = run(model, video_of(4, size=(64, 64)))
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 4])).backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())
    model.zero_grad()


@pytest.mark.parametrize("name", [*SMALL[4:], "nl_i3d_r50_rstg"])
@torch.no_grad()
def test_fresh_graphs_change_nothing(name):
    backbone = "nl_i3d_r50" if "i3d" in name else "tsm_r18"
    model, plain = (create_model(n, num_classes=7).eval() for n in (name, backbone))
    plain.body.network.load_state_dict(model.body.network.state_dict())
    plain.head.load_state_dict(model.head.state_dict())
    video = video_of(2, clips=1, size=(64, 80))
    assert torch.equal(run(model, video), plain(video))
    assert largest(run(model_of(name), video) - run(model, video)) > 1e-4  # others do


@pytest.mark.parametrize(
    "name", ["c2d_r18_rstg", "tsm_r18_dyreg_r3_4_5", "tsm_r50_dyreg", "i3d_r50"]
)
def test_backbones_keep_torchvision_s_names(name):
    build = resnet50 if "r50" in name else resnet18
    with torch.device("meta"):
        expected = {key for key in build().state_dict() if not key.startswith("fc.")}
    assert model_of(name).body.network.state_dict().keys() == expected


@torch.no_grad()
def test_c2d_is_torchvision_s_network_on_normalised_frames():
    model, video = model_of("c2d_r18"), video_of(size=(64, 64)) / 255
    network = resnet18(num_classes=7).eval()
    network.load_state_dict(model.body.network.state_dict(), strict=False)
    network.fc.load_state_dict(model.head.state_dict())
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    frames = (video - mean[:, None, None]) / std[:, None, None]
    expected = torch.stack([network(clip).mean(0) for clip in frames])
    torch.testing.assert_close(model(video), expected, **FLOAT32)


def test_where_graphs_are_and_how_often_they_look():
    def boxes_of(name, frames=4):
        with torch.no_grad():
            video = video_of(frames, clips=1, size=(64, 64))
            _, traces = run(model_of(name), video, return_trace=True)
        assert all(isinstance(trace, Trace) for trace in traces.values())
        return {key: tuple(trace.boxes.shape[1:3]) for key, trace in traces.items()}

    assert boxes_of("tsm_r18_dyreg") == {"layer3.0": (4, 9)}
    assert boxes_of("tsm_r18_fixed_r3_4_5").keys() == {"layer2.0", "layer3.0", "layer4.0"}
    assert boxes_of("tsm_r18_rstg") == {"layer4": (4, 30)}  # 16 + 9 + 4 + 1 cells
    assert boxes_of("tsm_r18_rstg_res3_4").keys() == {"layer2", "layer3"}
    released = {"layer2.2.conv2", "layer3.4.conv2", "layer4.1.conv2"}
    assert boxes_of("tsm_r50_dyreg_r3_4_5").keys() == released
    assert boxes_of("i3d_r50_dyreg", 5) == {"layer3.4.conv2": (3, 9)}  # pool2 halves the frames
    assert model_of("tsm_r18")(video_of(), return_trace=True)[1] is None


@pytest.mark.parametrize("name", STREAMS)
@torch.no_grad()
def test_a_stream_is_its_clip(name):
    model, video = model_of(name), video_of(5, size=(64, 64))
    whole, last = model(video, return_state=True)
    state = None
    for chunk in (video[:, :1], video[:, 1:4], video[:, 4:]):
        logits, state = model(chunk, state, return_state=True)
    torch.testing.assert_close(logits, whole, **FLOAT32)
    assert state.body.keys() == last.body.keys()
    assert largest(model(video[:, 4:]) - whole) > 1e-5  # the state matters


@pytest.mark.parametrize("name", ["tsm_r18", "tsm_r18_dyreg", "i3d_r50_dyreg"])
@torch.no_grad()
def test_who_sees_the_next_frame_needs_the_whole_clip(name):
    model, video = model_of(name), video_of(4, size=(64, 64))
    logits, state = model(video, return_state=True)
    assert state is None
    assert largest(model(video.flip(1)) - logits) > 1e-5  # and sees its order


@pytest.mark.parametrize("name", ["tsm_r18_dyreg", "tsm_r18_rstg", "i3d_r50_dyreg"])
@torch.no_grad()
def test_bfloat16_is_finite_and_close(name):
    model, video = model_of(name), video_of(size=(64, 64))
    full = model(video)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(video).float()
    assert bool(half.isfinite().all())
    assert largest(half - full) < 2 * BFLOAT16 * largest(full)


def test_features_are_dropped_before_the_head_in_training_only():
    model, video = create_model("c2d_r18", num_classes=7), video_of(2, size=(64, 64))
    assert model.dropout.p == 0.5  # as TSM trains
    model.eval()
    assert torch.equal(model(video), model(video))
    model.dropout.train()
    with torch.no_grad():
        model.head.weight.fill_(1)
        model.head.bias.zero_()
    kept = model.head(model.dropout(torch.ones(1, 512)))[0, 0] / 2  # what is kept counts twice
    assert kept == kept.round()
    assert 200 < kept < 312
    assert not torch.equal(model(video), model(video))


@torch.no_grad()
def test_weights_and_card_come_back(tmp_path):
    name, video = "tsm_r18_causal_dyreg", video_of(size=(64, 64))
    card = {"model": name, "num_classes": 7}
    path = save_weights(model_of(name), tmp_path / "w.safetensors", card=card)
    again, found = open_weights(path)
    assert found == card
    assert torch.equal(again.eval()(video), model_of(name)(video))


def test_grey_frames_are_not_taken_for_colour():
    with pytest.raises(ValueError, match=r"\(B, T, 3, H, W\), got \(2, 3, 1, 70, 95\); of grey"):
        model_of("tsm_r18")(video_of()[:, :, :1])


def test_boxes_are_asked_for_by_who_needs_them():
    model, video = model_of("tsm_r18_detector"), video_of(size=(64, 64))
    with pytest.raises(ValueError, match=r"pass boxes=\(B, T, M, 4\)"):
        model(video)
    with pytest.raises(ValueError, match="none here"):
        model_of("tsm_r18_dyreg")(video, boxes=torch.rand(2, 3, 9, 4))
    with torch.no_grad():
        left, right = (
            model(video, boxes=torch.tensor([x, 0.5, 0.1, 0.1]).expand(2, 3, 9, 4))
            for x in (0.2, 0.8)
        )
    assert largest(left - right) > 1e-4
