"""The command line as users meet it: help, mistakes, configs, every command at tiny size."""

import base64
import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open

from interlace.commands.cli import _COMMANDS, main
from interlace.data.digits.datasets import load_split, make_videos, video_options
from interlace.data.digits.images import load_digits
from interlace.evaluation.region_metrics import region_metrics
from interlace.experiments.config import read_config
from interlace.models.backbones.weights import load_backbone
from interlace.models.registry import create_model, list_models
from interlace.models.weights import read_card, save_weights
from interlace.reports.digits import choose_clips, explain_videos
from interlace.training.tasks import options_for

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
SHIPPED = sorted((ROOT / "weights").glob("*.safetensors"))
WEIGHTS = [path for path in SHIPPED if read_card(path).get("part") != "backbone"]
BACKBONES = [path for path in SHIPPED if path not in WEIGHTS]
KINDS = {name: options_for(name) for name in ("clips", "SyncMNIST", "MultiSyncMNIST")}
TINY = video_options("SyncMNIST")(
    digits="embedded", num_digits=3, classes=5, num_frames=3, canvas=50, frame=24, no_pair=0.3,
    validation_size=10, test_size=20,
)  # fmt: skip
HEAVY = ("torch", "lightning", "torchvision", "matplotlib", "sklearn", "numba", "timm", "av")


def flags(prefix, options):
    return [
        f"--{prefix}.{key}={value}"
        for key, value in dataclasses.asdict(options).items()
        if value is not None
    ]


# --- help and mistakes --------------------------------------------------------------------------


