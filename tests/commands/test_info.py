"""`interlace info`: what a model is and costs, and where its graphs are."""

import re

import pytest
import torch

from interlace.commands.cli import main
from interlace.commands.info import info
from interlace.models.insertion.levels import Level, levels
from interlace.models.operations import count_operations
from interlace.models.registry import create_model
from interlace.models.weights import save_weights

SMALL = {"num_frames": 2, "size": 64, "num_classes": 5, "repeats": 1}


def test_stages_of_a_2d_and_a_3d_network():
    shifts = "2 x TemporalShift"
    assert levels(create_model("tsm_r18_dyreg").body) == [
        Level("relu", 64, 2, 1, ()),
        Level("layer1", 64, 4, 1, (shifts,)),
        Level("layer2", 128, 8, 1, (shifts,)),
        Level("layer3", 256, 16, 1, ("9 nodes, DynamicRegions, at layer3.0", shifts)),
        Level("layer4", 512, 32, 1, (shifts,)),
    ]
    i3d = levels(create_model("nl_i3d_r50_rstg").body)
    assert [(s.module, s.channels, s.stride, s.every) for s in i3d] == [
        ("relu", 64, 2, 1),
        ("maxpool", 64, 4, 1),
        ("layer1", 256, 4, 1),
        ("pool2", 256, 4, 2),
        ("layer2", 512, 8, 2),
        ("layer3", 1024, 16, 2),
        ("layer4", 2048, 16, 2),  # RSTG, appendix B, table 1
    ]
    assert [s.graphs for s in i3d[4:]] == [
        ("2 x NonLocalBlock",),
        ("3 x NonLocalBlock",),
        ("30 nodes, GridRegions, at layer4",),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("convnext_atto", [("stages.0", 40, 4), ("stages.1", 80, 8), ("stages.2", 160, 16)]),
        ("vit_tiny_patch16_224", [("blocks.11", 192, 16)]),
    ],
)
def test_stages_of_timm_s_networks(name, expected):
    found = levels(create_model(f"timm/{name}").body)
    assert [(s.module, s.channels, s.stride) for s in found][:3] == expected


def test_lines(capsys):
    info("tsm_r18_dyreg", **SMALL)
    lines = capsys.readouterr().out.splitlines()
    model = create_model("tsm_r18_dyreg", num_classes=5)
    counted = count_operations(model, (1, 2, 3, 64, 64))
    text = "\n".join(lines)
    assert lines[0] == "tsm_r18_dyreg: TSM-ResNet-18 + DyReg in res4"
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert f"parameters  {millions:.2f} M" in text
    assert f"operations  {counted.total / 1e9:.2g} G for 1 x 2 x 3 x 64 x 64" in text
    seconds, rate = re.search(r"time +(\S+) s a forward pass, (\S+) frames a second", text).groups()
    assert float(seconds) * float(rate) == pytest.approx(2, rel=0.02)
    most, weights = re.search(r"memory +(\S+) MiB .*, (\S+) of them weights", text).groups()
    assert float(most.replace(",", "")) > float(weights)
    assert float(weights) == pytest.approx(millions * 4e6 / 2**20, rel=0.01)
    assert "  layer3       256      16  9 nodes, DynamicRegions, at layer3.0" in lines
    assert "  layer4       512      32  2 x TemporalShift" in lines


@pytest.mark.parametrize("name", ["tsm_r18_detector", "mean_lstm_small"])
def test_models_that_are_told_where_to_look_and_models_of_digits(name, capsys):
    info(name, **SMALL)
    lines = capsys.readouterr().out.splitlines()
    channels = 3 if "tsm" in name else 1
    assert any(f"for 1 x 2 x {channels} x 64 x 64" in line for line in lines)
    assert any(line.startswith("  stage") for line in lines) == ("tsm" in name)


def test_the_command(capsys, tmp_path):
    torch.manual_seed(0)
    card = {"model": "c2d_r18", "num_classes": 3}
    path = save_weights(
        create_model("c2d_r18", num_classes=3), tmp_path / "w.safetensors", card=card
    )
    options = ["--num_frames=2", "--size=64", "--repeats=1"]
    assert main(["info", str(path), *options]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{path}: c2d_r18\n")
    assert "11.18 M" in said  # with three classes
    assert main(["info", "tsm_r18_dyrag"]) == 1
    assert "did you mean 'tsm_r18_dyreg'" in capsys.readouterr().err
    assert main(["info", "c2d_r18", "--size=0"]) == 1
    assert "size must be at least 1, got 0" in capsys.readouterr().err
