"""A config states differences only, on top of its base."""

import pytest

from interlace.experiments.config import read_config


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
