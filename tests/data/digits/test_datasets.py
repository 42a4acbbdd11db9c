"""Data sets by name: their own arguments are their options."""

import dataclasses

import pytest

from interlace.data.digits.datasets import DATASETS, video_options
from interlace.data.digits.moving import MovingDigits
from registered import register_for_a_test


@pytest.mark.parametrize("argument", ["speed=2", "speed: int"])
def test_an_argument_needs_a_type_and_a_default(argument, monkeypatch):
    register_for_a_test(monkeypatch)
    names: dict = {}
    exec(f"class Own:\n    def __init__(self, digits, *, split, size, {argument}): ...", names)
    DATASETS.register("Own")(names["Own"])
    with pytest.raises(ValueError, match="Own: speed becomes an option: give it a type and a def"):
        video_options("Own")


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_options_are_the_arguments_of_the_class_with_their_defaults(name):
    options, own = video_options(name)(), DATASETS[name]
    assert issubclass(own, MovingDigits)
    assert options.name == name
    held = {one.name: one.default for one in dataclasses.fields(own)}
    shown = dataclasses.asdict(options)
    for key in ("num_digits", "classes", "num_frames", "canvas", "frame", "max_step", "no_pair"):
        assert shown[key] == held[key]
