"""Weights of backbones from files: used, inflated, refused; nothing silently dropped."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18, resnet50

from interlace.models.backbones import weights as backbone_weights
from interlace.models.backbones.weights import load_backbone
from interlace.models.registry import create_model
from interlace.models.weights import save_weights
from tolerances import FLOAT32


@pytest.fixture(scope="module")
def source():
    """A network of torchvision's with values that no fresh network has."""
    torch.manual_seed(3)
    network = resnet18(num_classes=1000).eval()
    for name, value in network.named_buffers():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + ("var" in name))
    return network


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("tsm_r18_dyreg", num_classes=5).eval()


def features_of(network, frames):
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
        frames = network.get_submodule(name)(frames)
    return frames


@pytest.mark.parametrize("kind", ["pth", "safetensors", "module", "checkpoint", "old"])
@torch.no_grad()
def test_a_file_fills_the_backbone_and_nothing_else(source, model, tmp_path, kind):
    tensors, path = source.state_dict(), tmp_path / "weights.pth"
    if kind == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(tensors, path)
    elif kind == "module":
        torch.save({"state_dict": {f"module.{k}": v for k, v in tensors.items()}, "epoch": 3}, path)
    elif kind == "checkpoint":
        torch.save({"model": {f"net.{k}": v for k, v in tensors.items()}}, path)
    elif kind == "old":  # before batch norms counted
        torch.save({k: v for k, v in tensors.items() if "num_batches" not in k}, path)
    else:
        torch.save(tensors, path)
    others = {k: v.clone() for k, v in model.state_dict().items() if "body.network" not in k}
    loaded = load_backbone(model, path)
    frames = torch.rand(2, 3, 64, 64)
    expected = features_of(source, frames)
    torch.testing.assert_close(model.body.network(frames), expected, **FLOAT32)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in others.items())
    before = {"module": "module.", "checkpoint": "net."}.get(kind, "")
    assert loaded.head == [f"{before}fc.bias", f"{before}fc.weight"]
    assert loaded.unused == []
    assert len(loaded.used) == (100 if kind == "old" else 120)
    text = "\n".join(loaded.lines())
    assert f"backbone: {len(loaded.used)} tensors from {path}" in text
    assert "fc.weight" in text


@torch.no_grad()
def test_weights_of_a_2d_network_are_spread_over_time(tmp_path):
    torch.manual_seed(3)
    flat = resnet50().state_dict()
    torch.save(flat, tmp_path / "w.pth")
    model = create_model("i3d_r50", num_classes=5)
    loaded = load_backbone(model, tmp_path / "w.pth")
    own = model.body.network.state_dict()
    assert loaded.used == sorted(own)
    assert loaded.inflated == sorted(key for key, value in own.items() if value.dim() == 5)
    assert "53 of them inflated in time" in loaded.lines()[0]
    extents = {key: own[key].shape[2] for key in loaded.inflated if own[key].shape[2] > 1}
    blocks = ["1.0", "1.1", "1.2", "2.0", "2.2", "3.0", "3.2", "3.4", "4.1"]
    expected = {"conv1.weight": 5, **{f"layer{b}.conv1.weight": 3 for b in blocks}}
    assert extents == expected
    for key, value in own.items():
        summed = value.sum(2) if value.dim() == 5 else value
        torch.testing.assert_close(summed, flat[key], **FLOAT32)
    assert torch.equal(own["conv1.weight"][:, :, 0], own["conv1.weight"][:, :, 4])


def test_weights_of_a_model_of_ours_are_a_source_too(model, tmp_path):
    path = save_weights(model, tmp_path / "w.safetensors", card={"model": "tsm_r18_dyreg"})
    plain = create_model("c2d_r18", num_classes=9)
    loaded = load_backbone(plain, path)
    for key, value in model.body.network.state_dict().items():
        assert torch.equal(plain.body.network.state_dict()[key], value)
    assert loaded.head == ["head.bias", "head.weight"]
    graph = [key for key in model.state_dict() if key.startswith("body.graphs")]
    assert loaded.unused == sorted(graph)
    assert f"not used ({len(graph)}): {min(graph)}" in loaded.lines()[-1]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("conv_lstm_small", "rstg_all_temp_small"),  # backbone.*; its body has layers.*, too
        ("rstg_all_temp", "conv_lstm"),
        ("resnet18", "dyreg_fixed"),  # body.network.*, as of models for real videos
        ("i3d_small", "nonlocal_small"),
    ],
)
def test_models_of_digits_share_backbones_too(tmp_path, name, other):
    torch.manual_seed(0)
    source, model = create_model(name), create_model(other, num_classes=5)
    path = save_weights(source, tmp_path / "w.safetensors", card={"model": name}, half=True)
    others = {k: v.clone() for k, v in model.state_dict().items()}
    loaded = load_backbone(model, path)
    expected = source.network.state_dict()
    assert loaded.used == sorted(expected)
    for key, value in model.network.state_dict().items():
        whole = expected[key]
        rounded = whole.half().to(whole.dtype) if whole.is_floating_point() else whole
        assert torch.equal(value, rounded)
    prefix = "backbone." if source.network is source.backbone else "body.network."
    for key, value in model.state_dict().items():
        assert key.startswith(prefix) or torch.equal(value, others[key])
    assert loaded.head == ["head.bias", "head.weight"]
    with pytest.raises(ValueError, match=f"weights of {name}, lacks .* take weights of the same"):
        load_backbone(create_model("tsm_r18"), path)


