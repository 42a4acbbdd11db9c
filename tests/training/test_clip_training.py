"""Training on video files: what is learned, written down, refused, resumed, and shared out."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file

import interlace.training.loop
from interlace.commands.cli import main
from interlace.data.clips.dataset import Clip
from interlace.data.clips.motion import motion_clip, write_clip
from interlace.models.registry import create_model, open_weights
from interlace.models.weights import read_card, save_weights
from interlace.reports.held_out import ClipChoice
from interlace.reports.run import read_curves
from interlace.reports.trained import open_trained, write_evaluation
from interlace.training import train
from interlace.training.kick_start import graphs_of, regions_of
from interlace.training.module import Training
from interlace.training.options import Options, TrainerOptions
from interlace.training.start import start_from
from interlace.training.task import Processes
from interlace.training.tasks.clip_lists import run_clips
from interlace.training.tasks.clip_options import (
    ClipDataOptions,
    ClipModelOptions,
    ClipRecipeOptions,
)
from interlace.training.tasks.clips import ClipTask, first_stages, make_kick_start, rarity
from interlace.training.tasks.mixup import mixup

MODEL = ClipModelOptions("tsm_r18")
RECIPE = ClipRecipeOptions(
    epochs=4, patience=4, batch_size=4, dropout=0, freeze_norm=True, optimizer="sgd", lr=1e-2
)


def write_clips(folder, *, motions=("left", "right"), count=8, frames=6, size=(64, 48)):
    for motion in motions:
        (folder / motion).mkdir(parents=True)
        for k in range(count):
            clip = motion_clip(motion, seed=k, frames=frames, width=size[0], height=size[1])
            write_clip(folder / motion / f"{k}.mp4", clip)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of two classes, eight clips each."""
    return write_clips(tmp_path_factory.mktemp("data") / "clips")


def data_of(clips, **others):
    options = {"num_frames": 2, "size": 32, "short_side": 36, "workers": 0, "held_out": 0.25}
    return ClipDataOptions(path=str(clips), **(options | others))


def trainer_of(folder, **others):
    options = {"precision": "fp32", "device": "cpu", "threads": 1, "log_every": 1, "save_every": 2}
    return TrainerOptions(out=str(folder), **(options | others))


def run(folder, clips, *, model=MODEL, recipe=RECIPE, trainer=None, **data):
    trainer = trainer_of(folder, **(trainer or {}))
    return train(data_of(clips, **data), model=model, recipe=recipe, trainer=trainer)


def task_of(model, recipe, *, steps=10, videos=4, **others):
    """A task without any clips to read."""
    read = SimpleNamespace(steps=steps, videos_a_step=videos, frames_a_step=2 * videos)
    return ClipTask(model, recipe, read, **({"pretrained": True} | others))


def losses(folder):
    """(steps, losses) of training, not smoothed."""
    return read_curves(folder / "logs/csv", ["train/loss"], smooth=1)["train/loss"]


