"""How fast clips are read: what is timed, and what is said of it."""

import re

import pytest
import torch

from interlace.commands.cli import main
from interlace.commands.clip_speeds import Speeds, measure
from interlace.data.clips.dataset import TrainingClips
from interlace.data.clips.opening import open_unlabelled
from interlace.data.clips.shape import ClipShape
from videos import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    for k in range(5):
        write(root / f"{k}.mp4", 12)
    return root


def test_the_slower_one_is_the_bound():
    assert Speeds(decoder=40, loader=36, model=3, share=0.9).bound.startswith(
        "the model is the bound: clips come 12.0 times"
    )
    assert Speeds(decoder=4, loader=3, model=12, share=0.75).bound.startswith(
        "loading is the bound: the model would learn 4.0 times"
    )


def test_the_step_gets_the_clips_of_a_training(folder):
    seen = []
    shape = ClipShape(num_frames=2, size=40, short_side=48)
    clips = open_unlabelled(folder)
    step = lambda video, label: seen.append((video, label))  # noqa: E731
    speeds = measure(clips, shape, step, batch_size=3, workers=0, repeats=2)
    assert min(speeds.decoder, speeds.loader, speeds.model, speeds.share) > 0
    assert len(seen) == 3  # one to warm up
    expected = TrainingClips(clips, shape)[1, 2].video
    assert torch.equal(seen[2][0][2], expected)
    assert seen[2][1].tolist() == [0, 0, 0]


def test_the_command(folder, capsys):
    words = ["bench", "data", str(folder), "--model=tsm_r18", "--clips=2", "--num_frames=2"]
    words += ["--size=32", "--short_side=40", "--batch_size=2", "--repeats=1", "--workers=0"]
    assert main(words) == 0
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert "0 workers, batches of 2 x 2 frames, median of 1" in first
    for line, name in zip(lines, ("decoder alone", "loader: ", "tsm_r18 learns"), strict=True):
        assert re.fullmatch(rf"{name}.* [\d,.]+ clips/s(, \d+% of the decoder)?", line)
    assert "is the bound" in last


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model=rstg_positional"], "'rstg_positional' is no model for real videos"),
        (["--batch_size=0"], "batch_size must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_timed(folder, capsys, words, says):
    assert main(["bench", "data", str(folder), *words]) == 1
    assert says in capsys.readouterr().err