def test_shipped_weights_of_a_backbone_are_a_source():
    shipped = Path(__file__).parents[3] / "weights" / "backbone_small.safetensors"
    model = create_model("rstg_positional_small")
    loaded = load_backbone(model, shipped)
    assert loaded.used == sorted(model.backbone.state_dict())
    assert loaded.unused == []


@pytest.mark.parametrize("name", ["rstg_content", "rstg_objects"])
def test_maps_of_content_come_with_the_backbone_they_read(name, tmp_path, caplog):
    """Into a graph with maps of the same name and shape; the rest of it stays."""
    torch.manual_seed(0)
    source, model = (create_model(name, num_classes=classes) for classes in (3, 5))
    path = save_weights(source, tmp_path / "w.safetensors", card={"model": name})
    others = {k: v.clone() for k, v in model.state_dict().items()}
    with caplog.at_level("INFO"):
        load_backbone(model, path)
    assert "maps of content: body.regions.maps, too" in caplog.text
    for key, value in model.state_dict().items():
        filled = key.startswith(("backbone.", "body.regions.maps."))
        theirs = source.state_dict()[key] if filled else others[key]
        assert torch.equal(value, theirs), key
    assert not torch.equal(source.body.regions.maps.weight, others["body.regions.maps.weight"])

    model = create_model(name, num_classes=5)
    model.body.regions.maps = torch.nn.Conv2d(model.backbone.out_channels, 7, 1)
    before = model.body.regions.maps.weight.clone()
    caplog.clear()
    load_backbone(model, path)  # of other kinds
    assert torch.equal(model.body.regions.maps.weight, before)
    assert "maps of content" not in caplog.text


def test_what_a_network_has_no_place_for_is_named(source, model, tmp_path):
    tensors = {**source.state_dict(), "layer5.0.conv1.weight": torch.zeros(3)}
    torch.save(tensors, tmp_path / "w.pth")
    assert load_backbone(model, tmp_path / "w.pth").unused == ["layer5.0.conv1.weight"]


def test_what_does_not_fit_is_refused_and_changes_nothing(source, model, tmp_path):
    path = tmp_path / "w.pth"
    before = {k: v.clone() for k, v in model.state_dict().items()}

    def refused(held, message):
        torch.save(held, path)
        with pytest.raises(ValueError, match=message):
            load_backbone(model, path)

    tensors = source.state_dict()
    with torch.device("meta"):
        deeper = resnet50().state_dict()
    deeper = {k: torch.zeros(v.shape) for k, v in deeper.items() if "layer4" not in k}
    refused({k: v for k, v in tensors.items() if "layer4.1" not in k}, "lacks 10 of the 120 tensor")
    refused(deeper, "take weights of the same network")
    refused({**tensors, "conv1.weight": torch.zeros(64, 1, 7, 7)}, r"conv1.weight is \(64, 1, 7, 7")
    refused({**tensors, "bn1.weight": torch.full((64,), torch.nan)}, "bn1.weight is not finite")
    refused(torch.zeros(3), "holds no names and tensors, but a Tensor")
    refused({"epoch": 3}, "holds no state dict: epoch is no tensor")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(FileNotFoundError, match='give a file, or "imagenet"'):
        load_backbone(model, "imagnet")
    torch.save(tensors, path)
    with pytest.raises(ValueError, match=r"lacks .* of this backbone"):
        load_backbone(create_model("mean_lstm_small"), path)
    with pytest.raises(ValueError, match="nobody gives ImageNet weights for this StridedCNN"):
        load_backbone(create_model("mean_lstm_small"), "imagenet")


def test_nothing_in_a_file_runs(model, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    torch.save({"conv1.weight": Bomb()}, tmp_path / "w.pth")
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.pth").read_bytes())
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(ValueError, match=r"holds more than tensors|not a complete safetensors"):
            load_backbone(model, tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_imagenet_is_torchvision_s_first_weights_and_says_what_to_do_without_a_network(
    source, model, monkeypatch
):
    from torchvision.models import ResNet18_Weights

    asked = []

    def fetch(weights, **options):
        asked.append((weights, options))
        return source.state_dict()

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", fetch)
    loaded = load_backbone(model, "imagenet")
    assert asked[0][0] is ResNet18_Weights.IMAGENET1K_V1
    assert asked[0][1]["check_hash"]
    assert torch.equal(model.body.network.conv1.weight, source.conv1.weight)
    assert loaded.source == "resnet18 on ImageNet"

    def offline(weights, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(OSError, match=r"resnet18 \(no route to host\).*download https://.*\.pth"):
        load_backbone(model, "imagenet")
    assert backbone_weights.IMAGENET == "imagenet"
