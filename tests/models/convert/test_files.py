"""Weights of others: every way of naming, files in and out, nothing dropped silently."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from interlace.commands.cli import main
from interlace.data.clips.motion import motion_clip, write_clip
from interlace.data.clips.shape import ClipShape
from interlace.models.convert import tsm_from_pytorch
from interlace.models.convert.checkpoint import read_checkpoint
from interlace.models.convert.files import convert_file, open_converted
from interlace.models.convert.names import sort_tensors
from interlace.models.registry import open_weights
from interlace.models.weights import read_card, save_weights

CASE = Path(__file__).parents[2] / "reference" / "tsm_r50_dyreg.json"
SHAPES = dict(json.loads(CASE.read_text())["tensors"])
GRAPHS = ["layer2.2.conv2", "layer3.4.conv2", "layer4.1.conv2"]
CONSTANT = "module.base_model.layer3.4.conv2.dynamic_graph.rstg.ph_buf"


def empty():
    """Names and shapes of the program, without memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in SHAPES.items()}


def released(tensors):
    """The names of a released file."""
    names = {}
    for name, value in tensors.items():
        name = name.replace(".conv2.0.block.", ".conv2.block.")
        name = name.replace(".conv2.1.dynamic_graph.", ".conv2.dynamic_graph.")
        name = name.replace(".conv2.1.norm_dict.residual_norm.", ".conv2.norm_dict.residual_norm.")
        names[f"module.{name}"] = value
    return {**names, CONSTANT: np.zeros(4, np.float32)}


def random():
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else torch.randn(shape, generator=generator, dtype=torch.float32).half()
        for name, shape in SHAPES.items()
    }


def test_both_ways_of_naming_are_sorted_alike():
    one, other = sort_tensors(empty()), sort_tensors(released(empty()))
    assert one.trunk.keys() == other.trunk.keys()
    assert list(one.graphs) == list(other.graphs) == GRAPHS
    for at in GRAPHS:
        assert one.graphs[at].keys() == other.graphs[at].keys()
    assert one.head.keys() == other.head.keys() == {"weight", "bias"}
    assert (one.constants, other.constants) == ([], [CONSTANT])
    assert one.unknown == other.unknown == []
    graphs = sum(len(own) for own in one.graphs.values())
    assert len(one.trunk) + graphs + len(one.head) == len(SHAPES)


def test_a_file_is_converted_and_opened_again(tmp_path, capsys):
    tensors, target = random(), tmp_path / "ours.safetensors"
    source = tmp_path / "theirs.pth.tar"
    held = {k: torch.as_tensor(v) for k, v in released(tensors).items()}
    torch.save({"epoch": 3, "arch": "resnet50", "state_dict": held}, source)
    assert main(["convert", str(source), str(target)]) == 0
    said = capsys.readouterr().out
    assert "ResNet-50: 318 tensors" in said
    assert all(f"graph after {at}: " in said for at in GRAPHS)
    assert f"constants, not weights: {CONSTANT}" in said
    assert "beside the weights, left out: epoch, arch" in said
    assert "not mapped" not in said
    assert "28,701,830 parameters" in said
    card = read_card(target)
    assert (card["num_classes"], card["converted_from"]) == (174, "theirs.pth.tar")
    assert ClipShape(**card["clips"]) == ClipShape(16, 224, 256)

    model, _ = open_weights(target)
    own = model.state_dict()
    assert sum(value.numel() for value in own.values()) == 28_755_003
    with pytest.raises(ValueError, match=r"video must be \(B, T, 3, 224, 224\), got"):
        model(torch.zeros(1, 2, 3, 112, 112))
    parts = sort_tensors(tensors)
    for name, value in parts.trunk.items():
        assert torch.equal(own[f"body.network.{name}"], value.to(own[f"body.network.{name}"].dtype))
    assert torch.equal(own["head.weight"], parts.head["weight"].float())
    graph = parts.graphs["layer2.2.conv2"]
    query = own["body.graphs.layer2-2-conv2.recurrence.stages.space.gather.query.weight"]
    assert torch.equal(query, graph["dynamic_graph.rstg.att_q.weight"].float())


