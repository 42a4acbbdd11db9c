"""Made-up clips: only motion tells their classes apart."""

from __future__ import annotations

import numpy as np
import pytest

from interlace.data.clips.motion import MOTIONS, TRAVEL, motion_clip, paths, write_motion_clips
from interlace.data.clips.opening import open_clips
from interlace.data.video.read import read_frames, video_info


@pytest.fixture(scope="module")
def many():
    """motion -> where the shapes are in many clips, (clips, T, 2)."""
    random = np.random.default_rng(0)
    return {m: np.stack([paths(m, random, 9) for _ in range(4000)]) for m in MOTIONS}


@pytest.mark.parametrize(
    ("motion", "first", "second"),
    [("left", -1, -1), ("right", 1, 1), ("together", 1, -1), ("apart", -1, 1)],
)
def test_shapes_move_as_their_class_says_and_equally_fast(many, motion, first, second):
    moved = many[motion][:, -1] - many[motion][:, 0]
    np.testing.assert_allclose(moved, np.broadcast_to([first, second], moved.shape) * 2 * TRAVEL)


def test_a_single_frame_tells_nothing(many):
    """Over all frames of a clip, middle and distance have one distribution in all classes."""
    for part in (lambda x: x.mean(-1), lambda x: x[..., 1] - x[..., 0]):
        quantiles = {
            motion: np.quantile(part(places), np.linspace(0.05, 0.95, 10))
            for motion, places in many.items()
        }
        for motion in MOTIONS[1:]:
            np.testing.assert_allclose(quantiles[motion], quantiles["left"], atol=0.01)


def test_shapes_stay_inside_and_apart(many):
    for places in many.values():
        assert places.min() > 0.05
        assert places.max() < 0.95
        assert (places[..., 1] - places[..., 0]).min() > 0.1


def test_a_clip_shows_its_motion_and_is_the_same_for_the_same_seed():
    clip = motion_clip("right", seed=3, frames=6)
    np.testing.assert_array_equal(clip, motion_clip("right", seed=3, frames=6))
    assert (clip != motion_clip("right", seed=4, frames=6)).any()
    bright = np.array([np.argwhere(frame.max(-1) > 150)[:, 1].mean() for frame in clip])
    assert (np.diff(bright) > 0).all()
    assert bright[-1] - bright[0] == pytest.approx(2 * TRAVEL * 160, rel=0.25)


def test_files_are_a_folder_of_classes_in_two_formats(tmp_path):
    files = write_motion_clips(tmp_path / "clips", per_class=2, frames=5)
    assert len(files) == 8
    clips = open_clips(tmp_path / "clips")
    assert sorted(clips.classes) == sorted(MOTIONS)
    assert clips.counts() == [2, 2, 2, 2]
    info = [video_info(path) for path in files[:2]]
    assert [about.codec for about in info] == ["vp9", "h264"]
    for about, path, k in zip(info, files, range(2), strict=False):
        assert (about.frames, about.width, about.height) == (5, 160, 120)
        read = read_frames(path).numpy().transpose(0, 2, 3, 1).astype(float)
        assert (
            abs(read - motion_clip("left", seed=k, frames=5)).mean() < 14
        )  # codec, and noise lost


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 0 of 24"):
        write_motion_clips(tmp_path, per_class=0)
