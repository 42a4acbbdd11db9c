"""Weights of either kind with their held-out videos: what a record says, and one page for both."""

import dataclasses
import json
import re

import pytest

from clip_models import CLASSES, CLIPS, classifier, saved
from interlace.commands.cli import main
from interlace.data.clips.clip_list import ClipList, Item
from interlace.data.clips.dataset import TestViews
from interlace.data.clips.loader import clip_loader
from interlace.data.clips.manifest import write_manifest
from interlace.data.clips.order import in_turn
from interlace.data.clips.scan import scan
from interlace.data.clips.split import write_list
from interlace.data.digits.datasets import video_options
from interlace.evaluation.evaluate import evaluate
from interlace.models.registry import create_model
from interlace.models.weights import read_card, save_weights
from interlace.reports.held_out import ClipChoice, DigitChoice
from interlace.reports.trained import open_trained, weights_seed, write_evaluation
from videos import write


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The weights of a run on three video files, that lie beside the list of what it held out."""
    root, folder = tmp_path / "clips", tmp_path / "run"
    items = tuple(Item(f"{name}.mp4", k) for k, name in enumerate(CLASSES))
    for k, item in enumerate(items):
        (root / item.name).parent.mkdir(parents=True, exist_ok=True)
        write(root / item.name, 6 + k)
    write_list(folder / "held_out.csv", ClipList(root, items, tuple(CLASSES)))
    (folder / "config.json").write_text('{"trainer": {"seed": 11}}')
    weights = saved(classifier(), folder / "best.safetensors", monkeypatch)
    card = read_card(weights) | {"data": {"path": str(root)}}
    save_weights(classifier(), weights, card=card)
    (folder / "run.json").write_text('{"seconds": 90}')
    write_manifest(folder / "manifest.csv", scan(root, workers=0))
    return folder, ClipList(root, items, tuple(CLASSES))


def digit_weights(path, **card):
    data = video_options("SyncMNIST")(
        digits="embedded", num_digits=3, classes=5, num_frames=3, canvas=50, frame=24
    )
    name = "mean_lstm_small"
    card = {"model": name, "num_classes": 11, "data": dataclasses.asdict(data), **card}
    return save_weights(create_model(name, num_classes=11), path, card=card)


def test_weights_of_files_are_explained_on_what_their_run_held_out(run, tmp_path, capsys):
    folder, clips = run
    out, weights = tmp_path / "out", folder / "best.safetensors"
    words = ["explain", str(weights), f"--out={out}", "--clips=2", "--precision=fp32"]
    assert main(words) == 0
    trained = open_trained(weights, clips=ClipChoice(workers=0))
    loader = clip_loader(TestViews(clips, CLIPS), in_turn(3, 3))
    expected = evaluate(trained.model, loader, 3)
    record = json.loads((out / "evaluation.json").read_text())
    assert record["loss"] == pytest.approx(expected.loss, rel=1e-5)
    assert record["confusion"] == expected.confusion.tolist()
    assert (record["seed"], record["data"]["clips"], record["data"]["skipped"]) == (11, 3, 0)
    page = (out / "report.html").read_text()
    titles = re.findall(r"<small>Clip \d</small>(\w+)\.mp4", page)
    assert titles == [CLASSES[k] for k in expected.worst(2)]
    for text in (
        "What best looks at",
        "clips, 3 classes",
        "1.5 min",
        "least probability",
        f"{expected.top1:.1%}",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("card", "config", "seed"),
    [({"seed": 3}, '{"trainer": {"seed": 4}}', 3), ({}, '{"trainer": {"seed": 4}}', 4),
     ({}, "{}", None), ({}, None, None)],
)  # fmt: skip
def test_a_record_has_the_seed_of_the_weights(card, config, seed, tmp_path):
    weights = digit_weights(tmp_path / "best.safetensors", **card)
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert weights_seed(weights, read_card(weights)) == seed
    trained = open_trained(weights, digits=DigitChoice(videos=5))
    result = write_evaluation(trained, tmp_path / "out.json", bf16=False)
    record = json.loads((tmp_path / "out.json").read_text())
    assert (record["seed"], record["data"]["seed"], record["count"]) == (seed, 0, 5)
    assert record["loss"] == result.loss


@pytest.mark.parametrize(
    ("choice", "name"),
    [({"protocol": "3x2"}, "protocol"), ({"batch_size": 2}, "batch_size"),
     ({"skip_bad": True}, "skip_bad"), ({"path": "x"}, "path")],
)  # fmt: skip
def test_options_of_video_files_are_not_for_digits(choice, name, tmp_path):
    weights = digit_weights(tmp_path / "some.safetensors")
    with pytest.raises(ValueError, match=rf"--{name} is not for .* takes videos of digits"):
        open_trained(weights, clips=ClipChoice(**choice))


def test_options_of_digits_are_not_for_video_files(run, capsys):
    weights = run[0] / "best.safetensors"
    with pytest.raises(ValueError, match=r"--videos is not for .* takes video files"):
        open_trained(weights, digits=DigitChoice(videos=5))
    assert main(["explain", "any.mp4", f"--weights={weights}", "--num_digits=3"]) == 1
    assert "--num_digits is not for video files, such as any.mp4" in capsys.readouterr().err
