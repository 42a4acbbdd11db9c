"""Models by name, and weights in files."""

import json
import os
import pickle
import struct

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from interlace.models.registry import (
    BACKBONES,
    MODELS,
    create_model,
    describe_model,
    input_channels,
    list_models,
    open_weights,
)
from interlace.models.weights import load_weights, read_card, save_weights
from limits import full_disk
from registered import register_for_a_test

NAME = "rstg_1temp_small"
CARD = {"model": NAME, "num_classes": 5, "accuracy": 0.5, "data": {"seed": 3, "digits": "mnist"}}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model(NAME, num_classes=5)


@pytest.fixture
def path(model, tmp_path):
    return save_weights(model, tmp_path / "some" / "w.safetensors", card=CARD)


def equal(one, other):
    return all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


def test_every_model_of_the_paper_s_table_has_two_sizes_and_a_description():
    kinds = ["space_only", "time_only", "homogeneous", "1temp", "all_temp", "positional"]
    paper = {"mean_lstm", "conv_lstm", "i3d", "nonlocal", *(f"rstg_{kind}" for kind in kinds)}
    regions = ["fixed", "static", "constant", "position_only", "light", "semantic", "keypoints"]
    regions += ["given", "no_memory", "size7", "size8", "size11", "bilinear", "5nodes", "16nodes"]
    dyreg = {"dyreg", "resnet18", "resnet18_conv_lstm", "resnet18_nonlocal"}
    dyreg |= {f"dyreg_{kind}" for kind in regions}
    both = paper | dyreg
    ours = {"rstg_demo", "rstg_content", "rstg_objects", "rstg_objects_given", "dyreg_objects"}
    without = ["no_motion", "own", "relative", "unbiased", "motion1", "motion3", "motion30"]
    without += ["space_only", "time_only", "1temp", "positional", "replace", "torch", "unscaled"]
    ours |= {f"rstg_content_{kind}" for kind in without}
    ours |= {f"rstg_grid_{kind}" for kind in ("motion", "sharp", *kinds)}
    assert set(list_models(channels=1)) == ours | both | {f"{name}_small" for name in both}
    assert list_models("rstg_?*temp_small") == ["rstg_1temp_small", "rstg_all_temp_small"]
    assert list_models("nothing*") == []
    assert len({describe_model(name) for name in list_models()}) == len(list_models())


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("rstg_positonal", "rstg_positional"), ("I3D", "i3d"), ("mean-lstm", "mean_lstm")],
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong, nearest):
    for ask in (create_model, describe_model):
        with pytest.raises(ValueError, match=f"'{wrong}'; did you mean '{nearest}'"):
            ask(wrong)
    with pytest.raises(ValueError, match="no model is named 'zzzz'; `interlace list`"):
        create_model("zzzz")


def test_a_backbone_is_a_model_with_a_mean_and_a_head(monkeypatch):
    """Of frames or of clips; how many channels it gives is seen by running it."""
    register_for_a_test(monkeypatch)
    torch.manual_seed(0)
    networks = {
        "flat": nn.Conv2d(3, 6, 4, stride=4),
        "deep": nn.Conv3d(3, 6, (1, 4, 4), stride=(1, 4, 4)),
    }
    networks["deep"].load_state_dict(
        {k: v[:, :, None] if v.dim() > 1 else v for k, v in networks["flat"].state_dict().items()}
    )
    for name, network in networks.items():
        BACKBONES.register(name, f"{name} patches")(lambda network=network: network)
    assert list_models("flat") == ["flat"]
    assert (describe_model("deep"), input_channels("deep")) == ("deep patches", 3)
    video = torch.rand(2, 4, 3, 16, 12)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    frames = ((video - mean[:, None, None]) / std[:, None, None]).flatten(0, 1)
    features = networks["flat"](frames).unflatten(0, (2, 4)).mean((1, 3, 4))
    for name, network in networks.items():
        model = create_model(name, num_classes=5).eval()
        assert model.network is network
        assert model.body.out_channels == 6
        torch.testing.assert_close(model(video), model.head(features))
    with pytest.raises(ValueError, match="no backbone is named 'falt'; did you mean 'flat'"):
        BACKBONES["falt"]


