"""Published tables beside ours: what is trained, what is skipped, and that the page says so."""

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import interlace.experiments.reproduce
from interlace.commands.cli import main
from interlace.data.digits import load_digits
from interlace.data.digits.datasets import make_videos
from interlace.experiments.experiment import scaled, varied, videos_of
from interlace.experiments.reproduce import digits_kind
from interlace.experiments.tables import Tables
from interlace.models.registry import create_model, list_models
from interlace.training.options import check_options
from interlace.training.tasks.digit_options import DigitRecipeOptions, Lesson
from interlace.training.tasks.digits import DigitTask

ROOT = Path(__file__).parents[2]
TABLES = Tables(ROOT / "reproduce")
ROWS = [(name, row) for name, rows in TABLES.rows.items() for row in rows]
CONFIGS = sorted({config for _, row in ROWS for config in row.configs})
PUBLISHED = list(csv.DictReader((ROOT / "reproduce/published.csv").open(newline="")))
SMALL = {
    "data": {
        "name": "MultiSyncMNIST", "num_digits": 2, "classes": 3, "num_frames": 2, "canvas": 40,
        "frame": 24, "validation_size": 8, "test_size": 12,
    },
    "recipe": {
        "pretrain_task": "presence", "pretrain_frames": 32, "pretrain_batch": 16, "batch_size": 8,
        "lessons": [{"videos": 24, "no_pair": 0.5}], "videos": 40,
    },
    "trainer": {"validate_every": 32, "save_every": 2, "precision": "fp32"},
}  # fmt: skip
OWN = {
    "small_fixed": {"base": "small.yaml", "model": {"name": "dyreg_fixed_small"}},
    "small_net": {"base": "small.yaml", "model": {"name": "resnet18_small"}},
    "small_net3": {"base": "small_net.yaml", "data": {"num_digits": 3}},
    "paper_net": {"model": {"name": "resnet18"}, "data": {"name": "MultiSyncMNIST"}},
}
STATED = {
    "dyreg-5": {
        "title": "a table",
        "rows": [
            {"label": "Fixed", "published": 78.85, "configs": ["tiny/small_fixed"]},
            {
                "label": "Net", "published": 52.29,
                "configs": ["tiny/small_net", "tiny/paper_net"],
            },
        ],
    },
    "dyreg-9": {
        "title": "another",
        "rows": [
            {"label": "Two", "parameters": 2.82, "configs": ["tiny/small_fixed"]},
            {"label": "Three", "configs": ["tiny/small_net3"]},
        ],
    },
}  # fmt: skip
PAGE = "top\n\n@dyreg-5@\n\n@dyreg-9@\n\nend\n"


