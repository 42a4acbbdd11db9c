"""Networks of timm by their name there: frame by frame, with graphs, with weights from files."""

import functools

import pytest
import timm
import torch
from safetensors.torch import save_file

import interlace
from interlace.models.backbones.weights import load_backbone
from interlace.models.registry import create_model, describe_model, input_channels, open_weights
from interlace.models.weights import save_weights
from tolerances import FLOAT32

NAME = "timm/resnet10t"


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model(NAME, num_classes=5).eval()


def video_of(frames=3, size=(64, 48)):
    return torch.rand(2, frames, 3, *size, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_it_is_timm_s_network_on_each_frame(model):
    video, network = video_of(), timm.create_model("resnet10t", num_classes=5).eval()
    network.load_state_dict(model.body.network.state_dict(), strict=False)
    network.fc.load_state_dict(model.head.state_dict())
    config = network.pretrained_cfg
    mean, std = (torch.tensor(config[key])[:, None, None] for key in ("mean", "std"))
    expected = torch.stack([network((clip - mean) / std).mean(0) for clip in video])
    torch.testing.assert_close(model(video), expected, **FLOAT32)
    _, state = model(video[:, :1], return_state=True)
    torch.testing.assert_close(model(video[:, 1:], state), expected, **FLOAT32)


@pytest.mark.parametrize(
    "name", ["mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224", "test_efficientnet"]
)
@torch.no_grad()
def test_networks_of_all_kinds(name):
    model = create_model(f"timm/{name}", num_classes=5).eval()
    side = 224 if "224" in name else 64
    logits = model(video_of(2, (side, side)))
    assert logits.shape == (2, 5)
    assert bool(logits.isfinite().all())


def test_graphs_go_in_by_insert(model):
    plain = model(video_of())
    interlace.insert(model.body, {"layer3.0": functools.partial(interlace.DyReg, nodes=4)})
    logits, traces = model(video_of(), return_trace=True)
    assert torch.equal(logits, plain)
    assert traces["layer3.0"].boxes.shape == (2, 3, 4, 4)


@torch.no_grad()
def test_weights_in_files(model, tmp_path):
    path = save_weights(model, tmp_path / "w", card={"model": NAME, "num_classes": 5})
    again, _ = open_weights(path)
    assert torch.equal(again.eval()(video_of()), model(video_of()))

    torch.manual_seed(1)
    other = timm.create_model("resnet10t", num_classes=1000)
    save_file(other.state_dict(), tmp_path / "timm.safetensors")
    loaded = load_backbone(model, tmp_path / "timm.safetensors")
    assert loaded.head == ["fc.bias", "fc.weight"]
    assert loaded.unused == []
    own = model.body.network.state_dict()
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in own.items())


def test_imagenet_weights_are_timm_s(model, monkeypatch):
    asked = []
    create = timm.create_model

    def pretrained(name, pretrained=False):
        asked.append((name, pretrained))
        return create(name.split(".")[0])

    monkeypatch.setattr(timm, "create_model", pretrained)
    assert load_backbone(model, "imagenet").source == "timm/resnet10t.c3_in1k on ImageNet"
    assert asked == [("resnet10t.c3_in1k", True)]


def test_names():
    assert describe_model(NAME) == "timm's resnet10t on each frame"
    assert input_channels(NAME) == input_channels("tsm_r18") == 3
    assert input_channels("i3d_small") == 1
    with pytest.raises(ValueError, match="'resnet18x'; did you mean 'timm/resnet18'"):
        create_model("timm/resnet18x")
