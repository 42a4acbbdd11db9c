"""Stretches of videos, and frames by time where the rate varies."""

from pathlib import Path

import pytest

from interlace.data.labels.listed import find_sources
from interlace.data.video import Excerpt, Span, VideoError, check_video, read_frames, video_info
from interlace.data.video.excerpt import moments
from interlace.data.video.read import read_moments
from videos import numbered, numbers, write, write_picture

# a phone's: half of the frames in the first 5 % of 8 seconds; in 1/100 s
PHONE = [*range(0, 40, 2), *range(40, 800, 38)]


def excerpt(path, start, end, unit="seconds"):
    return Excerpt(Path(path), Span(start, end, unit))


@pytest.mark.parametrize("suffix", ["mp4", "webm", "avi", "gif"])
def test_a_stretch_is_a_video_of_its_own(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", 40)  # 25 frames a second
    part = excerpt(path, 0.4, 0.8)
    assert numbers(read_frames(part)) == list(range(10, 20))
    assert numbers(read_frames(part, [9, 0, 0])) == [19, 10, 10]
    assert numbers(read_frames(part, lambda frames: [frames - 1])) == [19]
    assert video_info(part).frames == check_video(part).frames == 10
    assert video_info(part).name == f"{path} (0.4 to 0.8 s)"
    assert numbers(read_frames(excerpt(path, 3, 5, "frames"))) == [3, 4]
    assert read_frames(part, []).shape == (0, 3, 48, 80)
    with pytest.raises(VideoError, match=r"\(0.4 to 0.8 s\) has 10 frames, 0 to 9, and frame 10"):
        read_frames(part, [10])
    assert find_sources(part) == [part]


def test_the_ends_of_a_stretch(tmp_path):
    path = write(tmp_path / "a.mp4", 40)
    assert numbers(read_frames(excerpt(path, 1.51, 1.515))) == [37]  # between two frames
    assert numbers(read_frames(excerpt(path, 0.0397, 0.1203))) == [1, 2]  # as rounded
    assert numbers(read_frames(excerpt(path, 1.56, 2.5))) == [39]
    assert numbers(read_frames(excerpt(path, 39, 41, "frames"))) == [39]
    for start, end in ((1.6, 2), (1, 2.7)):
        with pytest.raises(VideoError, match=r"a.mp4 is 1.6 s long, and .* call the columns start"):
            read_frames(excerpt(path, start, end))
    for start, end in ((40, 41), (3, 42)):
        with pytest.raises(VideoError, match=r"a.mp4 has 40 frames, and frames .*; correct the l"):
            video_info(excerpt(path, start, end, "frames"))


def test_a_stretch_of_a_folder(tmp_path):
    for index in range(6):
        write_picture(tmp_path / f"{index}.png", numbered(index))
    assert numbers(read_frames(excerpt(tmp_path, 2, 5, "frames"))) == [2, 3, 4]
    assert video_info(excerpt(tmp_path, 2, 5, "frames")).frames == 3
    with pytest.raises(
        VideoError, match=r"nothing tells how long the frames .* start_frame and end"
    ):
        read_frames(excerpt(tmp_path, 0, 1))


def test_a_stretch_where_the_rate_varies(tmp_path):
    path = write(tmp_path / "a.mp4", 40, pts=PHONE)
    within = [k for k, time in enumerate(PHONE) if 30 <= time < 500]
    assert numbers(read_frames(excerpt(path, 0.3, 5))) == within


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_frames_by_time_where_the_rate_varies(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", 40, pts=PHONE)
    frames, which = read_moments(path, range(0, 40, 5))
    assert numbers(frames) == which.tolist()
    apart = (PHONE[-1] - PHONE[0]) / 39
    for k, number in zip(range(0, 40, 5), which.tolist(), strict=True):
        time = (k + 0.5) * apart
        assert PHONE[number] <= time < [*PHONE, 1000][number + 1]
    assert (which < 20).sum() == 1  # not half of them
    even = write(tmp_path / f"b.{suffix}", 40)
    frames, which = read_moments(even, [3, 39, 3])
    assert numbers(frames) == which.tolist() == [3, 39, 3]
    # within a stretch the moments are its own
    frames, which = read_moments(excerpt(path, 0, 0.4), range(20))
    assert numbers(frames) == which.tolist() == list(range(20))


def test_moments():
    assert moments([5.0]) == [0]
    assert moments([0.0, 1.0]) == [0, 1]
    assert moments([0, 0.5, 0.9, 1.5, 2.0]) == [0, 1, 2, 3, 4]  # as films in 24 of 30 frames
