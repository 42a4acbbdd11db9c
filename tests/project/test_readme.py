"""The README does what it says: its Python runs, its commands parse and run at tiny size."""

import re
import shlex
from pathlib import Path

import pytest

from interlace.commands.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

TINY = shlex.split(
    "--data.digits embedded --data.num_frames 2 --data.validation_size 20 --data.test_size 20 "
    "--recipe.lessons [] --recipe.videos 64 --recipe.batch_size 32 --trainer.threads 1 "
    "--recipe.pretrain_frames 256 --recipe.pretrain_batch 128"
)
TINY_CLIPS = shlex.split(
    "--data.num_frames 2 --data.size 32 --data.short_side 36 --data.workers 0 --recipe.epochs 1 "
    "--trainer.threads 1 --trainer.precision fp32"
)


def tiny(name, rest):
    """What makes a command of the README small."""
    if name == "train":
        return TINY_CLIPS if "--data.path" in rest else TINY
    if name == "generate":
        return ["--per_class", "3", "--frames", "4"]
    if name == "evaluate" and "--protocol" in rest:
        return ["--workers", "0"]
    if name in ("evaluate", "explain") and "--weights" not in rest:
        return ["--digits", "embedded", "--videos", "20"]
    return []


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(".venv/bin/interlace")]


def test_every_python_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(blocks("python")) >= 3
    pytest.importorskip("torchvision")
    names: dict = {}
    traces = []
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
        traces.append(names.get("trace"))
    assert names["logits"].shape == (2, 8, 10)
    shown = [trace for trace in traces if trace is not None]
    assert shown[0].attention.shape == (2, 3, 3, 1, 14, 14)
    assert shown[1].boxes.shape == (2, 8, 9, 4)


def test_every_command_runs_at_tiny_size(tmp_path, monkeypatch, capsys):
    for name in ("configs", "weights"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    known = commands()
    assert {command[1] for command in known} >= {"train", "evaluate", "explain", "predict"}
    for _, name, *rest in known:
        words = [name, *rest, *tiny(name, rest)]
        assert main(words) == 0, (rest, capsys.readouterr().err)
    for page in ("look", "clips", "left"):
        assert (tmp_path / "runs" / page / "report.html").exists()


def test_every_link_to_a_file_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing


def test_every_config_that_is_named_is_there():
    named = re.findall(r"configs/[\w-]+\.yaml", README)
    assert named
    assert all((ROOT / name).exists() for name in named)