@pytest.fixture(scope="module")
def finished(clips, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert run(folder, clips) == folder / "best.safetensors"
    return folder


# --- what a run leaves ----------------------------------------------------------------------------


def test_a_run_writes_down_its_split_its_files_and_what_it_used(finished, clips):
    listed = {name: (finished / f"{name}.csv").read_text() for name in ("train", "held_out")}
    assert [text.count("\n") - 1 for text in listed.values()] == [12, 4]
    assert (finished / "manifest.csv").read_text().count("h264") == 16
    record = json.loads((finished / "run.json").read_text())
    assert record["options"]["data"]["path"] == str(clips)
    assert record["clips"] | {"fingerprint": ""} == {
        "train": 12, "held_out": 4, "skipped": 0, "fingerprint": "",
    }  # fmt: skip
    card = read_card(finished / "best.safetensors")
    assert card["classes"] == ["left", "right"]
    assert card["clips"]["size"] == 32


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_learning_rate_follows_the_clips_of_a_step(optimizer):
    """Of all else, of the backbone, of what predicts regions, which SGD trains like the rest."""
    recipe = replace(RECIPE, optimizer=optimizer, warmup=0)
    for videos in (4, 12):
        module = Training(task_of(create_model("tsm_r18_dyreg", num_classes=2), recipe), seed=0)
        module.task.lr = task_of(module.model, recipe, videos=videos).lr
        groups = module.configure_optimizers()["optimizer"].param_groups
        parts = (1, 0.1, 1) if optimizer == "sgd" else (1, 0.1, 0.1)
        rates = [group["lr"] for group in groups]
        assert rates == pytest.approx([1e-2 * videos / 32 * part for part in parts])
        assert all(group["params"] for group in groups)


def test_a_pretrained_backbone_keeps_its_first_stages_and_its_norms():
    model = create_model("tsm_r18", num_classes=2).train()
    recipe = replace(RECIPE, freeze_norm=None)
    task = task_of(model, recipe)
    model.train()
    assert first_stages(model.body.network, 5)[-1] is model.body.network.layer4
    still = [model.body.network.get_submodule(name) for name in ("conv1", "bn1", "layer1")]
    assert all(part in task.frozen for part in still)
    network = model.body.network
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("conv1.", "bn1.", "layer1.")) for name in learning)
    assert "layer2.0.conv1.weight" in learning
    assert not any(m.training for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert model.head.training


def test_freezing_needs_stages():
    with pytest.raises(ValueError, match=r"recipe\.freeze=7 counts the stages of a ResNet"):
        task_of(create_model("tsm_r18", num_classes=2), replace(RECIPE, freeze=7))


def test_graphs_learn_at_first_where_single_graphs_look(tmp_path):
    teacher = create_model("tsm_r18_dyreg", num_classes=2)
    (graph,) = graphs_of(teacher).values()
    with torch.no_grad():
        graph.regions.offsets.gamma.fill_(2.0)  # a fresh one looks at the middle, this one does not
    card = {"model": "tsm_r18_dyreg", "num_classes": 2}
    path = save_weights(teacher, tmp_path / "teacher.safetensors", card=card)
    options = ClipModelOptions("tsm_r18_dyreg_r3_4_5", teachers=[str(path)])
    kick_start = make_kick_start(options)
    student = create_model(options.name, num_classes=2)
    task = task_of(student, RECIPE, steps=20, pretrained=False, kick_start=kick_start)
    video = torch.randint(256, (2, 2, 3, 32, 32), dtype=torch.uint8)
    clip = Clip(video, torch.tensor([0, 1]), torch.tensor([0, 1]))
    losses = [task.loss(clip, step)[0] for step in (1, 2)]  # the first two of 20, a tenth
    with regions_of(teacher.eval()) as regions, torch.no_grad():
        teacher(video)
    middle = torch.tensor([0.5, 0.5, 1 / 6, 1 / 6])
    distance = (regions["layer3.0"] - middle).abs().sum(-1).mean()
    assert distance > 0.05
    assert (losses[0] - losses[1]).item() == pytest.approx(distance.item(), rel=1e-3)
    losses[0].backward()
    assert graphs_of(student)["layer3.0"].regions.offsets.gamma.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["tsm_r18", "tsm_r18_dyreg_r3_4_5"])
def test_a_teacher_has_one_graph(tmp_path, name):
    card = {"model": name, "num_classes": 2}
    path = save_weights(create_model(name, num_classes=2), tmp_path / "t.safetensors", card=card)
    with pytest.raises(ValueError, match="must each have one graph"):
        make_kick_start(ClipModelOptions("tsm_r18_dyreg", teachers=[str(path)]))


@pytest.mark.parametrize("classes", [["left", "right"], ["left", "up"], list("abcde")])
def test_a_run_may_start_from_weights_for_other_classes(finished, tmp_path, classes, caplog):
    """The head comes along if it is for the same classes, and the log says so."""
    weights = finished / "best.safetensors"
    model = ClipModelOptions("tsm_r18", weights=str(weights))
    options = Options(model, data_of(tmp_path), RECIPE, trainer_of(tmp_path))
    start = create_model("tsm_r18", num_classes=len(classes))
    with caplog.at_level("INFO"):
        start_from(start, options, classes)
    stored, own = load_file(weights), start.state_dict()
    assert own["head.weight"].shape == (len(classes), 512)
    assert all(torch.equal(own[key], stored[key]) for key in own if not key.startswith("head."))
    same = len(classes) == 2 and torch.equal(own["head.weight"], stored["head.weight"])
    assert same == (classes == ["left", "right"])
    assert ("the head, too" if same else "but not the head") in caplog.text


