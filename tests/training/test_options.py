"""Options: what was written in an older spelling, loggers and callbacks by name."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from interlace.data.digits.datasets import video_options
from interlace.models.weights import read_card
from interlace.training import train
from interlace.training.options import ModelOptions, TrainerOptions
from interlace.training.renamed import upgraded
from interlace.training.tasks import options_for, read_options
from interlace.training.tasks.digit_options import DigitRecipeOptions

ROOT = Path(__file__).parents[2]
RECORDS = [
    record
    for path in sorted((ROOT / "reproduce/results").rglob("*.json"))
    if "options" in (record := json.loads(path.read_text()))
]
DATA = video_options("SyncMNIST")(
    digits="embedded", num_digits=2, classes=3, num_frames=2, canvas=40, frame=24,
    validation_size=8, test_size=8,
)  # fmt: skip
RECIPE = DigitRecipeOptions(videos=32, pretrain_frames=0, batch_size=8)


def run(folder, *, callbacks=(), named=(), logger="csv"):
    trainer = TrainerOptions(
        out=str(folder), precision="fp32", device="cpu", callbacks=list(named), logger=logger
    )
    model = ModelOptions("mean_lstm_small")
    return train(DATA, model=model, recipe=RECIPE, trainer=trainer, callbacks=callbacks)


def test_records_of_an_older_spelling_are_understood():
    assert len(RECORDS) > 20
    for record in RECORDS:
        now = upgraded(record["options"])
        kinds = options_for(now["data"]["name"])
        kinds["data"](**now["data"])
        recipe = {k: v for k, v in now["recipe"].items() if k != "size_after"}  # an old experiment
        kinds["recipe"](**recipe)
        assert recipe["warmup"] is None
        assert recipe["lr"] == record["options"]["recipe"]["lr"]  # all of 32 videos a step
        assert upgraded(now) == now


def test_old_options_mean_what_they_meant():
    digits = {"data": {"dataset": "MultiSyncMNIST", "classes": None, "canvas": 72}}
    digits["recipe"] = {"batch_size": 64, "lr": 0.004, "clip": 2.0, "patience": 3, "warmup": 7}
    assert upgraded(digits) == {
        "data": {"name": "MultiSyncMNIST", "canvas": 72},
        "recipe": {
            "batch_size": 64, "lr": 0.002, "max_grad_norm": 2.0, "plateau": 3, "warmup": 7,
        },
    }  # fmt: skip
    left_out = {"recipe": {"pretrain_frames": 600_000}}
    assert upgraded(left_out) == {"recipe": {"pretrain_frames": None}}
    for frames in (600_000, 0, None):  # of today: as it was said
        today = {"recipe": asdict(DigitRecipeOptions(pretrain_frames=frames))}
        assert upgraded(today) == today
    clips = {"data": {"path": "x", "labels": None}}
    clips["recipe"] = {"lr": 0.001, "batch_size": 8, "patience": 8, "warmup": 0.05, "clip": 5.0}
    assert upgraded(clips) == {
        "data": {"name": "clips", "path": "x", "labels": None},
        "recipe": {
            "lr": 0.001, "batch_size": 8, "patience": 8, "warmup": None, "max_grad_norm": 5.0,
        },
    }  # fmt: skip
    assert digits["recipe"]["clip"] == 2.0  # what is given stays


@pytest.mark.parametrize("path", sorted((ROOT / "weights").glob("*.safetensors")), ids=str)
def test_cards_of_an_older_spelling_name_their_videos(path):
    data = upgraded({"data": read_card(path)["data"]})["data"]
    options = video_options(data["name"])(**data)
    assert options.num_frames in (8, 10)


# --- Lightning's own ------------------------------------------------------------------------------


class Noted(Callback):
    """Counts steps."""

    steps = 0

    def on_train_batch_end(self, *_):
        type(self).steps += 1


def test_callbacks_are_the_user_s_own_by_name_or_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "my_callbacks.py").write_text(
        "from lightning.pytorch.callbacks import Callback\n"
        "class Stop(Callback):\n"
        "    def on_train_batch_end(self, trainer, *_):\n"
        "        trainer.should_stop = trainer.global_step == 2\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    run(tmp_path / "run", callbacks=[Noted()])
    assert Noted.steps == 4
    monkeypatch.setattr(Noted, "steps", 0)
    run("other", callbacks=[Noted()], named=["my_callbacks.Stop"])
    assert Noted.steps == 2
    assert torch.load("other/last.ckpt", weights_only=True)["global_step"] == 2


@pytest.mark.parametrize(
    ("logger", "written"),
    [("csv", {"csv"}), ("tensorboard", {"csv", "tensorboard"}), ("none", set())],
)
def test_a_logger_is_chosen_by_name(tmp_path, logger, written):
    run(tmp_path, logger=logger)
    assert {path.name for path in tmp_path.glob("logs/*")} == written


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_a_logger_that_is_not_there_says_how_to_get_it(tmp_path, logger, monkeypatch):
    named = {"wandb": "_WANDB_AVAILABLE", "mlflow": "_MLFLOW_AVAILABLE"}[logger]
    monkeypatch.setattr(f"lightning.pytorch.loggers.{logger}.{named}", False)
    with pytest.raises(ModuleNotFoundError, match=f"pip install {logger}"):
        run(tmp_path, logger=logger)


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ({"recipe": {"epoch": 4}}, "no option 'recipe.epoch'"),
        ({"data": {"path": "clips"}, "recipe": {"epoch": 4}}, "did you mean 'recipe.epochs'"),
        ({"recipe": {"clip": 1.0}}, "it is 'recipe.max_grad_norm' now"),
        ({"data": {"dataset": "SyncMNIST"}}, "it is 'data.name' now"),
    ],
)
def test_a_wrong_key_in_python_is_answered_as_on_the_command_line(stated, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_options(stated)
