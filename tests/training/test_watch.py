"""What a run says while it goes: a line now and then, where there is no terminal."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import interlace.training.watch
from interlace.data.digits.datasets import make_videos, video_options
from interlace.data.digits.images import load_digits
from interlace.models.registry import create_model
from interlace.models.weights import read_card
from interlace.training.lessons import Phase, Plan
from interlace.training.tasks.digit_options import DigitRecipeOptions
from interlace.training.tasks.digits import DigitTask
from interlace.training.watch import (
    BestWeights,
    Pace,
    ProgressBar,
    ProgressLines,
    StopWhenNoBetter,
)

STEPS = [10, 20, 70]  # frames of a step: 4 x 2, then 8 x 4
TOTAL = 10 * 8 + 90 * 32


@pytest.fixture(scope="module")
def plan():
    digits = load_digits("embedded", train=True)
    options = video_options("SyncMNIST")(classes=3, canvas=40, frame=16)
    short, videos = (
        make_videos(replace(options, num_frames=frames), digits, split="train") for frames in (2, 4)
    )
    return Plan(
        [Phase(short, 10, 4, pretrain=True), Phase(videos, 20, 8), Phase(videos, 70, 8)],
    )


def play(plan, *, first=0, last=100, seconds=1.0, monkeypatch):
    """Runs steps that take `seconds` each by a clock of our own."""
    now = [1000.0]
    monkeypatch.setattr(interlace.training.watch.time, "monotonic", lambda: now[0])
    trainer = SimpleNamespace(global_step=first, early_stopping_callback=None, should_stop=False)
    task = DigitTask(
        create_model("mean_lstm_small"), plan, DigitRecipeOptions(), pretrained=True, watched=None
    )
    module = SimpleNamespace(task=task, looked={})
    lines = ProgressLines()
    lines.on_train_start(trainer, module)
    for step in range(first + 1, last + 1):
        now[0] += seconds * (8 if step <= 10 else 32) / 32
        trainer.global_step = step
        trainer.callback_metrics = {
            "pretrain/exact" if step <= 10 else "train/accuracy": 0.5 if step <= 10 else 0.25
        }
        if step == 60:
            module.looked = {"validation/accuracy": 0.375}
        lines.on_train_batch_end(trainer, module)
    lines.on_train_end(trainer, module)


def test_a_log_has_a_line_now_and_then(plan, monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "interlace"):
        play(plan, monkeypatch=monkeypatch)
    lines = caplog.messages
    assert "pre-training, digits right 50.0%" in lines[0]
    assert 5 <= len(lines) <= 12  # 92 seconds, 100 steps
    assert any("lesson 1 of 1, accuracy 25.0%" in line for line in lines)
    assert lines[-1] == (
        "100% of the run, 0:00:00 left: training, accuracy 25.0%, validation 37.5%"
    )


def test_the_best_weights_are_right_most_often_and_among_these_the_surest(tmp_path):
    model = torch.nn.Linear(1, 1)
    looks = [(0.5, 2.0), (0.75, 1.0), (0.75, 0.5), (0.75, 0.7), (0.5, 0.1), (0.75, 0.4)]
    best, kept = BestWeights(tmp_path / "best.safetensors", {}), []
    for step, (accuracy, loss) in enumerate(looks):
        again = BestWeights(best.path, {})
        again.load_state_dict(best.state_dict() if step else {"best": (-1.0, 0.0)})
        best, looked = again, {"validation/accuracy": accuracy, "validation/loss": loss}
        trainer = SimpleNamespace(is_global_zero=True, global_step=step)
        best.on_validation_end(trainer, SimpleNamespace(looked=looked, model=model))
        kept.append(read_card(best.path)["step"])
    assert kept == [0, 1, 2, 2, 2, 5]


def test_a_terminal_shows_stage_time_left_and_accuracy(plan, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(interlace.training.watch.time, "monotonic", lambda: now[0])
    task = DigitTask(
        create_model("mean_lstm_small"), plan, DigitRecipeOptions(), pretrained=True, watched=None
    )
    seen = {"train/accuracy": 0.25, "validation/accuracy": 0.375, "pretrain/exact": 0.5}
    trainer = SimpleNamespace(
        global_step=10, callback_metrics=seen, early_stopping_callback=None, should_stop=False
    )
    bar, module = ProgressBar(), SimpleNamespace(task=task)
    bar._pace = Pace(task, 10)
    now[0], trainer.global_step = 1045.0, 55  # a second a step
    assert bar.get_metrics(trainer, module) == {
        "training": "51%", "left": "0:00:45", "accuracy": "25.0%", "validation": "37.5%",
    }  # fmt: skip
    trainer.global_step = 5
    assert bar.get_metrics(trainer, module)["digits right"] == "50.0%"


def test_the_time_left_is_that_of_the_whole_run(plan, monkeypatch, caplog):
    """32 frames a second throughout, so what is left is known at every line."""
    with caplog.at_level(logging.INFO, "interlace"):
        play(plan, monkeypatch=monkeypatch)
    found = 0
    for line in caplog.messages[1:]:
        share, left = line.split("% of the run, ")
        minutes, seconds = (int(part) for part in left.split(" ")[0].split(":")[1:])
        expected = TOTAL / 32 * (1 - int(share) / 100)
        assert minutes * 60 + seconds == pytest.approx(expected, abs=1.5)
        found += 1
    assert found >= 4


def test_lines_get_rarer_in_long_runs(plan, monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "interlace"):
        play(plan, monkeypatch=monkeypatch, seconds=600.0)
    assert len(caplog.messages) < 80


# --- when a run may stop ------------------------------------------------------------------------


class TenLooks:
    """A hundred steps of a frame each, a look after every tenth."""

    steps, patience = 100, 3

    def boundaries(self):
        return list(range(10, 101, 10))

    def frames(self, step):
        return self.steps if step is None else step


@pytest.mark.parametrize(
    ("step", "waited", "expected"),
    [
        (0, 0, 30),  # the first three looks
        (25, 2, 30),
        (25, 0, 50),
        (30, 1, 40),  # the look at 30 is still to come
        (75, 0, None),  # 80, 90, and 100 is the end
        (85, 2, 90),
        (95, 2, None),
    ],
)
def test_a_run_may_stop_when_no_look_that_is_left_is_better(step, waited, expected):
    stop = StopWhenNoBetter(TenLooks())
    stop.wait_count = waited
    assert stop.earliest(step) == expected


def test_the_time_to_where_it_may_stop_is_told(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(interlace.training.watch.time, "monotonic", lambda: now[0])
    pace = Pace(TenLooks(), 0)
    now[0] = 40.0  # two seconds a step
    assert pace.at(20, 50) == (0.2, "0:02:40", " (may stop in 0:01:00)")
    assert pace.at(20) == (0.2, "0:02:40", "")


def test_a_run_that_became_longer_is_waited_for_anew():
    stopped = StopWhenNoBetter(TenLooks())
    stopped.wait_count, stopped.stopped_epoch, stopped.best_score = 3, 7, torch.tensor(0.5)
    same, longer = StopWhenNoBetter(TenLooks()), StopWhenNoBetter(TenLooks())
    longer.task.steps, longer.patience = 200, 8
    for other in (same, longer):
        other.load_state_dict(stopped.state_dict())
        assert (other.stopped_epoch, float(other.best_score)) == (0, 0.5)
    assert (same.wait_count, same.patience) == (3, 3)
    assert (longer.wait_count, longer.patience) == (0, 8)