def test_help_of_every_command_is_quick_to_import_and_complete():
    """One process for all, as nothing is left imported by any of them.

    What synthetic videos take their own classes say: those import torch, so they come last.
    """
    program = f"""
import contextlib, io, sys
from interlace.commands.cli import main
synthetic = [["train"], ["train", "--data", "MultiSyncMNIST"]]
synthetic += [["generate", "digits"], ["bench", "model"]]
others = [[name] for name in {list(_COMMANDS)} if name != "train"]
for words in [[], ["train", "--data.path", "x"], ["train", "--data=clips"], *others, *synthetic]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main([*words, "--help"])
        except SystemExit as stop:
            assert stop.code == 0, words
    assert out.getvalue().startswith("usage: interlace"), words
    heavy = set({HEAVY}) & sys.modules.keys() - ({{"torch"}} if words in synthetic else set())
    assert not heavy, (words, heavy)
    print(out.getvalue())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for kinds in KINDS.values():
        for part, kind in kinds.items():
            for field in dataclasses.fields(kind):
                assert re.search(rf"--{part}\.{field.name}[ ,]", done.stdout)
    assert "type: str | null, default: null" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("trian", "there is no command 'trian'; did you mean 'train'?"),
        ("", "say which command: train, evaluate, explain, generate, list"),
        ("train --model.nam x", "unrecognized arguments: --model.nam x; did you mean 'model.name'"),
        ("train --trainer.sed=4", "did you mean 'trainer.seed'?"),
        ("train --recipe.lesson=[]", "did you mean 'recipe.lessons'?"),
        ("list foo bar", "unrecognized arguments: foo bar"),
        ("evaluate", "evaluate needs weights"),
        ("bench", "say which command: bench model, bench data"),
        ("bench data", "bench data needs path"),
        ("bench dta", "there is no command 'dta'; did you mean 'data'?"),
        (
            "train --data.num_digits three",
            "data.num_digits must be a whole number, got 'three'",
        ),
        ("train --recipe.videos 1.5", "recipe.videos must be a whole number, got '1.5'"),
        ("train --recipe.lr fast", "recipe.lr must be a number, got 'fast'"),
        ("train --data.dataset SyncMNIST", "it is 'data.name' now"),
        ("train --recipe.clip 1", "it is 'recipe.max_grad_norm' now"),
        ("train --recipe.patience 3", "it is 'recipe.plateau' now"),
        ("train --data clips --recipe.clip 1", "it is 'recipe.max_grad_norm' now"),
        ("train --data.path x --recipe.warmup 0.05", "got '0.05'; it counts steps"),
        ("train --data.path x --data.digits mnist", "unrecognized arguments: --data.digits"),
        ("train --trainer.device gpux", "trainer.device must be one of auto, cpu, gpu"),
        ("train --trainer.logger wandbb", "got 'wandbb'; did you mean 'wandb'?"),
        ("train --trainer.precision fp16", "must be one of bf16, fp32, got 'fp16'"),
        ("generate digits --format avi", "format must be one of mp4, gif, npz, got 'avi'"),
        ("generate digits --split tset", "got 'tset'; did you mean 'test'?"),
        ("train --recipe.lessons 5", "recipe.lessons must be a list, such as [{videos: 1000"),
        ("train --recipe.lessons [{vdeos:\\ 5}]", "did you mean 'videos'?"),
        ("train --recipe.lessons [{videos:5}]", "put a space behind the colon"),
        ("train --recipe.lessons [{videos:\\ x}]", "videos must be a whole number, got 'x'"),
        ("train --config nowhere.yaml", "--config: there is no file"),
        ("train --data.num_digits", "argument --data.num_digits: expected one argument"),
    ],
)
def test_a_wrong_word_is_answered_with_one_sentence(words, sentence, capsys):
    words = [word.replace("\\", "") for word in re.split(r"(?<!\\) ", words) if word]
    assert_one_sentence(words, sentence, 2, capsys)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: {nam: x}", "train has no option 'model.nam'; did you mean 'model.name'?"),
        ("modle: {name: x}", "train has no option 'modle.name'; did you mean 'model.name'?"),
        ("recipe: {lr: fast}", "recipe.lr must be a number, got 'fast'"),
        ("data: {num_digits: three}", "data.num_digits must be a whole number, got 'three'"),
        ("data: {dataset: SyncMNIST}", "train has no option 'data.dataset'; it is 'data.name' now"),
        ("model: {name: x", "--config is not readable as YAML"),
    ],
)
def test_a_wrong_config_is_answered_with_one_sentence(text, sentence, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(text)
    assert_one_sentence(["train", "--config", str(tmp_path / "c.yaml")], sentence, 2, capsys)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--model.name=rstg_positonal"], "did you mean 'rstg_positional'?"),
        (["train", "--model", "rstg_positonal"], "did you mean 'rstg_positional'?"),
        (
            ["train", "--data", "SynchMNIST"],
            "data.name must be one of clips, SyncMNIST, MultiSyncMNIST, got 'SynchMNIST'; "
            "did you mean 'SyncMNIST'?",
        ),
        (["bench", "model", "--data=clips"], "bench model is for synthetic videos, not for clips"),
        (["train", "--data", "clips"], "data.path must name a folder of videos"),
        (["train", "--data", "nowhere:Own"], "'nowhere:Own' wants a module 'nowhere'"),
        (["train", "--trainer.callbacks=[no.Such]"], "trainer.callbacks: no.Such cannot be made"),
        (["bench", "model", "--model.name=mean_lstm_smal"], "did you mean 'mean_lstm_small'?"),
        (["evaluate", "nowhere.safetensors"], "there are no weights at nowhere.safetensors"),
        (["explain", "nowhere.safetensors"], "there are no weights at nowhere.safetensors"),
        (["generate", "digits", "--data.digits=nowhere"], "no such folder exists"),
        (
            ["generate", "digits", "--data.digits=embedded", "--data.num_digits=11"],
            "num_digits must be at most classes=10",
        ),
        (["generate", "digits", "--count=-1"], "count must be at least 1"),
        (
            ["generate", "digits", "--data.digits=embedded", "--data.test_size=3", "--count=4"],
            "only 3 videos",
        ),
        (["bench", "model", "--repeats=0"], "repeats must be at least 1"),
    ],
)
def test_what_a_command_cannot_do_is_said_in_one_sentence(words, sentence, capsys, tmp_path):
    if words[0] in ("train", "generate"):
        words = [*words, f"--{'trainer.' if words[0] == 'train' else ''}out={tmp_path / 'out'}"]
    assert_one_sentence(words, sentence, 1, capsys)
    assert not (tmp_path / "out").exists()


def assert_one_sentence(words, sentence, code, capsys):
    try:
        found = main(words)
    except SystemExit as stop:
        found = stop.code
    said = capsys.readouterr()
    assert found == code
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("interlace: ")
    assert sentence in said.err
    assert len(said.err) < 300
    assert not re.search(r"class '|Traceback|typing\.", said.err)


def test_a_run_that_is_stopped_by_hand_says_how_to_go_on(monkeypatch, capsys):
    import interlace.training

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(interlace.training, "train", stop)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "stopped; the same command goes on\n"


# --- configs ------------------------------------------------------------------------------------


@pytest.mark.skipif(not CONFIGS, reason="there are no configs yet")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_understood(path, capsys):
    """That it states only differences is tested where bases are."""
    with pytest.raises(SystemExit) as stop:
        main(["train", f"--config={path}", "--print_config"])
    assert stop.value.code == 0
    whole = yaml.safe_load(capsys.readouterr().out)
    for part, values in read_config(path).items():
        for key, value in values.items():
            if key != "lessons":
                assert whole[part][key] == value
    assert whole["model"]["name"] in list_models()


def test_a_config_is_read_once(tmp_path, capsys):
    """So that a pipe will do; what is typed comes after all configs, wherever it stands."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "data: {name: MultiSyncMNIST, num_digits: 4}\nrecipe: {lr: 0.5}"
    writer = threading.Thread(target=pipe.write_text, args=[text])
    writer.start()
    words = ["train", "--recipe.lr=0.25", f"--config={pipe}", "--print_config"]
    with pytest.raises(SystemExit):
        main(words)
    writer.join()
    told = yaml.safe_load(capsys.readouterr().out)
    assert (told["data"]["name"], told["data"]["num_digits"]) == ("MultiSyncMNIST", 4)
    assert (told["data"]["canvas"], told["recipe"]["lr"]) == (256, 0.25)


