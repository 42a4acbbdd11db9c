"""The examples: short, and they do what they say, here at tiny size."""

import math
import re
import runpy
from pathlib import Path

import pytest

from interlace.data.clips.motion import MOTIONS

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


def test_a_stream_is_its_clip(capsys):
    assert example("stream")(frames=4, size=64) < 1e-4
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:-1]] == [f"frame {t}" for t in range(4)]


def test_regions_of_ones_own_are_told_boxes_and_learn(capsys):
    assert example("own_regions")() != 0
    told, seen = (float(word) for word in re.findall(r"0\.\d+", capsys.readouterr().out))
    assert seen == pytest.approx(told * (1 + math.exp(0.5)), abs=0.02)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short_and_run_by_a_test(path):
    text = path.read_text()
    assert text.count("\n") < 60
    assert f"python examples/{path.name}" in text.split('"""')[1]
    assert f'example("{path.stem}")' in Path(__file__).read_text()