def test_what_is_missing_or_too_much_is_named():
    with pytest.raises(ValueError, match=r"not used from the checkpoint: more\.weight"):
        tsm_from_pytorch({**empty(), "more.weight": np.zeros(1)})
    lacking = empty()
    del lacking["new_fc.bias"]
    with pytest.raises(KeyError, match="new_fc"):
        tsm_from_pytorch(lacking)
    lacking = empty()
    del lacking["base_model.layer3.5.bn2.weight"]
    with pytest.raises(KeyError, match=r"layer3\.5\.bn2\.weight"):
        tsm_from_pytorch(lacking)
    more = {**empty(), "base_model.layer3.9.conv3.weight": np.zeros(1)}
    with pytest.raises(ValueError, match=r"layer3\.9\.conv3\.weight"):
        tsm_from_pytorch(more)
    deeper = "dynamic_graph.rstg.send_mlp.2.weight"  # sums have one layer
    with pytest.raises(ValueError, match=r"not used .*: rstg\.send_mlp\.2\.weight"):
        tsm_from_pytorch({**empty(), f"base_model.layer3.4.conv2.1.{deeper}": np.zeros((256, 256))})
    other = {**empty(), "base_model.bn1.bias": np.zeros(3)}
    with pytest.raises(ValueError, match=r"bn1\.bias is \(3,\) in the checkpoint, \(64,\) here"):
        tsm_from_pytorch(other)


class Code:
    def __reduce__(self):
        return print, ("executed",)


def test_files_that_are_no_checkpoints_are_refused(tmp_path, capsys):
    def refused(words, sentence):
        assert main(["convert", *map(str, words)]) == 1
        out, error = capsys.readouterr()
        assert sentence in error
        assert error.count("\n") == 1
        assert "executed" not in out

    source, target = tmp_path / "in.pth", tmp_path / "out.safetensors"
    refused((source, target), "there is no checkpoint at")
    torch.save({"state_dict": Code()}, source)
    refused((source, target), "holds more than tensors, or is damaged")
    source.write_text("weights")
    refused((source, target), "holds more than tensors, or is damaged")
    torch.save(torch.zeros(3), source)
    refused((source, target), "holds no names and tensors, but a Tensor")
    torch.save({"epoch": 3}, source)
    refused((source, target), "epoch is no tensor")
    torch.save({"new_fc.bias": torch.zeros(3), "mine": torch.zeros(1)}, source)
    refused((source, target), "this is no ResNet: it holds 2 tensors, such as new_fc.bias (3,), ")
    refused((source, tmp_path / "out.pth"), "must end in .safetensors")
    save_file({"mine": torch.zeros(1)}, target)
    refused((target, target), "would be overwritten")
    assert list(load_file(target)) == ["mine"]
    assert read_checkpoint(target).tensors["mine"].shape == (1,)


def test_other_weights_are_no_converted_ones(tmp_path):
    path = save_weights(torch.nn.Linear(2, 2), tmp_path / "a.safetensors", card={"model": "x"})
    with pytest.raises(ValueError, match="not written by `interlace convert`"):
        open_converted(path)


# --- ResNets of the TSM program, of torchvision and of timm ---------------------------------------


def resnet(depth, classes=5):
    """torchvision's, with weights and statistics that show every mistake."""
    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=classes)
    generator = torch.Generator().manual_seed(depth)
    for name, value in network.state_dict().items():
        if "running_mean" in name or name.endswith("bias"):
            value.normal_(0, 0.1, generator=generator)
        elif "running_var" in name:
            value.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def tsm_names(network, *, every=1, head="new_fc"):
    """The names of the TSM program, with a shift in every block or every so many of each stage."""
    named = {}
    for name, value in network.state_dict().items():
        block = re.fullmatch(r"(layer\d\.(\d+)\.conv1)\.weight", name)
        if block and int(block[2]) % every == 0:
            name = f"{block[1]}.net.weight"
        own = name.replace("fc.", f"{head}.") if name.startswith("fc.") else f"base_model.{name}"
        named[f"module.{own}"] = value
    return named


def shifted(x):
    """Frames (T, C, H, W), an eighth of the channels from the next, an eighth from the last one."""
    out, k = torch.zeros_like(x), x.shape[1] // 8
    for t in range(len(x)):
        if t + 1 < len(x):
            out[t, :k] = x[t + 1, :k]
        if t > 0:
            out[t, k : 2 * k] = x[t - 1, k : 2 * k]
        out[t, 2 * k :] = x[t, 2 * k :]
    return out