# --- every command, tiny ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small graph that nobody trained, saved as a run would."""
    torch.manual_seed(1)
    name = "rstg_all_temp_small"
    videos = make_videos(TINY, load_digits("embedded", train=True), split="train")
    model = create_model(name, num_classes=videos.num_classes)
    card = {
        "model": name,
        "num_classes": videos.num_classes,
        "data": dataclasses.asdict(TINY),
        "seed": 7,
    }
    return save_weights(model, tmp_path_factory.mktemp("weights") / "some.safetensors", card=card)


def test_list(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list_models()
    assert main(["list", "--pattern=rstg_1*"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "rstg_1temp",
        "rstg_1temp_small",
    ]


def test_train_in_bfloat16_with_a_lesson_ends_in_a_report(tmp_path, capsys):
    out = tmp_path / "run"
    config = tmp_path / "tiny.yaml"
    recipe = {
        "videos": 32, "pretrain_frames": 32, "pretrain_batch": 16, "batch_size": 16,
        "lessons": [{"videos": 16, "num_digits": 2, "no_pair": 0.5}],
    }  # fmt: skip
    data = {k: v for k, v in dataclasses.asdict(TINY).items() if v is not None}
    config.write_text(yaml.safe_dump({"data": data, "recipe": recipe}))
    words = ["train", f"--config={config}", f"--trainer.out={out}", "--model=mean_lstm_small"]
    assert main([*words, "--trainer.device=cpu", "--recipe.warmup=2"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("5 steps\n")
    assert f"{out}/report.html" in said.out
    record = json.loads((out / "evaluation.json").read_text())
    assert f"held-out accuracy {record['top1']:.1%}" in said.out
    assert record["count"] == TINY.test_size
    page = (out / "report.html").read_text()
    assert f"{record['top1']:.1%}" in page
    assert "Training time" in page
    options = json.loads((out / "run.json").read_text())["options"]
    given = [{k: v for k, v in le.items() if v is not None} for le in options["recipe"]["lessons"]]
    assert given == recipe["lessons"]
    assert (options["recipe"]["warmup"], options["trainer"]["precision"]) == (2, "bf16")


def test_a_pre_training_alone_is_not_evaluated(tmp_path, capsys):
    words = ["train", f"--trainer.out={tmp_path}", "--model=rstg_content", "--recipe.videos=0"]
    few = ["--recipe.pretrain_frames=4", "--recipe.pretrain_batch=4", "--data.digits=embedded"]
    words += [*few, "--recipe.pretrain_task=presence", "--data.validation_size=10"]
    assert main([*words, "--trainer.device=cpu", "--trainer.threads=1"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/best.safetensors\n"
    assert not (tmp_path / "evaluation.json").exists()


def test_evaluate_writes_what_the_model_does_on_the_test_videos(weights, tmp_path, capsys):
    out = tmp_path / "result.json"
    assert main(["evaluate", str(weights), f"--out={out}", "--precision=fp32"]) == 0
    record = json.loads(out.read_text())
    videos = load_split(TINY, "test")
    batch = videos.batch(range(len(videos)))
    model = create_model("rstg_all_temp_small", num_classes=11, weights=weights).eval()
    with torch.no_grad():
        logits = model(batch.video)
    assert record["count"] == 20
    assert record["top1"] == int((logits.argmax(1) == batch.label).sum()) / 20
    assert record["loss"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, batch.label)), rel=1e-5
    )
    assert (
        np.asarray(record["confusion"]).sum(1).tolist()
        == torch.bincount(batch.label, minlength=11).tolist()
    )
    assert record["data"] == dataclasses.asdict(TINY)
    assert {"commit", "hardware", "date", "torch"} <= record["environment"].keys()
    assert (record["seed"], record["model"], record["bf16"]) == (7, "rstg_all_temp_small", False)
    said = capsys.readouterr().out
    assert f"{record['top1']:.1%}" in said
    with torch.no_grad():
        _, trace = model(batch.video, return_trace=True)
    regions = region_metrics(trace.boxes, batch.boxes).as_dict()
    assert record["regions"] == pytest.approx(regions, rel=1e-9)
    dist, recall = f"Dist {regions['dist']:.3f}", f"recall {regions['recall']:.1%}"
    assert f"regions: {dist} of the frame, {recall} of the digits\n" in said


def test_evaluate_says_nothing_of_regions_where_there_is_no_graph(tmp_path, capsys):
    card = {"model": "mean_lstm_small", "num_classes": 11, "data": dataclasses.asdict(TINY)}
    model = create_model("mean_lstm_small", num_classes=11)
    path = save_weights(model, tmp_path / "some.safetensors", card=card)
    assert main(["evaluate", str(path)]) == 0
    assert "regions" not in json.loads((tmp_path / "some.evaluation.json").read_text())
    assert "regions" not in capsys.readouterr().out


def test_evaluate_takes_other_digits_and_fewer_videos_and_writes_beside_the_weights(weights):
    assert main(["evaluate", str(weights), "--num_digits=5", "--videos=8"]) == 0
    path = weights.with_suffix(".evaluation.json")
    record = json.loads(path.read_text())
    assert (record["count"], record["data"]["num_digits"], record["bf16"]) == (8, 5, True)
    path.unlink()


def test_a_card_that_describes_no_videos_is_refused(weights, tmp_path, capsys):
    model = create_model("rstg_all_temp_small", num_classes=11, weights=weights)
    card = read_card(weights)
    for data in ({"data": {"colour": "red"}}, {}):
        other = {k: v for k, v in card.items() if k != "data"} | data
        path = save_weights(model, tmp_path / "w.safetensors", card=other)
        assert_one_sentence(["evaluate", str(path)], "does not describe videos", 1, capsys)


def test_explain_shows_what_the_tensors_say(weights, tmp_path, capsys):
    words = ["explain", str(weights), f"--out={tmp_path}", "--clips=1", "--videos=10"]
    assert main([*words, "--precision=fp32"]) == 0
    page = re.sub(r"\s", " ", (tmp_path / "report.html").read_text())
    assert str(tmp_path / "report.html") in capsys.readouterr().out

    # the chosen clip, by hand
    model = create_model("rstg_all_temp_small", num_classes=11, weights=weights).eval()
    videos = load_split(dataclasses.replace(TINY, test_size=10), "test")
    (index,) = choose_clips(model, videos, 1)
    one = videos.batch([index])
    assert f"This is video {index} of the test split." in page
    with torch.no_grad():
        logits, trace = model(one.video, return_trace=True)
    scores = logits[0].softmax(0)
    best = int(scores.argmax())
    assert (
        f"“{videos.class_name(best)}” with probability {scores[best]:.1%}".replace("%", " %")
        in page
    )
    assert trace.attention.shape[2] >= 1
    for k in range(trace.attention.shape[2]):
        weight = trace.attention[0, :, k, 0]  # (T, N, N)
        frame, receiver, sender = np.unravel_index(int(weight.argmax()), weight.shape)
        found = re.search(
            rf"strongest message of round {k} is in frame (\d+): node (\d+) [^:]*? "
            rf"listened to node (\d+) .*?with weight (\d\.\d+)",
            page,
        )
        assert found, page[:2000]
        assert [int(found[i]) for i in (1, 2, 3)] == [frame, receiver, sender]
        assert float(found[4]) == pytest.approx(float(weight.max()), abs=5e-4)
    result = json.loads((tmp_path / "evaluation.json").read_text())
    assert f"{result['top1']:.1%}" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert all(source.startswith(("data:", "#")) for source in sources)  # one file, nothing outside
    assert any(
        base64.b64decode(p)[:4] == b"GIF8" for p in re.findall(r"image/gif;base64,(\w{8})", page)
    )


def test_explain_of_a_model_without_a_graph_shows_its_prediction(tmp_path):
    torch.manual_seed(0)
    videos = load_split(TINY, "test")
    model = create_model("mean_lstm_small", num_classes=videos.num_classes)
    (report,) = explain_videos(model, videos, [3])
    assert "no graph" in report.text[1]
    assert report.title.endswith(f"it is “{videos.class_name(int(videos[3].label))}”")
    assert len(report.figures) == 2


@pytest.mark.parametrize("kind", ["mp4", "gif", "npz"])
def test_generate_writes_the_videos_of_the_split(kind, tmp_path, capsys):
    words = ["generate", "digits", f"--out={tmp_path}", "--count=2", f"--format={kind}"]
    assert main([*words, "--split=validation", *flags("data", TINY)]) == 0
    assert f"2 videos in {tmp_path}" in capsys.readouterr().out
    videos = load_split(TINY, "validation")
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert [entry["file"] for entry in labels] == [f"validation_{k:05d}.{kind}" for k in (0, 1)]
    for k, entry in enumerate(labels):
        one = videos[k]
        assert entry["label"] == int(one.label)
        assert entry["class"] == videos.class_name(int(one.label))
        assert entry["synchronous"] == one.synchronous.tolist()
        assert entry["digits"] == one.classes.tolist()
        assert np.allclose(entry["boxes"], one.boxes)
        path = tmp_path / entry["file"]
        if kind == "npz":
            arrays = np.load(path)
            assert np.array_equal(arrays["video"], one.video)
            assert np.array_equal(arrays["label"], one.label)
        elif kind == "gif":
            from PIL import Image

            assert Image.open(path).n_frames == TINY.num_frames
        else:
            import av

            with av.open(str(path)) as container:
                assert sum(1 for _ in container.decode(video=0)) == TINY.num_frames


def test_bench_gives_numbers(capsys):
    words = ["bench", "model", "--model.name=mean_lstm_small", "--batch_size=4", "--repeats=1"]
    assert main([*words, *flags("data", TINY)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "batches of 4, median of 1" in lines[0]
    rates = [re.search(r"([\d,]+) videos/s$", line) for line in lines[1:]]
    assert len(rates) == 3
    assert all(int(rate[1].replace(",", "")) > 0 for rate in rates)


# --- shipped weights ----------------------------------------------------------------------------


@pytest.mark.skipif(not WEIGHTS, reason="there are no weights yet")
@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_shipped_weights_evaluate_and_explain(path, tmp_path):
    """On embedded digits, as the digits they were trained on need a download."""
    out = tmp_path / "evaluation.json"
    few = ["--digits=embedded", "--videos=20", "--precision=fp32"]
    assert main(["evaluate", str(path), f"--out={out}", *few]) == 0
    assert json.loads(out.read_text())["count"] == 20
    assert main(["explain", str(path), f"--out={tmp_path}", "--clips=1", *few]) == 0
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert path.stat().st_size <= 10_000_000
    with safe_open(path, framework="pt") as file:
        kinds = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    assert kinds <= {torch.float16, torch.int64}  # half precision, and counters of batch norms


@pytest.mark.parametrize("path", BACKBONES, ids=lambda path: path.stem)
def test_shipped_backbones_start_a_model_and_are_none(path, capsys):
    model = create_model(read_card(path).get("model", "rstg_all_temp_small"))
    assert load_backbone(model, path).used
    assert_one_sentence(["evaluate", str(path)], "has no card that names its model", 1, capsys)


@pytest.mark.data
@pytest.mark.skipif(not WEIGHTS, reason="there are no weights yet")
@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_shipped_weights_know_mnist(path, data_dir, tmp_path):
    card = read_card(path)
    if card["data"]["digits"] == "embedded":
        pytest.skip("trained on embedded digits")
    out = tmp_path / "evaluation.json"
    words = [
        "evaluate",
        str(path),
        f"--out={out}",
        f"--digits={data_dir / 'mnist'}",
        "--videos=500",
    ]
    assert main(words) == 0
    assert json.loads(out.read_text())["top1"] > card["validation"] - 0.05