def test_a_model_says_which_videos_it_is_for(monkeypatch):
    register_for_a_test(monkeypatch)
    MODELS.register("grey", "for digits", channels=1)(lambda classes: None)
    MODELS.register("colour", "for real videos")(lambda classes: None)
    assert (input_channels("grey"), input_channels("colour")) == (1, 3)
    assert list_models("grey", channels=3) == []
    assert list_models("colour", channels=3) == ["colour"]
    with pytest.raises(ValueError, match="there is a model named 'tsm_r18' already"):
        BACKBONES.register("tsm_r18", "another")(lambda: nn.Identity())
    with pytest.raises(ValueError, match="there is a model named 'dyreg' already"):
        MODELS.register("dyreg", "another")(lambda classes: None)
    assert (input_channels("dyreg"), describe_model("tsm_r18")) == (1, "TSM-ResNet-18")


def test_weights_and_card_come_back_as_they_were(model, path):
    again, card = open_weights(path)
    assert equal(again, model)
    assert card == CARD == read_card(path)
    assert equal(create_model(NAME, num_classes=5, weights=str(path)), model)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing half-written is left
    other_user_may_read = path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    assert other_user_may_read == 0o666 & ~umask


def test_half_precision_is_half_the_file_and_one_rounding_away(model, path):
    half = save_weights(model, path.with_name("half.safetensors"), card=CARD, half=True)
    assert half.stat().st_size < 0.55 * path.stat().st_size
    again, _ = open_weights(half)
    for key, value in model.state_dict().items():
        found = again.state_dict()[key]
        assert found.dtype == value.dtype
        expected = value.half().to(value.dtype) if value.is_floating_point() else value
        assert torch.equal(found, expected), key


def test_a_number_too_large_for_half_precision_is_refused(model, tmp_path):
    with torch.no_grad():
        model.head.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"head\.weight is not finite in half precision"):
        save_weights(model, tmp_path / "half.safetensors", card=CARD, half=True)
    assert not list(tmp_path.iterdir())


def test_weights_of_another_model_are_refused_in_one_sentence_that_names_both(path):
    other = create_model("mean_lstm_small", num_classes=5)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=f"holds weights of {NAME}, not of mean_lstm_small") as e:
        load_weights(other, path, name="mean_lstm_small")
    assert "\n" not in str(e.value)
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_weights_for_other_classes_are_told_apart_from_those_of_another_model(path):
    with pytest.raises(ValueError, match=rf"a {NAME} of another size: head.bias differs"):
        create_model(NAME, num_classes=6, weights=path)


@pytest.mark.parametrize("length", [0, 4, 100, -1, -1000])
def test_a_truncated_file_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    for ask in (open_weights, read_card):
        with pytest.raises(ValueError, match="is not a complete safetensors file"):
            ask(path)


def test_other_kinds_of_files_are_refused_and_nothing_in_them_runs(path):
    path.write_bytes(b"\0" * 5000)
    with pytest.raises(ValueError, match="is not a complete safetensors file"):
        open_weights(path)

    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(path.parent / "ran"),))

    for content in (pickle.dumps(Bomb()), None):
        if content is None:
            torch.save({"weight": torch.zeros(2), "x": Bomb()}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a complete safetensors file"):
            create_model(NAME, num_classes=5, weights=path)
    assert not (path.parent / "ran").exists()


def test_missing_files_folders_and_cards(model, path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*nowhere"):
        open_weights(path.parent / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match=r"is a folder: name its weights, .*best\.safet"):
        create_model(NAME, weights=path.parent)
    bare = path.with_name("bare.safetensors")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, bare)
    with pytest.raises(ValueError, match="no card that names its model"):
        open_weights(bare)
    assert equal(create_model(NAME, num_classes=5, weights=bare), model)


def test_a_damaged_card_is_no_traceback_of_json(path):
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    for card in ("{", '"text"', '{"model": "i3d_huge"}', f'{{"model": "{NAME}"}}'):
        header["__metadata__"]["card"] = card
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
        with pytest.raises(ValueError, match=r"card|no model is named"):
            open_weights(path)


def test_weights_with_nan_are_refused(model, path):
    with torch.no_grad():
        model.head.bias[2] = float("nan")
    with pytest.raises(ValueError, match=r"head\.bias is not finite"):
        save_weights(model, path.with_name("nan.safetensors"), card=CARD)
    tensors = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, path, metadata={"card": json.dumps(CARD)})
    with pytest.raises(ValueError, match=r"head\.bias is not finite"):
        open_weights(path)


def test_a_place_that_cannot_be_written_is_an_os_error(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write"):
        save_weights(model, tmp_path / "file" / "w.safetensors", card=CARD)


def test_a_full_disk_keeps_what_was_there(model, path):
    before = path.read_bytes()
    with full_disk(), pytest.raises(OSError, match=r"cannot write .*make room"):
        save_weights(model, path, card=CARD)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
