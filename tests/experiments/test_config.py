"""A config states differences only, on top of its base."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from interlace.experiments.config import on_base, read_config
from interlace.experiments.experiment import open_experiment
from interlace.training.tasks import options_for

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_config_stands_on_its_base(tmp_path):
    (tmp_path / "below").mkdir()
    write(
        tmp_path,
        first="data: {name: clips, size: 32}\nrecipe: {lr: 0.1}",
        second="base: first.yaml\ndata: {size: 64}\ntrainer: {out: runs/x}",
        third="# nothing\n",
    )
    (tmp_path / "below/fourth.yaml").write_text("base: ../second.yaml\nrecipe: {lessons: []}")
    assert read_config(tmp_path / "first.yaml") == {
        "data": {"name": "clips", "size": 32}, "recipe": {"lr": 0.1},
    }  # fmt: skip
    assert read_config(tmp_path / "below/fourth.yaml") == {
        "data": {"name": "clips", "size": 64},
        "recipe": {"lr": 0.1, "lessons": []},
        "trainer": {"out": "runs/x"},
    }
    assert read_config(tmp_path / "third.yaml") == {}
    stated = {"base": "first.yaml", "data": {"size": 8}}
    assert on_base(stated, tmp_path / "piped") == {
        "data": {"name": "clips", "size": 8}, "recipe": {"lr": 0.1},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base: none.yaml", r"there is no config .*none\.yaml"),
        ("base: a.yaml", r"a\.yaml is its own base"),
        ("- 1", "must hold parts"),
        ("data: 3", "must hold parts"),
        ("data: {", "a.yaml is not readable as YAML: "),
    ],
)
def test_what_is_no_config_is_named(tmp_path, text, says):
    write(tmp_path, a=text)
    with pytest.raises(ValueError, match=says):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CONFIGS).as_posix())
def test_a_config_is_understood_and_states_only_differences(path):
    """From its base, or else from the defaults; names may be said anyway."""
    name = path.relative_to(CONFIGS).with_suffix("").as_posix()
    whole = asdict(open_experiment(CONFIGS, name).options)
    stated = yaml.safe_load(path.read_text())
    base = stated.pop("base", None)
    below = read_config(path.parent / base) if base else {}
    kinds = options_for(whole["data"]["name"])
    for part, values in stated.items():
        for key, value in values.items():
            before = below.get(part, {}).get(key, getattr(kinds[part](), key))
            assert key == "name" or value != before, f"{part}.{key}: leave it out"
            if key != "lessons":
                assert whole[part][key] == value


def test_no_two_configs_train_in_one_folder():
    """But for those that others stand on, which name none."""
    named = {path: read_config(path).get("trainer", {}).get("out") for path in FILES}
    own = [out for out in named.values() if out is not None]
    assert len(set(own)) == len(own) > 80
    bases = {"dyreg/small", "dyreg/paper", "rstg/small", "rstg/small_145000"}
    bases |= {"content/small", "content/multi", "content/ablation"}
    assert {
        path.relative_to(CONFIGS).with_suffix("").as_posix()
        for path, out in named.items()
        if out is None
    } == bases


def test_a_part_may_say_its_name_alone(tmp_path):
    (tmp_path / "a.yaml").write_text("data: clips\nmodel: tsm_r18\nrecipe: {epochs: 2}\n")
    stated = read_config(tmp_path / "a.yaml")
    assert stated == {
        "data": {"name": "clips"},
        "model": {"name": "tsm_r18"},
        "recipe": {"epochs": 2},
    }
