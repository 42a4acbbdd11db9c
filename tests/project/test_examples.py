"""The examples: short, and they do what they say, here at tiny size."""

import math
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

import interlace
from interlace.commands.cli import main
from interlace.data.clips.motion import MOTIONS, write_motion_clips
from interlace.data.digits.datasets import DATASETS, load_split, video_options
from interlace.models.weights import read_card
from registered import register_for_a_test

FOLDER = Path(__file__).parents[2] / "examples"
README = FOLDER.parent / "README.md"


def example(name):
    return runpy.run_path(str(FOLDER / f"{name}.py"))["main"]


def test_a_graph_in_a_network_of_torchvision_learns(capsys):
    before, after = example("insert_into_torchvision")(frames=2, size=64)
    assert after < before
    said = capsys.readouterr().out
    assert "changed by a fresh graph: 0.0" in said
    assert "regions (2, 2, 9, 4), the first at [0.5, 0.5, 0.16" in said


def test_own_clips_are_learnt_from_and_predicted(tmp_path, capsys):
    prediction = example("own_clips")(str(tmp_path), per_class=2, epochs=2, size=32)
    assert sorted(prediction.classes) == sorted(MOTIONS)
    assert float(prediction.scores.sum()) == pytest.approx(1, abs=1e-5)
    ((name, boxes),) = prediction.boxes.items()
    assert boxes.shape == (4, 9, 4)
    assert f"{name}: regions (4, 9, 4) on frames {prediction.frames}" in capsys.readouterr().out
    assert (tmp_path / "run/best.safetensors").exists()


def test_videos_of_ones_own_are_learnt_from_by_name(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(DATASETS, "_parts", {**DATASETS._parts})
        weights = example("own_videos")(str(tmp_path / "python"), videos=96)
    assert read_card(weights)["data"]["speed"] == 3

    monkeypatch.chdir(FOLDER)
    words = ["--data.digits", "embedded", "--data.test_size", "20", "--data.validation_size", "20"]
    words += ["--recipe.pretrain_frames", "0", "--recipe.videos", "96", "--trainer.device", "cpu"]
    words += ["--data", "own_videos:Sliding", "--data.speed", "2", "--model", "rstg_demo"]
    assert main(["train", *words, "--trainer.out", str(tmp_path / "typed")]) == 0
    options = video_options("own_videos:Sliding")(digits="embedded", speed=2)
    boxes = load_split(options, "test").batch(range(8)).boxes[:, :, 0, :2]  # (B, T, 2)
    moved = (boxes[:, 1:] - boxes[:, :-1]).abs().amax(-1) * 60
    assert torch.allclose(moved, torch.full_like(moved, 2.0), atol=1e-4)
    assert main(["evaluate", str(tmp_path / "typed/best.safetensors"), "--videos", "10"]) == 0
    assert "on 10 videos" in capsys.readouterr().out


def test_a_stream_is_its_clip(capsys):
    assert example("stream")(frames=4, size=64) < 1e-4
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:-1]] == [f"frame {t}" for t in range(4)]


def test_regions_of_ones_own_are_told_boxes_and_learn(capsys):
    assert example("own_regions")() != 0
    told, seen = (float(word) for word in re.findall(r"0\.\d+", capsys.readouterr().out))
    assert seen == pytest.approx(told * (1 + math.exp(0.5)), abs=0.02)


@pytest.fixture
def in_examples(monkeypatch):
    """Where a user stands whose module is in the folder at hand."""
    monkeypatch.chdir(FOLDER)
    register_for_a_test(monkeypatch)
    for path in FOLDER.glob("own_*.py"):
        monkeypatch.delitem(sys.modules, path.stem, raising=False)


def test_a_model_of_ones_own_has_a_name(in_examples, tmp_path, capsys):
    logits = example("own_model")(str(tmp_path))
    assert logits.shape == (1, 5)
    assert bool(logits.isfinite().all())
    name = "own_model:tiny"
    assert main(["list", "--pattern=own_model:*"]) == 0
    assert main(["info", name, "--num_frames=2", "--size=64", "--repeats=1"]) == 0
    assert main(["info", str(tmp_path / "tiny.safetensors"), "--size=64", "--repeats=1"]) == 0
    said = capsys.readouterr().out
    about = "three convolutions on each frame, a graph after the second"
    assert f"{name:28} {about}\n" in said
    assert f"{name}: {about}\n" in said
    assert "4 nodes, DynamicRegions, at 3" in said
    assert f"tiny.safetensors: {name}\n" in said
    assert main(["info", "own_model:tyny"]) == 1
    assert "no model is named 'own_model:tyny'; did you mean 'tiny'?" in capsys.readouterr().err


def test_a_model_of_ones_own_is_trained_evaluated_and_used(in_examples, tmp_path, capsys):
    clips, run = tmp_path / "clips", tmp_path / "run"
    files = write_motion_clips(clips, per_class=2, frames=8)
    options = "--data.num_frames=4 --data.size=32 --data.short_side=36 --data.workers=0 "
    options += "--recipe.epochs=1 --recipe.batch_size=4 --trainer.precision=fp32"
    options = [*options.split(), f"--data.path={clips}", f"--trainer.out={run}"]
    assert main(["train", "--model=own_model:tiny", *options]) == 0
    assert main(["evaluate", str(run / "best.safetensors"), f"--path={clips}"]) == 0
    assert interlace.Predictor(run / "best.safetensors")(files[0]).label in MOTIONS
    capsys.readouterr()


def test_a_backbone_of_ones_own_is_a_model_takes_weights_and_graphs(in_examples, tmp_path, capsys):
    logits = example("own_backbone")(str(tmp_path))
    assert logits.shape == (1, 5)
    assert "backbone: 4 tensors from" in (said := capsys.readouterr().out)
    assert "logits (1, 5), graphs at 1" in said
    assert main(["info", "own_backbone:patches", "--num_frames=2", "--size=64", "--repeats=1"]) == 0
    assert "own_backbone:patches: patches of 8 x 8 pixels" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short_and_run_by_a_test(path):
    text = path.read_text()
    assert text.count("\n") < 60
    assert f"python examples/{path.name}" in text.split('"""')[1]
    assert f'example("{path.stem}")' in Path(__file__).read_text()
