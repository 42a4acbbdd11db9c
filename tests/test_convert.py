"""Released checkpoints: both ways of naming, files in and out, nothing dropped silently."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from interlace.cli import main
from interlace.models.convert import tsm_from_pytorch
from interlace.models.convert.files import read_checkpoint
from interlace.models.convert.released import sort_tensors
from interlace.models.registry import open_weights
from interlace.models.weights import read_card, save_weights

CASE = Path(__file__).parent / "reference" / "tsm_r50_dyreg.json"
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
    assert "not mapped" not in said
    assert "28,701,830 parameters" in said
    card = read_card(target)
    assert (card["num_classes"], card["converted_from"]) == (174, "theirs.pth.tar")

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
    refused((source, target), "not used from the checkpoint: mine")
    refused((source, tmp_path / "out.pth"), "must end in .safetensors")
    save_file({"mine": torch.zeros(1)}, target)
    refused((target, target), "would be overwritten")
    assert list(load_file(target)) == ["mine"]
    assert read_checkpoint(target)["mine"].shape == (1,)


def test_other_weights_are_no_converted_ones(tmp_path):
    from interlace.models.convert.files import open_converted

    path = save_weights(torch.nn.Linear(2, 2), tmp_path / "a.safetensors", card={"model": "x"})
    with pytest.raises(ValueError, match="not written by `interlace convert`"):
        open_converted(path)