def stated(folder, **small):
    configs = folder.parent / "configs/tiny"
    configs.mkdir(parents=True, exist_ok=True)
    for name, text in (OWN | {"small": SMALL | small}).items():
        (configs / f"{name}.yaml").write_text(yaml.safe_dump(text))
    (folder / "tables.yaml").write_text(yaml.safe_dump(STATED, sort_keys=False))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder as in a clone, which is the current one."""
    folder = tmp_path / "reproduce"
    (folder / "results").mkdir(parents=True)
    (folder / "RESULTS.in.md").write_text(PAGE)
    stated(folder)
    monkeypatch.chdir(tmp_path)
    return folder


def reproduce(*words):
    return main(["reproduce", *words, "--digits=embedded", "--threads=1"])


def made(folder):
    return {p.stem: json.loads(p.read_text()) for p in (folder / "results/tiny").glob("*.json")}


def lines_of(page, label):
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()]
    return [line for line in cells if line[0] == label]


def no_training(monkeypatch):
    monkeypatch.setattr(interlace.experiments.reproduce, "train", lambda *_: pytest.fail("trains"))


# --- the command --------------------------------------------------------------------------------


def test_a_table_is_trained_once_and_the_page_says_what_the_jsons_say(clone, monkeypatch, capsys):
    assert reproduce("dyreg-5", "--seeds=[0,1]") == 0
    said = capsys.readouterr()
    results = made(clone)
    names = ("small_fixed_embedded", "small_net_embedded")
    assert results.keys() == {f"{name}_seed{seed}" for name in names for seed in (0, 1)}
    assert "0 results are there, 4 to make" in said.err

    fixed = [results[f"small_fixed_embedded_seed{seed}"] for seed in (0, 1)]
    for seed, one in enumerate(fixed):
        assert (one["model"], one["seed"]) == ("dyreg_fixed_small", seed)
        assert one["config"] == "configs/tiny/small_fixed.yaml"
        assert one["videos_seen"] == 64
        assert one["frames_seen"] == 32
        assert one["budget_videos"] is None
        assert one["count"] == 12
        model = create_model("dyreg_fixed_small", num_classes=7)
        assert one["parameters"] == sum(p.numel() for p in model.parameters())
        assert one["options"].keys() == {"model", "data", "recipe", "trainer"}
        assert one["options"]["trainer"] == {
            "precision": "fp32", "validate_every": 32, "seed": seed,
        }  # fmt: skip
        assert sum(map(sum, one["confusion"])) == 12
        assert one["options"]["data"]["digits"] == "embedded"
        assert one["options"]["data"]["max_step"] == 10  # the data set's own
        assert str(clone.parent) not in json.dumps(one)
        assert one["curve"]["videos"] == [32, 64]
        assert len(one["curve"]["accuracy"]) == len(one["curve"]["distance"]) == 2
        spent = one["curve"]["cpu_seconds"]
        assert 0 < spent[0] < spent[1] < one["cpu_seconds"] + 0.1
        assert one["best_validation"]["accuracy"] == max(one["curve"]["accuracy"])
        assert {"commit", "hardware", "date"} <= one["environment"].keys()
    net = results["small_net_embedded_seed0"]
    assert net["regions"] is None
    assert net["curve"].keys() == {"videos", "accuracy", "cpu_seconds"}

    # the page, by hand
    page = (clone.parent / "RESULTS.md").read_text()
    assert page.startswith("top\n")
    assert page.endswith("\nend\n")
    assert not re.search(r"@[\w-]+@", page)
    one, two = fixed
    accuracy = [100 * r["top1"] for r in fixed]
    dist = [r["regions"]["dist"] for r in fixed]
    (line,) = lines_of(page, "Fixed")
    links = [
        f"[seed {s}](reproduce/results/tiny/small_fixed_embedded_seed{s}.json)" for s in (0, 1)
    ]
    recall = [100 * r["regions"]["recall"] for r in fixed]
    assert line == [
        "Fixed",
        "78.85",
        f"{sum(accuracy) / 2:.1f} ± {abs(accuracy[0] - accuracy[1]) / 2:.1f}",
        "2 digits, 2 × 24 × 24, embedded",
        f"{sum(dist) / 2:.3f} ± {abs(dist[0] - dist[1]) / 2:.3f}",
        f"{sum(recall) / 2:.1f} ± {abs(recall[0] - recall[1]) / 2:.1f}",
        f"{one['parameters'] / 1e6:.2f} M",
        "64 + 32 frames",
        "[small_fixed](configs/tiny/small_fixed.yaml)",
        ", ".join(links),
    ]
    assert all((clone.parent / link.split("(")[1][:-1]).is_file() for link in links)
    (net_line,) = lines_of(page, "Net")
    assert net_line[4:6] == ["–", "–"]
    (two_line,) = lines_of(page, "Two")  # the same training, in another table
    assert two_line[:4] == ["Two", "–", "2.82 M", line[2]]
    (three,) = lines_of(page, "Three")
    assert three[1:4] == ["–", "–", "not run"]
    assert three[-2:] == ["[small_net3](configs/tiny/small_net3.yaml)", ""]
    table = page.split("\n\n")[1]
    assert table in said.out
    assert "dyreg-9" not in said.out

    # the numbers are those of the weights
    (run,) = Path("runs/reproduce").glob("small_fixed_embedded_seed1_*")
    assert main(["evaluate", str(run / "best.safetensors"), "--precision=fp32"]) == 0
    evaluation = json.loads((run / "best.evaluation.json").read_text())
    assert (evaluation["top1"], evaluation["regions"]) == (two["top1"], two["regions"])

    # once more: nothing to do
    no_training(monkeypatch)
    before = made(clone)
    assert reproduce("dyreg-5", "--seeds=[0,1]") == 0
    assert "4 results are there, 0 to make" in capsys.readouterr().err
    assert made(clone) == before
    assert (clone.parent / "RESULTS.md").read_text() == page


def test_a_run_that_is_stopped_goes_on(clone, monkeypatch, capsys):
    original, asked = DigitTask.batch, []

    def batch(task, step, device, stop=5):
        asked.append(step)
        if step == stop:
            raise KeyboardInterrupt
        return original(task, step, device)

    words = ("dyreg-5", "--only=resnet18_small")
    monkeypatch.setattr(DigitTask, "batch", batch)
    assert reproduce(*words) == 130
    assert not made(clone)
    assert "the same command goes on" in capsys.readouterr().err
    asked.clear()
    monkeypatch.setattr(DigitTask, "batch", lambda *a: batch(*a, stop=-1))
    assert reproduce(*words) == 0
    assert asked == list(range(4, 10))  # the checkpoint was of step 4, the run has 2 + 3 + 5
    assert made(clone).keys() == {"small_net_embedded_seed0"}


def test_a_result_of_other_options_is_named_and_made_again_only_by_force(
    clone, monkeypatch, capsys
):
    words = ("dyreg-5", "--only=resnet18")
    assert reproduce(*words) == 0
    (name,) = made(clone)
    path = clone / f"results/tiny/{name}.json"
    capsys.readouterr()
    stated(clone, recipe=SMALL["recipe"] | {"lr": 0.5})
    trained = interlace.experiments.reproduce.train
    no_training(monkeypatch)
    assert reproduce(*words) == 0
    said = capsys.readouterr().out
    sentence = "is stale: recipe.lr was 0.003 and is 0.5 now; --force runs it again\n"
    assert f"reproduce/results/tiny/{name}.json {sentence}" in said
    (line,) = lines_of(said, "Net")
    assert line[2] == "stale"
    assert line[-1].endswith("(stale)")

    monkeypatch.setattr(interlace.experiments.reproduce, "train", trained)
    assert reproduce(*words, "--force") == 0
    assert "stale" not in capsys.readouterr().out
    again = json.loads(path.read_text())
    assert again["options"]["recipe"]["lr"] == 0.5

    # an option that came later had its default; one that is gone is another matter
    del again["options"]["recipe"]["region_lr"], again["options"]["trainer"]
    path.write_text(json.dumps(again))
    assert main(["reproduce", "dyreg-5", "--no_train"]) == 0
    assert "stale" not in capsys.readouterr().out
    again["options"]["recipe"]["colour"] = "red"
    path.write_text(json.dumps(again))
    assert main(["reproduce", "dyreg-5", "--no_train"]) == 0
    assert "recipe.colour was red and is None now" in capsys.readouterr().out


def test_results_of_a_budget_are_kept_apart_and_marked(clone, monkeypatch, capsys):
    assert reproduce("dyreg-9", "--only=resnet18", "--budget_videos=32") == 0
    results = made(clone)
    assert results.keys() == {"small_net3_embedded_budget32_seed0"}
    (one,) = results.values()
    recipe = one["options"]["recipe"]
    assert (recipe["videos"], recipe["lessons"][0]["videos"]) == (20, 12)
    assert one["videos_seen"] == 16 + 8  # whole batches
    assert one["budget_videos"] == 32
    (line,) = lines_of(capsys.readouterr().out, "Three")
    assert line[-2] == "[small_net3](configs/tiny/small_net3.yaml), 32 videos only"
    no_training(monkeypatch)
    for budget, sentence in (
        ("64", "below the config's own 64 videos, got 64"),
        ("21", "must be at least 22, a batch for every lesson, and below"),
    ):
        assert reproduce("dyreg-9", f"--budget_videos={budget}") == 1
        assert sentence in capsys.readouterr().err


def test_without_training_only_the_page_is_written(clone, monkeypatch, capsys):
    no_training(monkeypatch)
    early = ROOT / "reproduce/results/rstg/small_mean_lstm_3digits_145000.json"
    (clone / "results/tiny").mkdir()
    shutil.copy(early, clone / "results/tiny/small_net.json")  # says no seed, old spellings
    assert main(["reproduce", "all", "--no_train"]) == 0
    page, said = (clone.parent / "RESULTS.md").read_text(), capsys.readouterr().out
    assert page.count("not run") == 3
    assert "small_net.json is stale: model.name was mean_lstm_small and is resnet18_small" in said
    assert "[record](reproduce/results/tiny/small_net.json) (stale)" in page
    assert all(table.strip() in said for table in page.split("\n\n")[1:-1])
    assert main(["reproduce", "dyreg-5", "--only=resnet18"]) == 0
    assert "1 results are there, 0 to make" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["dyreg-12"],
            "no table named 'dyreg-12'; did you mean 'dyreg-9'? there are all, dyreg-5,",
        ),
        (["dyreg-5", "--only=dyreg"], "no model of the table named 'dyreg'"),
        (["dyreg-5", "--digits=nowhere"], "no such folder exists"),
        (["dyreg-5", "--folder=nowhere"], "works in a clone of the repository"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(words, sentence, clone, capsys):
    assert main(["reproduce", *words, "--threads=1"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert not (clone.parent / "RESULTS.md").exists()


def test_a_damaged_result_is_named(clone, capsys):
    folder = clone / "results/tiny"
    folder.mkdir()
    (folder / "small_fixed_seed0.json").write_text('{"seed"')
    assert main(["reproduce", "dyreg-5", "--no_train"]) == 1
    assert "seed0.json is no JSON" in capsys.readouterr().err
    (folder / "small_fixed_seed0.json").write_text("{}")
    assert main(["reproduce", "dyreg-5", "--no_train"]) == 1
    assert "is no result of `interlace reproduce`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: {rows: []}", "a table has a title and rows, not so: 'title'"),
        ("a: {title: b, rows: [{c: 1}]}", "unexpected keyword argument 'c'"),
        ("a: {title: b, rows: [{label: c}]}", "configs"),
        ("a: {", "while parsing"),
    ],
)
def test_wrong_tables_are_named(text, sentence, clone):
    (clone / "tables.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"tables\.yaml.*" + re.escape(sentence)):
        Tables(clone)


def test_a_folder_of_mnist_is_mnist_and_another_is_refused(monkeypatch):
    counts = {True: 60_000, False: 10_000}

    class Few:
        def __init__(self, count):
            self.labels = torch.zeros(count, dtype=torch.int64)

    monkeypatch.setattr(
        interlace.experiments.reproduce, "load_digits", lambda _, *, train: Few(counts[train])
    )
    assert [digits_kind(d) for d in ("mnist", "embedded", "/a/folder")] == [
        "mnist", "embedded", "mnist",
    ]  # fmt: skip
    counts[False] = 9_999
    with pytest.raises(ValueError, match="must hold MNIST's 60,000 and 10,000 digits"):
        digits_kind("/a/folder")


# --- what the repository holds ------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
def test_every_row_can_be_trained(config):
    experiment = TABLES.experiment(config)
    options = experiment.options
    setting = Path(config).name.split("_")[0]
    assert setting in ("small", "paper")
    assert options.model.name in list_models()
    ours = config.startswith("content/")  # of one size
    assert options.model.name.endswith("_small") == (setting == "small" and not ours)
    assert options.trainer.out == f"runs/{config}"
    assert f"_{options.data.num_digits}digits" in config or "_ablation_" in config
    check_options(options.recipe, options.trainer)
    videos = make_videos(options.data, DIGITS, split="test")
    assert videos.num_classes == (56 if options.data.name == "MultiSyncMNIST" else 46)
    total = sum(videos_of(options.recipe))
    small = varied(experiment, digits="mnist", budget=total // 10).options.recipe
    assert sum(videos_of(small)) == pytest.approx(total / 10, abs=len(small.lessons) + 1)


DIGITS = load_digits("embedded", train=True)


def test_every_config_of_a_table_stands_in_one():
    """But for what others are based on."""
    files = {
        path.relative_to(ROOT / "configs").with_suffix("").as_posix()
        for folder in ("dyreg", "rstg", "content")
        for path in (ROOT / "configs" / folder).glob("*.yaml")
    }
    bases = {"dyreg/small", "dyreg/paper", "rstg/small", "rstg/small_145000"}
    bases |= {f"content/{name}" for name in ("small", "multi", "ablation")}
    backbones = {f"content/backbone{name}" for name in ("", "_close", "_pairs", "_sync", "_multi")}
    assert files - set(CONFIGS) == bases | backbones


def test_scaling_keeps_proportions_and_all_else():
    lesson = Lesson(videos=300, num_digits=2)
    recipe = DigitRecipeOptions(videos=700, lessons=[lesson], lr=0.1)
    small = scaled(recipe, 200)
    assert (small.videos, small.lessons[0].videos) == (140, 60)
    again = dataclasses.replace(small, videos=700, lessons=[lesson])
    assert again == recipe


CSV_LABELS = {
    "Constant-time": "Ct-Time", "Position-only": "Pos-Only", "DyReg": "DyReg-GNN",
    "DyReg-lite": "DyReg-GNN-Lite", "DyReg without GRU": "DyReg-GNN without GRU",
    "ResNet-18 + Conv-LSTM": "R18 + Conv-LSTM", "ResNet-18 + Non-Local": "R18 + NL",
    "Bilinear (1/16)": "Fix bilinear", "Ground-truth boxes": "gt. boxes",
}  # fmt: skip


def test_published_numbers_are_those_of_the_list():
    of_papers = [
        (name, row) for name, row in ROWS if name not in ("content", "ablation", "schedules")
    ]
    rows = {(name, row.label): row for name, row in of_papers}
    assert len(rows) == len(of_papers) == 15 + 5 + 5 + 15 + 2 + 5 + 6 + 2
    checked = 0
    for line in PUBLISHED:
        name = f"{line['paper'].lower()}-{line['table']}"
        if name not in TABLES.rows:
            continue
        if line["paper"] == "RSTG":
            label = f"{line['model']}, {line['dataset']}"
        else:
            label = line["model"].replace("Fixed size 1/", "Fix λ = ")
            label = re.sub(r"^DyReg (\d+) nodes", r"DyReg \1 Nodes", CSV_LABELS.get(label, label))
            if found := re.search(r"D=\d", line["dataset"]):
                label += f", {found[0]}"
        row = rows[name, label]
        assert row.published == (None if line["value"] == "–" else float(line["value"])), line
        if found := re.fullmatch(r"([\d.]+) M parameters", line["note"]):
            for other in TABLES.rows["dyreg-6"]:
                if other.label == label:
                    assert other.parameters == float(found[1])
        checked += 1
    assert checked == 29 + 15
    # what is said twice is said alike
    of_config = {}
    for name, row in of_papers:
        if name != "dyreg-7":
            assert of_config.setdefault(row.configs[0], row.published) == row.published


@pytest.mark.parametrize("row", TABLES.rows["dyreg-6"], ids=lambda row: row.label)
def test_models_are_as_large_as_published(row):
    model_name = TABLES.experiment(row.configs[1]).options.model.name
    with torch.device("meta"):
        model = create_model(model_name, num_classes=56)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(row.parameters, rel=0.01)


def test_the_page_is_that_of_the_results(tmp_path):
    for folder in ("reproduce", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    page = Tables(tmp_path / "reproduce").write_page().read_text()
    assert (ROOT / "RESULTS.md").read_text() == page, "run: interlace reproduce all --no_train"
    assert not re.search(r"@[\w-]+@", page)
    for name in TABLES.rows:
        assert TABLES.text(name) in page
        assert not TABLES.stale(name)
    for folder in ("dyreg", "rstg"):
        for path in (ROOT / "reproduce/results" / folder).glob("*.json"):
            assert f"({path.relative_to(ROOT).as_posix()})" in page
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page)
    assert [link for link in links if not (ROOT / link).exists()] == []