def naive_tsm(network, video, every=1):
    """Logits of one clip (T, 3, H, W): blocks one by one, logits averaged over frames."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    x = network.maxpool(network.relu(network.bn1(network.conv1((video - mean) / std))))
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for k, block in enumerate(stage):
            rest = x if block.downsample is None else block.downsample(x)
            own = shifted(x) if every and k % every == 0 else x
            own = block.relu(block.bn1(block.conv1(own)))
            own = block.bn2(block.conv2(own))
            if hasattr(block, "conv3"):
                own = block.bn3(block.conv3(block.relu(own)))
            x = block.relu(own + rest)
    return network.fc(x.mean((2, 3))).mean(0)


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RELEASED = "TSM_kinetics_RGB_resnet{}_shift8_blockres_avg_segment8_e100_dense.pth"


def converted(tensors, folder, name):
    """The lines, the model and the card of a file with these tensors."""
    torch.save(tensors, folder / name)
    lines = list(convert_file(folder / name, folder / "ours.safetensors"))
    return lines, *open_weights(folder / "ours.safetensors")


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 50])
def test_a_tsm_gives_the_logits_of_a_naive_one(depth, tmp_path):
    network = resnet(depth)
    held = {"epoch": 50, "state_dict": tsm_names(network), "best_prec1": torch.tensor(74.1)}
    lines, model, card = converted(held, tmp_path, RELEASED.format(depth))
    assert card["model"] == f"tsm_r{depth}"
    assert ClipShape(**card["clips"]) == ClipShape(8, 224, 256, "dense", 8)
    assert "made_from" not in card
    assert "beside the weights, left out: epoch, best_prec1" in lines
    assert f"temporal shifts: {sum(SHIFTS[depth])}, no tensors" in lines
    video = torch.rand(4, 3, 64, 64)
    wanted = naive_tsm(network, video)
    torch.testing.assert_close(model.eval()(video[None])[0], wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(naive_tsm(network, video, every=0), wanted, rtol=1e-2)


SHIFTS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


@torch.no_grad()
def test_shifts_in_every_second_block_stay_there(tmp_path):
    """As the TSM program has them in a ResNet-101; no name of ours says so, the card does."""
    network = resnet(18)
    tensors = tsm_names(network, every=2)
    lines, model, card = converted(tensors, tmp_path, "tsm.pth")
    assert "temporal shifts: 4, no tensors" in lines
    assert card["made_from"].keys() == tensors.keys()
    assert card["clips"]["num_frames"] == 8
    video = torch.rand(3, 3, 64, 64)
    wanted = naive_tsm(network, video, every=2)
    torch.testing.assert_close(model.eval()(video[None])[0], wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(naive_tsm(network, video), wanted, rtol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("source", ["torchvision", "timm", "tsn", "training"])
def test_a_resnet_becomes_one_on_each_frame_with_its_head(source, tmp_path):
    network = resnet(18, classes=1000)
    tensors = network.state_dict()
    if source == "timm":
        timm = pytest.importorskip("timm")
        theirs = timm.create_model("resnet18")
        theirs.load_state_dict(tensors)  # the names are the same
        tensors = theirs.state_dict()
    elif source == "tsn":
        tensors = tsm_names(network, every=100, head="base_model.fc")
        tensors = {name.replace("conv1.net.", "conv1."): value for name, value in tensors.items()}
    elif source == "training":
        tensors = {"model": tensors, "epoch": 3}
    else:  # torchvision's files from before batch norms counted
        tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    path = tmp_path / ("in.safetensors" if source == "timm" else "in.pth")
    (save_file if source == "timm" else torch.save)(tensors, path)
    lines = list(convert_file(path, tmp_path / "ours.safetensors"))
    assert lines[-2] == "c2d_r18, 1,000 classes, clips of 16 x 224 x 224"
    model, card = open_weights(tmp_path / "ours.safetensors")
    assert (card["model"], card["num_classes"]) == ("c2d_r18", 1000)
    video = torch.rand(2, 3, 64, 64)
    wanted = naive_tsm(network, video, every=0)
    torch.testing.assert_close(model.eval()(video[None])[0], wanted, rtol=1e-4, atol=1e-4)


def test_depths_are_told_by_blocks():
    for depth in (18, 34, 50, 101, 152):
        with torch.device("meta"):
            network = getattr(torchvision.models, f"resnet{depth}")()
        names = {
            k: np.broadcast_to(np.float32(0), v.shape) for k, v in network.state_dict().items()
        }
        parts = sort_tensors(names)
        assert parts.depth == depth
        assert len(parts.trunk) + len(parts.head) == len(names)


def no_memory(tensors):
    """Zeros of these shapes, a number each in a file."""
    return {name: value.new_zeros(()).expand(value.shape) for name, value in tensors.items()}


def test_files_of_other_networks_say_what_they_look_like(tmp_path, capsys):
    source, target = tmp_path / "in.pth", tmp_path / "out.safetensors"
    network = resnet(18)
    plain, tsm = no_memory(network.state_dict()), no_memory(tsm_names(network))
    block = "module.base_model.layer1.0"

    def refused(tensors, *sentences, name=source):
        torch.save(tensors, name)
        assert main(["convert", str(name), str(target)]) == 1
        error = capsys.readouterr().err
        assert all(sentence in error for sentence in sentences), error
        assert not target.exists()

    one = torch.zeros(1)
    refused({**tsm, f"{block}.nl.g.weight": one}, "TSM with non-local blocks", "known are")
    refused({f"{block}.net.conv1.weight": one}, "TSM that shifts in front of whole blocks")
    refused({"module.base_model.features.0.0.weight": one}, "TSM on MobileNetV2")
    refused({"backbone.layer1.0.conv1.conv.weight": one}, "a model of MMAction2")
    refused({"blocks.0.attn.qkv.weight": one}, "a vision transformer")
    refused({"conv1.0.weight": one, **plain}, "a stem of several convolutions")
    refused({"features.0.weight": one}, "no ResNet: it holds 1 tensor, such as features.0.weight")
    refused({**plain, "more": one}, "not used from the checkpoint: more")
    refused({**tsm, "module.fc.bias": one}, "not used from the checkpoint: module.fc.bias")
    more = {**plain, "layer2.0.extra.weight": one}
    refused(more, "not used from the checkpoint: layer2.0.extra.weight")
    lacking = {name: value for name, value in plain.items() if name != "layer2.1.conv2.weight"}
    refused(lacking, "the checkpoint lacks layer2.1.conv2.weight")
    headless = {name: value for name, value in plain.items() if not name.startswith("fc.")}
    refused(headless, "lacks the head of the model")
    cut = {name: value for name, value in plain.items() if not name.startswith("layer4.1.")}
    refused(cut, "7 residual blocks are of no ResNet that is known")
    wide = {**plain, "layer1.0.conv1.weight": torch.zeros(128, 64, 3, 3)}
    refused(wide, "layer1.0.conv1.weight is (128, 64, 3, 3) in the checkpoint, (64, 64, 3, 3) here")
    refused(tsm, "shifts 1/4 of the channels", name=tmp_path / "TSM_resnet18_shift4_block.pth")
    ours = save_weights(torch.nn.Linear(2, 2), tmp_path / "a.safetensors", card={"model": "x"})
    assert main(["convert", str(ours), str(target)]) == 1
    assert "has a card of ours already (x)" in capsys.readouterr().err


def test_how_many_frames_is_told_or_asked_for(tmp_path):
    source, target = tmp_path / "tsm_segment16_e45.pth", tmp_path / "ours.safetensors"
    torch.save(no_memory(tsm_names(resnet(18))), source)
    list(convert_file(source, target))
    assert ClipShape(**read_card(target)["clips"]) == ClipShape(16, 224, 256)
    list(convert_file(source, target, num_frames=4))
    assert ClipShape(**read_card(target)["clips"]) == ClipShape(4, 224, 256)
    with pytest.raises(ValueError, match="num_frames must be at least 1, got 0"):
        list(convert_file(source, target, num_frames=0))


def test_a_converted_model_predicts_video_files(tmp_path, capsys):
    source, target = tmp_path / "tsm_segment2_e1.pth", tmp_path / "ours.safetensors"
    torch.save(tsm_names(resnet(18, classes=2)), source)
    clips = tmp_path / "clips"
    for motion in ("left", "right"):
        (clips / motion).mkdir(parents=True)
        write_clip(clips / motion / "0.mp4", motion_clip(motion, seed=0, frames=4))
    assert main(["convert", str(source), str(target)]) == 0
    predict = ["predict", str(clips), "--weights", str(target), "--format", "json"]
    capsys.readouterr()
    assert main([*predict, "--precision", "fp32"]) == 0
    videos = json.loads(capsys.readouterr().out)["videos"]
    assert {said["label"] for said in videos[0]["labels"]} == {"0", "1"}
    assert videos[0]["frames"] == [1, 3]  # the middle of each half

    (tmp_path / "names.txt").write_text("left\nright\n")
    named = ["--classes", str(tmp_path / "names.txt"), "--workers", "0", "--precision", "fp32"]
    out = tmp_path / "evaluation.json"
    given = ["evaluate", str(target), "--path", str(clips), *named, "--out", str(out)]
    assert main(given) == 0, capsys.readouterr().err
    record = json.loads(out.read_text())
    assert (record["model"], record["count"], record["classes"]) == (
        "tsm_r18",
        2,
        ["left", "right"],
    )
