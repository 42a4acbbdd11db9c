"""Training: runs that are killed, resumed, refused, moved to another task; and that they learn."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import interlace.training.loop
import interlace.training.tasks.digits
from graphs import draw
from interlace.commands.cli import main
from interlace.data.digits.datasets import batches, load_split, make_videos, video_options
from interlace.data.digits.images import load_digits
from interlace.evaluation.evaluate import evaluate
from interlace.models.registry import create_model, open_weights
from interlace.models.weights import read_card, save_weights
from interlace.reports.run import read_curves
from interlace.training import train
from interlace.training.lessons import Plan, make_plan
from interlace.training.module import Training
from interlace.training.options import ModelOptions, Options, TrainerOptions
from interlace.training.tasks.digit_options import DigitRecipeOptions
from interlace.training.tasks.digits import DigitTask, loss_of_frames, stated
from limits import full_disk
from tolerances import FLOAT32

MODEL = ModelOptions("mean_lstm_small")
DATA = video_options("SyncMNIST")(
    digits="embedded", num_digits=3, classes=5, num_frames=3, canvas=44, frame=24, no_pair=0.3,
    validation_size=12, test_size=20,
)  # fmt: skip
RECIPE = DigitRecipeOptions(
    videos=320, pretrain_frames=160, pretrain_batch=16, batch_size=8, lr=4e-3, warmup=5
)  # 1e-3 for 8 videos a step
STEPS = 10 + 40


def trainer_of(folder, **others):
    options = {"precision": "fp32", "device": "cpu", "save_every": 5}
    options |= {"validate_every": 80, "log_every": 5}
    return TrainerOptions(out=str(folder), **(options | others))


def run(folder, *, model=MODEL, data=DATA, recipe=RECIPE, **trainer):
    return train(data, model=model, recipe=recipe, trainer=trainer_of(folder, **trainer))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert run(folder) == folder / "best.safetensors"
    return folder


def checkpoint_of(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)


def assert_same_weights(folder, other):
    """Bit by bit: the weights at the end, the best weights, and all that the optimiser knows."""
    one, two = checkpoint_of(folder), checkpoint_of(other)
    assert one["global_step"] == two["global_step"]
    for key, value in one["state_dict"].items():
        assert torch.equal(value, two["state_dict"][key]), key
    moments, others = (c["optimizer_states"][0]["state"] for c in (one, two))
    for number, values in moments.items():
        for key, value in values.items():
            assert torch.equal(value, others[number][key]), (number, key)
    assert one["lr_schedulers"] == two["lr_schedulers"]
    best, other_best = (load_file(f / "best.safetensors") for f in (folder, other))
    assert all(torch.equal(value, other_best[key]) for key, value in best.items())
    assert read_card(folder / "best.safetensors") == read_card(other / "best.safetensors")


def command(folder):
    """`interlace train` with the options of `run`, as a user types it."""
    parts = {"model": MODEL, "data": DATA, "recipe": RECIPE, "trainer": trainer_of(folder)}
    options = [
        f"--{part}.{key}={value}"
        for part, options in parts.items()
        for key, value in asdict(options).items()
        if value != getattr(type(options)(), key)
    ]
    return [sys.executable, "-m", "interlace", "train", *options]


def start_and_kill(folder, when):
    """Starts a run and kills it, as the system would, as soon as `when(folder)`."""
    with (folder.parent / "output.txt").open("w") as output:
        process = subprocess.Popen(
            command(folder), stdout=output, stderr=output, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        deadline = time.monotonic() + 600  # for machines that are busy with other work
        while not when(folder) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    assert code == -signal.SIGKILL, (folder.parent / "output.txt").read_text()
    assert not (folder / "run.json").exists()


def test_a_run_killed_again_and_again_ends_like_an_unbroken_one(finished, tmp_path):
    folder = tmp_path / "run"
    start_and_kill(folder, lambda f: (f / "config.json").exists())  # before the first step
    assert not (folder / "last.ckpt").exists()

    start_and_kill(folder, lambda f: (f / "last.ckpt").exists())
    step = checkpoint_of(folder)["global_step"]
    assert 5 <= step < STEPS

    # and in the middle of writing the next one
    content = (folder / "last.ckpt").read_bytes()
    (folder / ".last.ckpt.partial").write_bytes(content[: len(content) // 2])
    (folder / ".best.safetensors.partial").write_bytes(content[:1000])
    (folder / ".run.json.partial").write_text('{"opt')

    done = subprocess.run(command(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"goes on at step {step} of {STEPS}" in done.stderr
    assert_same_weights(folder, finished)
    assert not list(folder.glob("*.partial"))
    ours = r"(goes on at step .*| *\d+% of the run, .*)"  # nobody else says anything
    assert all(re.fullmatch(ours, line) for line in done.stderr.splitlines()), done.stderr
    assert (folder / "report.html").exists()
    assert "held-out accuracy" in done.stdout


def test_a_run_that_stops_for_lack_of_data_goes_on_with_the_same_data(
    finished, tmp_path, monkeypatch
):
    """Stops in every phase: in pre-training, after it, between checkpoints, before the end."""
    folder = tmp_path / "run"
    original = DigitTask.batch
    for stop in (3, 7, 12, 34, STEPS - 1):
        asked = []

        def batch(task, step, device, stop=stop, asked=asked):
            asked.append(step)
            if step == stop:
                raise OSError("the digits are gone")
            return original(task, step, device)

        monkeypatch.setattr(DigitTask, "batch", batch)
        saved = checkpoint_of(folder)["global_step"] if (folder / "last.ckpt").exists() else 0
        with pytest.raises(OSError, match="the digits are gone"):
            run(folder)
        assert asked == list(range(saved, stop + 1))
    monkeypatch.setattr(DigitTask, "batch", original)
    run(folder)
    assert_same_weights(folder, finished)
    names = ("train/accuracy", "validation/accuracy", "pretrain/exact")
    curves = read_curves(folder / "logs/csv", names)  # the parts joined
    assert curves == read_curves(finished / "logs/csv", names)
    assert curves["train/accuracy"][0] == [15, 20, 25, 30, 35, 40, 45, 50]
    assert curves["pretrain/exact"][0] == [5, 10]
    assert curves["validation/accuracy"][0] == [20, 30, 40, 50]


def test_the_time_of_the_cpu_adds_up_over_the_parts_of_a_run(tmp_path, monkeypatch):
    """Whatever was spent in between counts for nothing, and neither does a part that was lost."""
    clock, spent, original = [100.0], 7.0, DigitTask.batch
    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    recipe = replace(RECIPE, pretrain_frames=0, videos=80)  # 10 steps

    def batch(task, step, device):
        if step == stop:
            raise KeyboardInterrupt
        clock[0] += spent
        return original(task, step, device)

    monkeypatch.setattr(DigitTask, "batch", batch)
    stop = 8  # the last checkpoint is after 5 steps
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, recipe=recipe, validate_every=24)
    assert (
        checkpoint_of(tmp_path)["cpu_seconds"] == (checkpoint_of(tmp_path)["global_step"]) * spent
    )
    step, clock[0], stop = checkpoint_of(tmp_path)["global_step"], 0.5, None
    run(tmp_path, recipe=recipe, validate_every=24)
    assert 5 <= step < 8
    assert json.loads((tmp_path / "run.json").read_text())["cpu_seconds"] == 10 * spent
    steps, seconds = read_curves(tmp_path / "logs/csv", ["cpu_seconds"])["cpu_seconds"]
    assert steps == [3, 6, 9, 10]
    assert seconds == [step * spent for step in steps]


def test_the_checkpoint_is_plain_tensors_and_numbers(finished):
    checkpoint = checkpoint_of(finished)  # weights_only: would refuse anything to execute
    assert checkpoint["global_step"] == STEPS


def test_a_finished_run_is_not_trained_again(finished, monkeypatch, capsys):
    before = (finished / "last.ckpt").stat().st_mtime_ns
    monkeypatch.setattr(interlace.training.loop, "_fit", lambda *_: pytest.fail("trains"))
    assert main(command(finished)[3:]) == 0
    said = capsys.readouterr()
    assert "is finished: to train again, choose another trainer.out" in said.err
    assert "held-out accuracy" in said.out
    assert (finished / "last.ckpt").stat().st_mtime_ns == before


def test_a_run_leaves_a_record(finished):
    record = json.loads((finished / "run.json").read_text())
    assert record["options"]["data"] == asdict(DATA)
    assert record["options"]["recipe"]["videos"] == RECIPE.videos
    assert record["seconds"] > 0
    assert record["cpu_seconds"] > 0
    assert record["environment"]["torch"] == torch.__version__
    card = read_card(finished / "best.safetensors")
    assert card["model"] == MODEL.name
    assert card["data"] == asdict(DATA)
    assert card["num_classes"] == 11
    assert 0 <= card["validation"] <= 1


def test_best_weights_are_those_of_the_best_validation(finished):
    model, card = open_weights(finished / "best.safetensors")
    videos = make_videos(DATA, load_digits("embedded", train=True), split="validation")
    result = evaluate(model, batches(videos, 100, "cpu"), 11)
    assert result.top1 == card["validation"]


def test_another_run_in_the_same_folder_is_refused(finished):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    for others, words in [
        ({"recipe": replace(RECIPE, lr=0.5)}, r"recipe\.lr=0\.004, not 0\.5"),
        ({"data": replace(DATA, seed=7)}, r"data\.seed=0, not 7"),
        (
            {"model": ModelOptions("conv_lstm_small")},
            r"model\.name=mean_lstm_small, not conv_lstm_small",
        ),
        ({"precision": "bf16"}, r"trainer\.precision=fp32, not bf16"),
    ]:
        with pytest.raises(ValueError, match=rf"holds a run with {words}: choose another trainer"):
            run(finished, **others)
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}


def test_what_changes_no_weight_may_change(finished):
    assert run(finished, save_every=7, log_every=3) == finished / "best.safetensors"


def test_a_run_may_become_longer(tmp_path, caplog):
    """What was learnt stays; looks go on where they were counted from."""
    folder, recipe = tmp_path / "run", replace(RECIPE, pretrain_frames=32, videos=200)
    run(folder, recipe=recipe)
    before = read_curves(folder / "logs/csv", ["validation/accuracy"])["validation/accuracy"]
    assert before[0] == [12, 22, 27]  # each 10 steps after 2 of pre-training, and the last
    with caplog.at_level("INFO"):
        run(folder, recipe=replace(recipe, videos=360))
    assert "recipe.videos is 360 instead of 200: from here on" in caplog.text
    assert "goes on at step 27 of 47" in caplog.text
    after = read_curves(folder / "logs/csv", ["validation/accuracy"])["validation/accuracy"]
    assert after[0] == [12, 22, 27, 32, 42, 47]
    assert after[1][:3] == before[1]
    record = json.loads((folder / "run.json").read_text())
    assert record["options"]["recipe"]["videos"] == 360
    assert record["shorter"] == [{"recipe.videos": 200}]  # which made it what it is, too


def test_a_checkpoint_of_an_older_kind_is_refused(tmp_path):
    run(tmp_path, recipe=replace(RECIPE, pretrain_frames=0, videos=16))
    checkpoint = checkpoint_of(tmp_path)
    del checkpoint["began"]
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="is of an older interlace"):
        run(tmp_path, recipe=replace(RECIPE, pretrain_frames=0, videos=32))


def test_a_start_that_failed_does_not_take_the_folder(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(FileNotFoundError, match="no such folder"):
        run(folder, data=replace(DATA, digits=str(tmp_path / "nowhere")))
    run(folder, recipe=replace(RECIPE, videos=8, pretrain_frames=0))


@pytest.mark.parametrize("place", ["file/run", "file"])
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(
        interlace.training.tasks.digits, "load_digits", lambda *_, **__: pytest.fail("works")
    )
    with pytest.raises(OSError, match=r"cannot write to .*: choose another trainer\.out"):
        run(tmp_path / place)


@pytest.mark.parametrize(
    ("recipe", "trainer", "words"),
    [
        ({"batch_size": -3}, {}, "recipe.batch_size must be at least 1, got -3"),
        ({"videos": 7}, {}, "recipe.videos must be at least 8, one batch, got 7"),
        ({"pretrain_frames": 15}, {}, "recipe.pretrain_frames must be at least 16, one batch"),
        ({"pretrain_batch": 1}, {}, "recipe.pretrain_batch must be at least 2"),
        ({"lr": 0.0}, {}, "recipe.lr must be above 0, got 0.0"),
        ({"lr": float("nan")}, {}, "recipe.lr must be above 0, got nan"),
        ({}, {"validate_every": 0}, "trainer.validate_every must be at least 1, got 0"),
        ({}, {"save_every": -1}, "trainer.save_every must be at least 1, got -1"),
        ({"warmup": -1}, {}, "recipe.warmup must be at least 0, got -1"),
        ({}, {"device": "gpu"}, "trainer.device=gpu, and there is none"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(recipe, trainer, words, tmp_path):
    with pytest.raises(ValueError, match=re.escape(words)):
        run(tmp_path / "run", recipe=replace(RECIPE, **recipe), **trainer)
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_an_unknown_model_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'mean_lstm_small'"):
        run(tmp_path / "run", model=ModelOptions("mean_lstm_smal"))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_keeps_the_last_checkpoint(finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    save = interlace.training.loop.L.Trainer.save_checkpoint

    def save_on_a_full_disk(trainer, *args, **others):
        if trainer.global_step < 10:
            return save(trainer, *args, **others)
        with full_disk():
            return save(trainer, *args, **others)

    monkeypatch.setattr(interlace.training.loop.L.Trainer, "save_checkpoint", save_on_a_full_disk)
    with pytest.raises(OSError, match=r"cannot write .*last\.ckpt .*make room, .*; the same"):
        run(folder)
    assert checkpoint_of(folder)["global_step"] == 5
    assert not list(folder.glob("*.partial"))
    monkeypatch.setattr(interlace.training.loop.L.Trainer, "save_checkpoint", save)
    run(folder)
    assert_same_weights(folder, finished)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    wild = replace(RECIPE, pretrain_frames=0, optimizer="sgd", lr=1e30, max_grad_norm=1e30)
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) at step \d+: lower recipe\.lr"):
        run(tmp_path / "run", recipe=wild)


def test_a_run_on_three_digits_starts_one_on_five(finished, tmp_path):
    weights = finished / "best.safetensors"
    model = ModelOptions(MODEL.name, weights=str(weights))
    # so slow that what comes out is what went in
    recipe = replace(RECIPE, pretrain_frames=None, videos=8, lr=1e-12, weight_decay=0.0)
    run(tmp_path / "run", model=model, data=replace(DATA, num_digits=5), recipe=recipe)
    checkpoint = checkpoint_of(tmp_path / "run")
    assert checkpoint["global_step"] == 1  # no pre-training
    start = load_file(weights)
    for key, value in load_file(tmp_path / "run" / "best.safetensors").items():
        torch.testing.assert_close(value, start[key], rtol=0, atol=1e-9)


def test_a_backbone_that_was_trained_before_starts_other_models(finished, tmp_path):
    model = ModelOptions("rstg_time_only_small", backbone=str(finished / "best.safetensors"))
    recipe = replace(RECIPE, pretrain_frames=None, videos=16, backbone_lr=0.0)  # stays as it is
    run(tmp_path / "run", model=model, recipe=recipe)
    assert checkpoint_of(tmp_path / "run")["global_step"] == 2  # no pre-training
    start = load_file(finished / "best.safetensors")
    end = load_file(tmp_path / "run" / "best.safetensors")
    names = [name for name in end if name.startswith("backbone.")]
    assert len(names) > 5
    assert all(torch.equal(end[name], start[name]) for name in names)
    torch.manual_seed(0)
    fresh = create_model(model.name, num_classes=11).state_dict()
    assert not torch.equal(end["head.weight"], fresh["head.weight"])
    other = ModelOptions("i3d_small", backbone=model.backbone)
    with pytest.raises(ValueError, match="weights of mean_lstm_small, lacks 65 of the 78 tensors"):
        run(tmp_path / "other", model=other)


def test_weights_bring_their_own_backbone(finished, tmp_path):
    """A config may name a backbone: weights given beside it come first."""
    own, _ = open_weights(finished / "best.safetensors")
    other = tmp_path / "other.safetensors"
    torch.manual_seed(7)
    fresh = create_model(MODEL.name, num_classes=11)
    save_weights(fresh, other, card={"model": MODEL.name, "num_classes": 11})
    model = replace(MODEL, weights=str(finished / "best.safetensors"), backbone=str(other))
    run(
        tmp_path / "run",
        model=model,
        recipe=replace(RECIPE, pretrain_frames=None, videos=16, backbone_lr=0.0),
    )
    end, start = load_file(tmp_path / "run" / "best.safetensors"), own.state_dict()
    names = [name for name in end if name.startswith("backbone.")]
    assert all(torch.equal(end[name], start[name]) for name in names)


@pytest.mark.parametrize("start", [{}, {"backbone": "a file"}, {"weights": "a file"}])
def test_how_long_a_pre_training_is_that_nobody_speaks_of(start):
    """As long as RSTG has videos, and none from a backbone on; what is said is as it is said."""
    for said, frames in [(None, 0 if start else 600_000), (0, 0), (32, 32), (600_000, 600_000)]:
        recipe = replace(RECIPE, pretrain_frames=said)
        options = Options(ModelOptions(MODEL.name, **start), DATA, recipe, TrainerOptions())
        assert stated(options) == replace(RECIPE, pretrain_frames=frames)


@pytest.mark.parametrize("part", ["weights", "backbone"])
def test_a_backbone_that_is_given_may_learn_more_frames(finished, tmp_path, part):
    """If one says so; and then it moves."""
    model = ModelOptions(MODEL.name, **{part: str(finished / "best.safetensors")})
    start, moved = load_file(finished / "best.safetensors"), []
    for frames in (None, 0, 32):
        folder = tmp_path / str(frames)
        run(
            folder,
            model=model,
            recipe=replace(RECIPE, pretrain_frames=frames, videos=8, backbone_lr=0.0),
        )
        assert checkpoint_of(folder)["global_step"] == (frames or 0) // 16 + 1
        end = load_file(folder / "best.safetensors")
        moved.append(not all(torch.equal(end[k], start[k]) for k in end if "backbone" in k))
    assert moved == [False, False, True]


def test_a_run_may_say_what_is_the_default_and_go_on(tmp_path, monkeypatch):
    """Of pre-training: 600,000 frames, said or left out."""
    monkeypatch.setattr(interlace.training.tasks.digits, "PRETRAIN_FRAMES", 32)
    monkeypatch.setattr(DigitTask, "batch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for said in (None, 600_000):
        folder, recipe = tmp_path / str(said), replace(RECIPE, pretrain_frames=said)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                run(folder, recipe=recipe)
            (folder / "best.safetensors").touch()  # as if it had begun
    with pytest.raises(ValueError, match=r"recipe\.pretrain_frames=600000, not None: choose"):
        run(folder, recipe=replace(RECIPE, pretrain_frames=None))


def test_weights_are_needed_for_the_start_only(finished, tmp_path, monkeypatch):
    weights = save_weights(
        open_weights(finished / "best.safetensors")[0],
        tmp_path / "start.safetensors",
        card={"model": MODEL.name, "num_classes": 11},
    )
    model = ModelOptions(MODEL.name, weights=str(weights))
    original = DigitTask.batch

    def stop(task, step, device):
        if step == 6:
            raise KeyboardInterrupt
        return original(task, step, device)

    recipe = replace(RECIPE, pretrain_frames=None, videos=80)
    monkeypatch.setattr(DigitTask, "batch", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", model=model, recipe=recipe)
    monkeypatch.setattr(DigitTask, "batch", original)
    weights.unlink()
    run(tmp_path / "run", model=model, recipe=recipe)
    assert checkpoint_of(tmp_path / "run")["global_step"] == 10


# --- the learning rate --------------------------------------------------------------------------


def module_of(recipe):
    plan = make_plan(DATA, recipe, load_digits("embedded", train=True))
    model = create_model(MODEL.name, num_classes=11)
    return Training(DigitTask(model, plan, recipe, pretrained=True, watched=None), seed=0)


def rates_of(recipe, *, steps):
    """The learning rate of (others, backbone) at each step of a run."""
    module = module_of(recipe)
    plan = module.task.plan
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return rates, plan


def test_adamw_warms_up_and_comes_down_twice():
    recipe = replace(
        RECIPE, videos=8 * 100, pretrain_frames=16 * 20, pretrain_lr=4e-3, lr=4e-3, warmup=10,
        backbone_lr=0.25, region_lr=0.5,
    )  # fmt: skip
    rates, plan = rates_of(recipe, steps=120)
    assert (plan.pretrain_steps, plan.steps) == (20, 120)
    # pre-training: 3 steps up, the same for all, down to a hundredth
    assert all(head == pytest.approx(backbone) == regions for head, backbone, regions in rates[:20])
    assert rates[0][0] == pytest.approx(4e-3 / 3)
    assert rates[2][0] == pytest.approx(4e-3, rel=0.03)
    assert rates[10][0] == pytest.approx(4e-3 * 0.505)  # half-way down a cosine to 0.01
    assert rates[19][0] < 4e-3 * 0.02
    # videos: 10 steps up, the backbone a quarter as fast, what predicts regions half as fast
    parts = (1, 0.25, 0.5)
    assert rates[20] == pytest.approx([1e-3 / 10 * part for part in parts])
    assert rates[29] == pytest.approx([1e-3 * part for part in parts], rel=0.03)
    assert rates[70] == pytest.approx([1e-3 * 0.505 * part for part in parts])
    assert rates[119] == pytest.approx([1e-5 * part for part in parts], rel=0.05)
    down = [head for head, *_ in rates[30:]]
    assert down == sorted(down, reverse=True)


def test_adamw_s_rate_in_a_run_is_that_of_its_step(finished):
    groups = checkpoint_of(finished)["optimizer_states"][0]["param_groups"]
    assert groups[0]["lr"] == pytest.approx(1e-3 * 0.01)
    assert groups[1]["lr"] == pytest.approx(1e-3 * RECIPE.backbone_lr * 0.01)


def test_sgd_slows_down_tenfold_where_validation_rests_and_remembers_it(tmp_path, monkeypatch):
    accuracy = iter([0.2, 0.5, 0.5, 0.4, 0.6, 0.3, 0.1, 0.1])
    look = DigitTask.look

    def look_by_table(task, batch):
        """So many of the ten videos are right."""
        (_, shown), right = look(task, batch), round(10 * next(accuracy))
        said = torch.where(torch.arange(10) < right, batch.label, (batch.label + 1) % 11)
        return torch.nn.functional.one_hot(said, 11).float().log_softmax(1), shown

    monkeypatch.setattr(DigitTask, "look", look_by_table)
    data = replace(DATA, validation_size=10)
    recipe = replace(
        RECIPE, optimizer="sgd", lr=4e-3, plateau=1, videos=64, pretrain_frames=0
    )  # 8 steps, each followed by a look
    original, rates = DigitTask.batch, []

    def batch(task, step, device, stop=5):
        if step == stop:
            raise KeyboardInterrupt
        return original(task, step, device)

    def lr(folder):
        return [g["lr"] for g in checkpoint_of(folder)["optimizer_states"][0]["param_groups"]]

    folder = tmp_path / "run"
    monkeypatch.setattr(DigitTask, "batch", batch)
    with pytest.raises(KeyboardInterrupt):
        run(folder, data=data, recipe=recipe, validate_every=8, save_every=1)
    rates.append(lr(folder))  # 0.2 0.5 | 0.5 0.4: two looks without gain, more than patience
    monkeypatch.setattr(DigitTask, "batch", original)
    run(folder, data=data, recipe=recipe, validate_every=8, save_every=1)
    rates.append(lr(folder))  # 0.6 | 0.3 0.1: not above what the first part had seen
    assert rates[0] == pytest.approx([1e-4] * 3)
    assert rates[1] == pytest.approx([1e-5] * 3)
    assert checkpoint_of(folder)["optimizer_states"][0]["param_groups"][0]["nesterov"]


def test_a_model_that_sees_no_single_frames_is_not_pre_trained(tmp_path):
    recipe = replace(RECIPE, videos=8)
    run(tmp_path / "run", model=ModelOptions("i3d_small"), recipe=recipe)
    assert checkpoint_of(tmp_path / "run")["global_step"] == 1


def test_pre_training_moves_the_backbone_alone_and_videos_move_all():
    torch.manual_seed(0)
    module = module_of(replace(RECIPE, pretrain_frames=32, videos=8))
    plan = module.task.plan
    module.task.loss(plan.phases[0].batch(0, 0, "cpu"), 0)[0].backward()
    moved = {name.split(".")[1] for name, p in module.named_parameters() if p.grad is not None}
    assert moved & {"backbone", "body", "head"} == {"backbone"}
    assert module.model.backbone.training
    module.zero_grad()
    module.task.loss(plan.phases[1].batch(0, 0, "cpu"), plan.pretrain_steps)[0].backward()
    assert all(p.grad is not None for p in module.model.parameters())
    assert not module.model.backbone.training  # its batch norms stay as pre-training left them
    assert module.model.body.training


def test_the_loss_of_frames_counts_later_ones_more():
    """The second of two frames twice as much as the first; of one frame, plain cross entropy."""
    logits = torch.tensor([[[0.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [3.0, 0.0]]])
    label = torch.tensor([1, 0])

    def cost(wrong_minus_right):
        return math.log(1 + math.exp(wrong_minus_right))

    expected = (cost(0) + 2 * cost(-2) + cost(-1) + 2 * cost(-3)) / 3 / 2
    assert float(loss_of_frames(logits, label)) == pytest.approx(expected)
    plain = torch.nn.functional.cross_entropy(logits[:, 1], label)
    assert float(loss_of_frames(logits[:, 1:], label)) == pytest.approx(float(plain))


def test_a_loss_of_every_frame():
    losses = []
    for every_frame in (False, True):
        torch.manual_seed(0)
        module = module_of(replace(RECIPE, pretrain_frames=0, every_frame=every_frame))
        module.model.eval()
        batch = module.task.batch(0, "cpu")
        losses.append(module.task.loss(batch, 0))
        logits = module.model(batch.video, every_frame=True)
        picked = logits if every_frame else logits[:, -1:]
        torch.testing.assert_close(losses[-1][0], loss_of_frames(picked, batch.label))
    (last, shown), (every, same) = losses
    assert shown == same  # what is right is told of the last frame
    assert (last - every).abs() > 1e-4


@pytest.mark.parametrize("backbone_lr", [0.0, 0.3])
def test_a_backbone_of_no_rate_is_frozen_after_pre_training(backbone_lr):
    torch.manual_seed(0)
    module = module_of(replace(RECIPE, pretrain_frames=32, videos=8, backbone_lr=backbone_lr))
    plan = module.task.plan
    module.task.loss(plan.phases[0].batch(0, 0, "cpu"), 0)[0].backward()
    assert all(p.grad is not None for p in module.model.network.parameters())
    module.zero_grad()
    before = {k: v.clone() for k, v in module.model.network.state_dict().items()}
    module.task.loss(plan.phases[1].batch(0, 0, "cpu"), plan.pretrain_steps)[0].backward()
    grads = [p.grad is not None for p in module.model.network.parameters()]
    assert all(grads) if backbone_lr else not any(grads)
    assert all(p.grad is not None for p in module.model.body.parameters())
    for key, value in module.model.network.state_dict().items():
        assert torch.equal(value, before[key])  # nor do its batch norms move


def test_a_frozen_backbone_sees_as_exactly_as_the_rest_computes():
    """In half precision only where the run is."""
    video = draw(2, 3, 1, 24, 24).sigmoid().float()
    for half in (False, True):
        module = module_of(replace(RECIPE, pretrain_frames=0, backbone_lr=0.0))
        batch = module.task.batch(0, "cpu")
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, _ = module.task.loss(batch, 0)
            frozen = module.task.frozen
            module.task.loss(batch, 0)
        assert module.task.frozen is frozen  # made once
        assert frozen(video).dtype == (torch.bfloat16 if half else torch.float32)
        assert not any(name.startswith("task") for name in module.state_dict())
        if not half:
            module.model.backbone.eval()
            plain = torch.nn.functional.cross_entropy(module.model(batch.video), batch.label)
            torch.testing.assert_close(loss, plain, **FLOAT32)


@pytest.mark.parametrize(("pretrain_frames", "backbone_lr"), [(0, 0.0), (0, 0.3), (32, 0.3)])
def test_several_processes_know_of_weights_without_a_gradient(pretrain_frames, backbone_lr):
    """Else they wait for it."""
    module = module_of(replace(RECIPE, pretrain_frames=pretrain_frames, backbone_lr=backbone_lr))
    without = bool(pretrain_frames) or backbone_lr == 0
    assert ("find_unused" in module.task.strategy) is without


@pytest.mark.parametrize("jittered", [False, True])
def test_pre_training_on_presence_teaches_the_maps_of_the_graph(jittered):
    """The very maps that its nodes read; and frames are a little turned if one wants that."""
    torch.manual_seed(0)
    recipe = replace(
        RECIPE, pretrain_frames=32, videos=8, pretrain_task="presence", pretrain_jitter=jittered
    )
    data = replace(DATA, classes=10)
    plan = make_plan(data, recipe, load_digits("embedded", train=True))
    model = create_model("rstg_content", num_classes=11)
    task = DigitTask(model, plan, recipe, pretrained=True, watched=None)
    assert task.heads.maps is model.body.regions.maps
    batch, losses = plan.phases[0].batch(0, 0, "cpu"), []
    for _ in range(2):
        torch.manual_seed(len(losses))
        loss, _ = task.loss(batch, 0)
        losses.append(float(loss.detach()))
    loss.backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {name.split(".")[0] for name in moved} == {"backbone", "body"}
    assert {name for name in moved if name.startswith("body.")} == {
        "body.regions.maps.weight", "body.regions.maps.bias",
    }  # fmt: skip
    assert (losses[0] != losses[1]) is jittered


def test_maps_for_other_classes_are_refused_by_name():
    plan = make_plan(
        DATA,
        replace(RECIPE, pretrain_frames=32, videos=8, pretrain_task="presence"),
        load_digits("embedded", train=True),
    )
    model = create_model("rstg_objects", num_classes=11)
    recipe = replace(RECIPE, pretrain_task="presence")
    with pytest.raises(ValueError, match=r"10 kinds of digits, and there are 5: .*classes=10"):
        DigitTask(model, plan, recipe, pretrained=True, watched=None)


def test_a_small_task_is_learnt(tmp_path):
    """Which two of three classes move? Chance is 1/3; unseen digits, unseen videos."""
    data = replace(
        DATA, num_digits=2, classes=3, num_frames=2, canvas=80, frame=40, no_pair=0.0,
        validation_size=100, test_size=300,
    )  # fmt: skip
    recipe = DigitRecipeOptions(
        videos=3200, pretrain_frames=12_800, pretrain_batch=64, batch_size=32, lr=3e-3, warmup=10
    )
    weights = run(tmp_path / "run", data=data, recipe=recipe, validate_every=1600)
    model, card = open_weights(weights)
    result = evaluate(model, batches(load_split(data, "test"), 100, "cpu"), card["num_classes"])
    assert result.count == 300
    assert result.top1 > 0.6


def test_a_plan_knows_its_phases_for_the_line_that_moves():
    from interlace.training.watch import _clock

    recipe = replace(RECIPE, lessons=[])
    plan = make_plan(DATA, recipe, load_digits("embedded", train=True))

    def names(phases):
        return [stretch.name for stretch in Plan(phases).stretches()]

    assert names(plan.phases) == ["pre-training", "training"]
    assert names(plan.phases[1:]) == ["training"]
    assert names([*plan.phases, plan.phases[1], plan.phases[1]]) == [
        "pre-training",
        "lesson 1 of 2",
        "lesson 2 of 2",
        "training",
    ]
    task = module_of(recipe).task
    assert [task.frames(step) for step in (0, 4, 12)] == [0, 4 * 16, 10 * 16 + 2 * 8 * 3]
    assert task.frames(None) == task.frames(STEPS) == 10 * 16 + 40 * 8 * 3
    assert [task.stretch(step).name for step in (9, 10, STEPS)] == [
        "pre-training", "training", "training",
    ]  # fmt: skip
    assert [_clock(s) for s in (None, 0.4, 61, 3600 * 11 + 59)] == [
        "-:--:--", "0:00:00", "0:01:01", "11:00:59",
    ]  # fmt: skip


def test_importing_changes_no_logging_and_no_warnings():
    program = (
        "import logging, warnings; before = list(warnings.filters)\n"
        "import lightning; level = logging.getLogger('lightning.pytorch').level\n"
        "import interlace.training.loop\n"
        "assert logging.getLogger('lightning.pytorch').level == level != logging.ERROR\n"
        "assert not logging.getLogger('interlace').handlers\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_run_leaves_logging_as_it_was(finished):
    import logging

    assert logging.getLogger("lightning.pytorch").level != logging.ERROR
    assert Path(finished).exists()


MOVING = video_options("MultiSyncMNIST")(
    **asdict(DATA) | {"name": "MultiSyncMNIST", "canvas": 40, "num_digits": 2}
)
LEARNS = replace(RECIPE, pretrain_frames=0, videos=64, lr=0.2, warmup=0)


def test_what_predicts_regions_has_a_rate_of_its_own_and_gamma_the_full_one(tmp_path):
    start = run(
        tmp_path / "start", model=ModelOptions("dyreg_small"), data=MOVING, recipe=LEARNS,
        validate_every=64,
    )  # fmt: skip
    before, linear = load_file(start), "body.regions.offsets.linear.weight"
    for region_lr in (0.0, 0.1):
        model = ModelOptions("dyreg_small", weights=str(start))
        recipe = replace(LEARNS, region_lr=region_lr, weight_decay=0.0)
        folder = tmp_path / str(region_lr)
        run(folder, model=model, data=MOVING, recipe=recipe, validate_every=64)
        after = checkpoint_of(folder)["state_dict"]
        gamma = after["model.body.regions.offsets.gamma"]
        assert bool((gamma != before["body.regions.offsets.gamma"]).all())
        assert torch.equal(after[f"model.{linear}"], before[linear]) == (region_lr == 0)


def test_the_distance_of_regions_to_digits_is_logged(tmp_path):
    run(tmp_path, model=ModelOptions("dyreg_small"), data=MOVING, recipe=LEARNS, validate_every=32)
    curves = read_curves(tmp_path / "logs/csv", ["validation/distance"])
    steps, values = curves["validation/distance"]
    assert steps == [4, 8]
    assert all(0 < value < 0.5 for value in values)


def test_boxes_are_given_to_a_model_that_asks_for_them(tmp_path):
    run(tmp_path, model=ModelOptions("dyreg_given_small"), data=MOVING, recipe=LEARNS)
    assert (tmp_path / "best.safetensors").exists()


def test_presence_teaches_a_backbone_that_finds_nothing_else(tmp_path):
    recipe = replace(LEARNS, pretrain_frames=160, pretrain_task="presence")
    run(tmp_path, model=ModelOptions("dyreg_small"), data=MOVING, recipe=recipe, log_every=1)
    logs = tmp_path / "logs/csv"
    assert read_curves(logs, ["pretrain/exact"])
    assert not read_curves(logs, ["pretrain/distance"])


def test_placement_is_refused_where_classes_repeat(tmp_path):
    recipe = replace(LEARNS, pretrain_frames=160)
    with pytest.raises(ValueError, match="classes repeat: choose presence"):
        run(tmp_path, model=ModelOptions("dyreg_small"), data=MOVING, recipe=recipe)