def test_a_detector_tells_where_to_look_and_is_in_no_checkpoint(clips, tmp_path, monkeypatch):
    import interlace.predict.predictor
    import interlace.training.tasks.clips

    class Middle(torch.nn.Module):
        """Looks at the middle, whatever it is shown."""

        def __init__(self, source):
            super().__init__()
            assert source == "some.pth"
            self.unused = torch.nn.Parameter(torch.zeros(3))

        def forward(self, video):
            return torch.tensor([0.5, 0.5, 0.2, 0.2]).expand(*video.shape[:2], 9, 4)

    for module in (interlace.training.tasks.clips, interlace.predict.predictor):
        monkeypatch.setattr(module, "BoxDetector", Middle)
    model = ClipModelOptions("tsm_r18_detector", detector="some.pth")
    weights = run(tmp_path / "run", clips, model=model, recipe=replace(RECIPE, epochs=1))
    stored = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["state_dict"]
    assert not any("unused" in name for name in stored)
    assert main(["evaluate", str(weights), "--workers", "0"]) == 0
    boxes = interlace.Predictor(weights)(clips / "left/0.mp4").boxes
    assert all(looked.shape == (2, 9, 4) for looked in boxes.values())
    assert len(boxes) == 1


# --- classes of which there are few ---------------------------------------------------------------


class Given(torch.nn.Module):
    """Says the same, whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, video):
        return self.logits.to(video.device)


LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 0.0], [-1.0, 0.0, 3.0]])


def loss_of(recipe, labels, **others):
    task = task_of(create_model("tsm_r18", num_classes=3), recipe, **others)
    task.looking = Given(LOGITS)
    video = torch.randint(256, (3, 1, 3, 8, 8), dtype=torch.uint8)
    loss, _ = task.loss(Clip(video, torch.tensor(labels), torch.arange(3)), 0)
    return float(loss)


def entropies(smoothing=0.0):
    """[clip][label], of the three clips."""
    logs = LOGITS.log_softmax(1)
    return -((1 - smoothing) * logs + smoothing * logs.mean(1, keepdim=True))


def test_smoothed_labels_are_partly_all_classes():
    plain, smooth = loss_of(RECIPE, [0, 1, 2]), replace(RECIPE, label_smoothing=0.2)
    assert plain == pytest.approx(float(entropies().diagonal().mean()), rel=1e-5)
    expected = entropies(0.2).diagonal().mean()
    assert loss_of(smooth, [0, 1, 2]) == pytest.approx(float(expected), rel=1e-5)


def test_rare_classes_weigh_more_in_the_loss():
    weights = rarity([6, 3, 1])
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    of_each = entropies()[[0, 1, 2], [0, 0, 2]]
    expected = (of_each * weights[[0, 0, 2]]).sum() / weights[[0, 0, 2]].sum()
    found = loss_of(RECIPE, [0, 0, 2], class_weights=weights)
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_a_run_weighs_classes_by_the_clips_it_learns_from(tmp_path, monkeypatch):
    folder = write_clips(tmp_path / "clips", motions=("left",), count=8)
    write_clips(folder, motions=("right",), count=4)
    recipe = replace(RECIPE, class_weights=True)
    options = Options(MODEL, data_of(folder), recipe, trainer_of(tmp_path / "run"))
    assert ClipTask.open(options, Processes()).class_weights.tolist() == [0.75, 1.5]  # of 6 and 3


def test_mixed_clips_are_learned_as_both():
    torch.manual_seed(3)
    video = torch.randint(256, (4, 2, 3, 8, 8), dtype=torch.uint8)
    mixed, other, share = mixup(video, 0.8)
    assert sorted(other.tolist()) == [0, 1, 2, 3] != other.tolist()
    assert 0.5 < share < 1
    expected = (share * video.double() + (1 - share) * video[other].double()) / 255
    torch.testing.assert_close(mixed.double(), expected, atol=1e-6, rtol=0)
    shares = [mixup(video[:, :, :, :1, :1], 0.2).share for _ in range(500)]
    assert 0.5 <= min(shares) < 0.55
    assert sum(share > 0.99 for share in shares) > 150  # Beta(0.2, 0.2) mixes little most times

    torch.manual_seed(3)
    found = loss_of(replace(RECIPE, mixup=0.8), [0, 1, 2])
    torch.manual_seed(3)
    task_of(create_model("tsm_r18", num_classes=3), RECIPE)
    clip = torch.randint(256, (3, 1, 3, 8, 8), dtype=torch.uint8)
    _, other, share = mixup(clip, 0.8)
    table = entropies()
    pairs = [share * table[k, k] + (1 - share) * table[k, other[k]] for k in range(3)]
    assert found == pytest.approx(float(sum(pairs)) / 3, rel=1e-5)


def test_a_run_with_all_of_it_goes_on_to_the_same_bit(clips, tmp_path):
    recipe = replace(RECIPE, epochs=2, mixup=0.4, label_smoothing=0.1, balanced=True)
    run(tmp_path / "whole", clips, recipe=recipe)
    again = tmp_path / "again"

    class Killed(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 5:
                raise KeyboardInterrupt

    options = {"model": MODEL, "recipe": recipe, "trainer": trainer_of(again)}
    with pytest.raises(KeyboardInterrupt):
        train(data_of(clips), callbacks=[Killed()], **options)
    train(data_of(clips), **options)
    assert losses(again) == losses(tmp_path / "whole")


# --- going on -------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_to_the_same_weights_to_the_bit(clips, tmp_path):
    """With dropout, whose random numbers are those of the step, and batches that are gathered."""
    recipe = replace(RECIPE, dropout=0.5, optimizer="adamw", lr=1e-3, batch_size=2, accumulate=2)
    whole, folder = tmp_path / "whole", tmp_path / "run"
    run(whole, clips, recipe=recipe)
    command = [
        sys.executable, "-m", "interlace", "train", "--config", str(whole / "config.json"),
        "--trainer.out", str(folder),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not (folder / "last.ckpt").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (folder / "run.json").exists()
    run(folder, clips, recipe=recipe)
    assert losses(folder) == losses(whole)
    ours, theirs = (
        torch.load(f / "last.ckpt", weights_only=True)["state_dict"] for f in (folder, whole)
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    ours, theirs = (load_file(f / "best.safetensors") for f in (folder, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    other = tmp_path / "other"
    run(other, clips, recipe=recipe, trainer={"seed": 1})
    assert losses(other) != losses(whole)


def test_how_it_is_run_may_change_and_it_may_become_longer(clips, tmp_path, monkeypatch, caplog):
    """Other workers, another way to say the folder; more epochs come after those there were."""
    monkeypatch.chdir(clips.parent)
    recipe = replace(RECIPE, epochs=2)
    run(tmp_path, clips, recipe=recipe)
    before = losses(tmp_path)
    with caplog.at_level("INFO"):
        run(tmp_path, f"{clips.name}/", recipe=recipe, workers=1, trainer={"save_every": 9})
    assert "is finished" in caplog.text
    with caplog.at_level("INFO"):
        run(tmp_path, clips, recipe=replace(recipe, epochs=3))
    assert "recipe.epochs is 3 instead of 2: from here on the learning rate comes" in caplog.text
    steps, values = losses(tmp_path)
    assert steps == list(range(1, 10))
    assert values[:6] == before[1]
    assert json.loads((tmp_path / "run.json").read_text())["options"]["recipe"]["epochs"] == 3
    with pytest.raises(ValueError, match=r"with recipe\.epochs=3, not 2"):
        run(tmp_path, clips, recipe=recipe)
    with pytest.raises(ValueError, match=r"with data\.size=32, not 36"):
        run(tmp_path, clips, recipe=replace(recipe, epochs=3), size=36)


def test_a_run_refuses_videos_it_did_not_begin_with(clips, tmp_path):
    data = data_of(clips)
    run_clips(data, tmp_path)
    run_clips(replace(data, seed=2), tmp_path)  # nothing has been learned yet
    before = (tmp_path / "train.csv").read_text()
    with pytest.raises(ValueError, match=r"are not those of .*, with which this run began"):
        run_clips(replace(data, seed=1), tmp_path, begun=True)
    assert (tmp_path / "train.csv").read_text() == before


def test_a_finished_run_is_not_trained_again(finished, clips, monkeypatch, caplog):
    monkeypatch.setattr(interlace.training.loop, "_fit", lambda *_: pytest.fail("trains"))
    with caplog.at_level("INFO"):
        run(finished, clips)
    assert "is finished: to train again" in caplog.text
    assert "to go on, give more recipe.epochs" in caplog.text


def test_it_stops_when_nothing_gets_better(clips, tmp_path, caplog):
    recipe = replace(RECIPE, epochs=30, patience=1, lr=1e-12)  # nothing is learned
    with caplog.at_level("INFO"):
        run(tmp_path / "run", clips, recipe=recipe)
    assert "stops: no better for 1 looks" in caplog.text
    assert losses(tmp_path / "run")[0][-1] == 6  # steps: two epochs of three
    lines = [line for line in caplog.messages if "of the run" in line]
    assert re.search(r"1% of the run, \S+ left \(may stop in \S+\): epoch 1 of 30, loss", lines[0])
    assert re.search(
        r"7% of the run, and no more: epoch 2 of 30, loss .*, validation \d", lines[-1]
    )
    caplog.clear()
    with caplog.at_level("INFO"):  # more epochs, and later more looks: it goes on, and stops again
        run(tmp_path / "run", clips, recipe=replace(recipe, epochs=40))
        assert losses(tmp_path / "run")[0][-1] == 9
        run(tmp_path / "run", clips, recipe=replace(recipe, epochs=40, patience=3))
    assert "recipe.patience is 3 instead of 1: the run goes on until it stops" in caplog.text
    assert losses(tmp_path / "run")[0][-1] == 15
    assert caplog.text.count("stops: no better for") == 2


def test_without_patience_a_run_goes_on_to_its_end(clips, tmp_path, caplog):
    """Also one that had stopped; one that would not stop is not stopped later."""
    assert ClipRecipeOptions().patience is None
    recipe = replace(RECIPE, epochs=5, patience=1, lr=1e-12)  # nothing is learned
    run(tmp_path / "run", clips, recipe=recipe)
    assert losses(tmp_path / "run")[0][-1] == 6
    caplog.clear()
    with caplog.at_level("INFO"):
        run(tmp_path / "run", clips, recipe=replace(recipe, patience=None))
    assert "recipe.patience is no more instead of 1: the run goes on until it" in caplog.text
    assert "no better for" not in caplog.text
    assert losses(tmp_path / "run")[0][-1] == 15
    with pytest.raises(ValueError, match=r"holds a run with recipe\.patience=None, not 3"):
        run(tmp_path / "run", clips, recipe=replace(recipe, patience=3))


def test_gathered_batches_are_one_large_batch(finished, clips, tmp_path):
    recipe = replace(RECIPE, batch_size=2, accumulate=2, epochs=1)
    run(tmp_path / "gathered", clips, recipe=recipe)
    run(tmp_path / "large", clips, recipe=replace(recipe, batch_size=4, accumulate=1))
    small, large = (
        load_file(tmp_path / name / "best.safetensors") for name in ("gathered", "large")
    )
    for key in large:
        torch.testing.assert_close(small[key], large[key], rtol=1e-4, atol=1e-5)


# --- many processes -------------------------------------------------------------------------------


def torchrun(folder, clips, recipe, finished):
    """The same command in two processes."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words += ["-m", "interlace", "train", f"--data.path={clips}", "--model=tsm_r18"]
    manifest = str(finished / "manifest.csv")
    parts = {
        "data": data_of(clips, manifest=manifest),
        "recipe": recipe,
        "trainer": trainer_of(folder),
    }
    for part, options in parts.items():
        for name, value in vars(options).items():
            if value is True:
                words.append(f"--{part}.{name}=true")
            elif value is not None and value is not False and name != "path":
                words.append(f"--{part}.{name}={value}")
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_processes_learn_what_one_learns_from_double_batches_also_if_one_is_killed(
    finished, clips, tmp_path
):
    folder = tmp_path / "run"
    process = torchrun(folder, clips, replace(RECIPE, batch_size=2), finished)
    while not (folder / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "same command goes on from the last checkpoint" in said
    assert not (folder / "run.json").exists()

    process = torchrun(folder, clips, replace(RECIPE, batch_size=2), finished)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("held-out accuracy") == 1  # one of them speaks
    for name in ("train.csv", "held_out.csv"):
        assert (folder / name).read_text() == (finished / name).read_text()
    (steps, ours), (wanted_steps, wanted) = losses(folder), losses(finished)
    assert steps == wanted_steps == list(range(1, 13))
    assert ours == pytest.approx(wanted, abs=2e-4)


# --- what can be learned from, and not told -------------------------------------------------------


def test_with_nothing_held_out_all_are_learned_from_and_the_last_weights_kept(
    clips, tmp_path, capsys
):
    folder, weights = tmp_path / "run", tmp_path / "run/best.safetensors"
    words = ["--data.held_out=0", "--data.workers=0", "--data.num_frames=2", "--data.size=32"]
    words += ["--data.short_side=36", "--trainer.precision=fp32", "--trainer.threads=1"]
    words += ["--recipe.batch_size=4", "--recipe.patience=1", "--model=tsm_r18"]
    train_it = ["train", f"--data.path={clips}", f"--trainer.out={folder}", *words]
    assert main([*train_it, "--recipe.epochs=2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "all clips were learned from, and none held out to measure the weights on: say which with "
        f"interlace evaluate {weights} --path FOLDER",
        str(weights),
    ]
    assert (folder / "train.csv").read_text().count("\n") == 17
    assert (folder / "held_out.csv").read_text() == "path,label\n"
    assert read_card(weights)["step"] == 8  # 16 clips twice, patience or not
    last = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    kept = load_file(weights)
    assert all(torch.equal(last[f"model.{key}"], value) for key, value in kept.items())
    assert main([*train_it, "--recipe.epochs=3"]) == 0
    assert read_card(weights)["step"] == 12
    assert main(["evaluate", str(weights)]) == 1
    assert "learned from all its videos: say which others" in capsys.readouterr().err
    assert main(["evaluate", str(weights), f"--path={clips}", "--workers=0"]) == 0


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_to_hold_out_is_none_or_a_part(clips, share, tmp_path):
    with pytest.raises(ValueError, match=rf"data\.held_out must be in \[0, 1\), got {share}"):
        run(tmp_path, clips, held_out=share)


def test_one_class_is_told_to_be_none_to_tell_apart(tmp_path, caplog):
    folder = write_clips(tmp_path / "all/clips", count=2)
    run_clips(data_of(folder.parent), tmp_path / "run")
    assert f"all videos of {folder.parent} are of one class, clips: there is" in caplog.text
    caplog.clear()
    run_clips(data_of(folder), tmp_path / "other")
    assert not caplog.messages


def test_classes_of_which_nothing_is_held_out_are_named(tmp_path, caplog):
    folder = write_clips(tmp_path / "clips", count=3)
    write_clips(folder, motions=("apart",), count=1)
    run_clips(data_of(folder), tmp_path / "run")
    assert caplog.messages == [
        "1 class (apart) has a single video, which is learned from: nothing will tell how well "
        "such a class is known; add some"
    ]
    caplog.clear()
    labels = [f"{motion}/{k}.mp4,{motion},train" for motion in ("left", "right") for k in range(2)]
    (tmp_path / "labels.csv").write_text(
        "\n".join(["path,label,split", *labels, "left/2.mp4,left,val"])
    )
    run_clips(data_of(folder, labels=str(tmp_path / "labels.csv")), tmp_path / "other")
    assert caplog.messages == [
        "1 class (right) has no videos held out: nothing will tell how well such a class is "
        "known; hold some out"
    ]


# --- what cannot be learned from ------------------------------------------------------------------


def test_a_mended_file_is_found_good_again(tmp_path):
    folder = write_clips(tmp_path / "clips", count=4)
    whole = (folder / "left/0.mp4").read_bytes()
    (folder / "left/0.mp4").write_bytes(whole[: len(whole) // 2])
    assert run_clips(data_of(folder), tmp_path / "run").skipped == 1
    (folder / "left/0.mp4").write_bytes(whole)
    assert run_clips(data_of(folder), tmp_path / "run").skipped == 0


@pytest.fixture
def broken(tmp_path):
    folder = write_clips(tmp_path / "broken", count=4)
    (folder / "left/0.mp4").write_bytes(b"no video")
    return folder


def test_training_skips_what_is_broken_and_says_so(broken, tmp_path, caplog):
    parts = run_clips(data_of(broken, held_out=0.5), tmp_path / "run")
    assert "1 of" in caplog.text
    assert "left/0.mp4" in caplog.text
    assert parts.skipped == 1
    assert len(parts.train) + len(parts.held_out) == 7


def test_an_evaluation_refuses_what_is_broken_unless_told(finished, broken, tmp_path, capsys):
    weights, out = str(finished / "best.safetensors"), str(tmp_path / "evaluation.json")
    command = ["evaluate", weights, "--path", str(broken), "--workers", "0", "--out", out]
    assert main(command) == 1
    assert "1 of 8 videos" in capsys.readouterr().err
    assert main([*command, "--skip_bad"]) == 0
    record = json.loads(Path(out).read_text())
    assert (record["data"]["clips"], record["data"]["skipped"]) == (7, 1)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["--model", "rstg_demo"], "rstg_demo is for videos of digits"),
        (["--model", "tsm_r81"], "did you mean 'tsm_r18'"),
        (["--recipe.dropout", "1"], r"recipe.dropout must be in \[0, 1\), got 1.0"),
        (["--recipe.batch_size", "0"], "recipe.batch_size must be at least 1"),
        (["--recipe.label_smoothing", "1"], r"recipe.label_smoothing must be in \[0, 1\), got 1"),
        (["--recipe.mixup", "-1"], "recipe.mixup must be at least 0, got -1"),
        (["--recipe.mixup=1", "--recipe.batch_size=1"], "batch_size must be at least 2, got 1"),
        (["--recipe.balanced", "--recipe.class_weights"], "leave it or recipe.class_w"),
        (["--data.held_out_labels", "x.csv"], "needs data.labels"),
        (["--data.size", "300"], "short_side must be at least size, 300"),
        (["--trainer.devices", "2"], "interlace scan .* and give data.manifest=manifest.csv"),
        (["--trainer.threads", "0"], "trainer.threads must be at least 1"),
        (["--recipe.accumulate", "99", "--data.workers", "0"], "recipe.accumulate=99 batches a"),
        (["--model", "tsm_r18_detector", "--data.workers", "0"], "model.detector=coco"),
        (["--model.detector", "coco", "--data.workers", "0"], "leave model.detector out"),
    ],
)
def test_wrong_options_are_named(clips, tmp_path, command, says, capsys):
    words = ["train", "--data.path", str(clips), "--trainer.out", str(tmp_path), *command]
    assert main(words) == 1
    assert re.search(says, capsys.readouterr().err)


def test_one_word_of_the_other_kind_of_training_is_refused(clips, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--data.path", str(clips), "--data.digits", "mnist"])
    assert "data.digits" in capsys.readouterr().err


def test_a_config_with_a_path_is_for_files(clips, tmp_path, capsys):
    config = tmp_path / "own.yaml"
    config.write_text("data:\n  path: nowhere\n")
    assert main(["train", "--config", str(config)]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


# --- what weights are worth -----------------------------------------------------------------------


def test_an_evaluation_names_its_videos_its_views_and_their_cost(finished, tmp_path):
    weights = str(finished / "best.safetensors")
    records = {}
    for protocol in ("central", "3x2"):
        out = tmp_path / f"{protocol}.json"
        words = ["evaluate", weights, "--workers", "0", "--protocol", protocol]
        assert main([*words, "--out", str(out), "--precision", "fp32"]) == 0
        records[protocol] = json.loads(out.read_text())
    one, six = (records[name]["protocol"] for name in ("central", "3x2"))
    assert (one["views"], one["size"], six["views"], six["size"]) == (1, 32, 6, 36)
    assert six["gflops"] == pytest.approx(6 * six["gflops_a_view"], rel=0.01)
    assert records["central"]["count"] == 4
    assert records["central"]["top1"] == read_card(weights)["validation"]
    run_record = json.loads((finished / "run.json").read_text())
    prints = {record["data"]["fingerprint"] for record in records.values()}
    assert prints == {run_record["clips"]["fingerprint"]}


def test_an_evaluation_says_a_line_of_each_clip(finished, tmp_path, capsys):
    weights, out = finished / "best.safetensors", tmp_path / "out.json"
    words = ["evaluate", str(weights), "--workers=0", "--precision=fp32", f"--out={out}"]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1:] == [str(out), str(tmp_path / "out.csv")]
    assert "top-5" not in said[0]  # of two classes
    with (tmp_path / "out.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    with (finished / "held_out.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [(line["path"], line["label"]) for line in lines] == [
        (line["path"], line["label"]) for line in listed
    ]
    root, predictor = Path(read_card(weights)["data"]["path"]), interlace.Predictor(weights)
    for line in lines:
        expected = predictor(root / line["path"])
        assert line["predicted"] == expected.label
        scores = [float(line[f"score {name}"]) for name in ("left", "right")]
        assert scores == pytest.approx(expected.scores.tolist(), abs=1e-5)
    assert [said.label for said in predictor(finished / "held_out.csv")] == [
        line["predicted"] for line in lines
    ]
    record = json.loads(out.read_text())
    assert record["top1"] == sum(line["predicted"] == line["label"] for line in lines) / 4
    assert "top5" not in record


def test_stretches_of_one_video_have_a_line_each(finished, clips, tmp_path):
    weights, table, out = finished / "best.safetensors", tmp_path / "t.csv", tmp_path / "out.json"
    lines = ["left/0.mp4,0,2,left", "left/0.mp4,2,4,left", "right/0.mp4,,,right"]
    table.write_text("\n".join(["path,start_frame,end_frame,label", *lines]))
    words = ["evaluate", str(weights), f"--path={clips}", f"--labels={table}", f"--out={out}"]
    assert main([*words, "--workers=0"]) == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        named = [line["path"] for line in csv.DictReader(file)]
    first = "left/0.mp4 (frames 0 to 2)"
    assert named == [first, "left/0.mp4 (frames 2 to 4)", "right/0.mp4"]


def test_regions_are_measured_on_marked_objects(clips, tmp_path):
    """A fresh graph looks at the middle: the distance is that of the marks to the middle."""
    model = create_model("tsm_r18_dyreg", num_classes=2)
    card = {"model": "tsm_r18_dyreg", "num_classes": 2, "classes": ["left", "right"]}
    card |= {"clips": {"num_frames": 2, "size": 32, "short_side": 32}}
    weights = save_weights(model, tmp_path / "fresh.safetensors", card=card)
    box = {"x1": 32 + 16 - 3, "y1": 24 - 3, "x2": 32 + 16 + 3, "y2": 24 + 3}  # of 64 x 48 pixels
    labels = [{"box2d": box, "standard_category": "hand"}]
    frames = [{"name": f"3/{k + 1:04}.jpg", "labels": labels} for k in range(6)]
    (tmp_path / "boxes.json").write_text(json.dumps({"3": frames}))
    out = tmp_path / "out.json"
    words = ["evaluate", str(weights), "--path", str(clips), "--workers=0", f"--out={out}"]
    assert main([*words, f"--boxes={tmp_path / 'boxes.json'}"]) == 0
    (measured,) = json.loads(out.read_text())["regions"].values()
    assert measured["frames"] == 2 * 2  # 3.mp4 of two classes, two frames each
    assert measured["dist"] == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--digits", "mnist"], "--digits is not for .* takes video files"),
        (["--batch_size", "0"], "batch_size must be at least 1, got 0"),
        (["--protocol", "3x2", "--manifest", "nowhere.csv"], "there is no manifest nowhere.csv"),
    ],
)
def test_an_evaluation_refuses_what_does_not_fit(finished, words, says, capsys):
    assert main(["evaluate", str(finished / "best.safetensors"), *words]) == 1
    assert re.search(says, capsys.readouterr().err)


def test_weights_that_do_not_name_their_classes_need_names_for_folders(finished, clips, tmp_path):
    model, card = open_weights(finished / "best.safetensors")
    nameless = {key: value for key, value in card.items() if key != "classes"}
    weights = save_weights(model, tmp_path / "nameless.safetensors", card=nameless)
    with pytest.raises(ValueError, match=r"with classes: --classes FILE"):
        open_trained(weights, clips=ClipChoice(clips, workers=0))
    (tmp_path / "names.txt").write_text("left\nright\n")
    named = ClipChoice(clips, classes=tmp_path / "names.txt", workers=0)
    trained = open_trained(weights, clips=named)
    assert write_evaluation(trained, tmp_path / "out.json", bf16=False).count == 16


def test_weights_elsewhere_need_a_path(finished, tmp_path, capsys):
    weights = tmp_path / "alone.safetensors"
    weights.write_bytes((finished / "best.safetensors").read_bytes())
    assert main(["evaluate", str(weights)]) == 1
    assert "say which videos to evaluate on with --path" in capsys.readouterr().err


# --- does it learn motion? ------------------------------------------------------------------------


def test_a_network_that_sees_time_tells_motions_apart_in_a_few_minutes(tmp_path):
    """Small: two motions, four frames of 48 pixels."""
    clips = write_clips(tmp_path / "clips", count=40, frames=8, size=(96, 72))
    recipe = ClipRecipeOptions(epochs=12, patience=3, batch_size=8, lr=2e-3, dropout=0.2)
    folder = tmp_path / "run"
    weights = train(
        data_of(clips, num_frames=4, size=48, short_side=54, held_out=0.25),
        model=ClipModelOptions("tsm_r18_dyreg"),
        recipe=recipe,
        trainer=trainer_of(folder, precision="bf16", save_every=1000),
    )
    assert read_card(weights)["validation"] > 0.9


def test_a_network_of_frames_cannot_tell_a_motion_from_its_reverse():
    model = create_model("c2d_r18", num_classes=2).eval()
    clip = torch.from_numpy(motion_clip("left", seed=0, frames=4, width=64, height=48))
    video = clip.permute(0, 3, 1, 2)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(video), model(video.flip(1)))
        sees_time = create_model("tsm_r18", num_classes=2).eval()
        assert (sees_time(video) - sees_time(video.flip(1))).abs().max() > 1e-4
