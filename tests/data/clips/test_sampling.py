from fractions import Fraction

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.data.clips.sampling import (
    dense_frames,
    random_crop,
    random_flip,
    segment_frames,
    spread_crops,
    uniform_frames,
)

counts = st.integers(1, 400)
takes = st.integers(1, 40)
offsets = st.fractions(0, Fraction(49, 50), max_denominator=50)
randoms = st.tuples(st.integers(0, 2**40), st.integers(0, 10**6))


# --- frames ---------------------------------------------------------------------------------------


def test_uniform_frames_by_hand():
    assert uniform_frames(16, 8).tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
    assert uniform_frames(10, 4).tolist() == [1, 3, 6, 8]  # 1.25 3.75 6.25 8.75
    assert uniform_frames(10, 4, offset=Fraction(0)).tolist() == [0, 2, 5, 7]
    assert uniform_frames(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert uniform_frames(3, 5).tolist() == [0, 0, 1, 2, 2]  # 0.3 0.9 1.5 2.1 2.7
    assert uniform_frames(1, 3).tolist() == [0, 0, 0]
    assert uniform_frames(9, 1).tolist() == [4]


@given(frames=counts, count=takes)
def test_uniform_frames_are_those_of_the_papers_test_code(frames, count):
    """TSM: int(tick / 2 + tick * k), and int(tick * k) for the second sampling."""
    tick = frames / float(count)
    middles = [int(tick / 2.0 + tick * k) for k in range(count)]
    starts = [int(tick * k) for k in range(count)]
    for ours, theirs in ((MIDDLES(frames, count), middles), (STARTS(frames, count), starts)):
        # theirs is in floats, which may fall just below a whole number
        assert all(a - b in (0, 1) for a, b in zip(ours, theirs, strict=True))
        if 2 * frames % count == 0 and (2 * frames // count) % 2 == 0:
            assert ours == theirs


def MIDDLES(frames, count):  # noqa: N802
    return uniform_frames(frames, count).tolist()


def STARTS(frames, count):  # noqa: N802
    return uniform_frames(frames, count, offset=Fraction(0)).tolist()


@settings(deadline=None, max_examples=40)
@given(frames=counts, count=takes, step=st.integers(1, 20), offset=offsets, random=randoms)
def test_frames_are_sorted_and_in_range(frames, count, step, offset, random):
    for chosen in (
        uniform_frames(frames, count, offset=offset),
        segment_frames(frames, count, random=random),
        dense_frames(frames, count, step=step, offset=offset),
        dense_frames(frames, count, step=step, random=random),
    ):
        assert chosen.dtype == torch.int64
        assert chosen.shape == (count,)
        assert chosen.min() >= 0
        assert chosen.max() < frames
        assert (chosen.diff() >= 0).all()
    assert uniform_frames(frames, count, offset=offset).unique().numel() == min(frames, count)
    assert segment_frames(frames, count, random=random).unique().numel() == min(frames, count)


@given(frames=counts, count=takes, offset=offsets)
@settings(deadline=None, max_examples=40)
def test_uniform_frames_are_as_far_apart_as_can_be(frames, count, offset):
    steps = uniform_frames(frames, count, offset=offset).diff()
    assert ((steps - frames / count).abs() < 1).all()


def test_each_frame_of_a_segment_is_drawn_as_often_as_another():
    """10 frames in 3 segments: 0-2, 3-5, 6-9."""
    drawn = torch.stack([segment_frames(10, 3, random=(1, index)) for index in range(1500)])
    for column, (first, size) in enumerate([(0, 3), (3, 3), (6, 4)]):
        found = (drawn[:, column] - first).bincount(minlength=size)
        assert len(found) == size
        assert (found / 1500 - 1 / size).abs().max() < 0.05
    # segments are drawn apart from each other
    assert abs(torch.corrcoef(drawn.T.double())[0, 1]) < 0.1


def test_dense_frames_by_hand():
    assert dense_frames(100, 4, step=8).tolist() == [37, 45, 53, 61]  # 75 frames to spare
    assert dense_frames(100, 4, step=8, offset=Fraction(0)).tolist() == [0, 8, 16, 24]
    assert dense_frames(100, 4, step=8, offset=Fraction(1)).tolist() == [75, 83, 91, 99]
    assert dense_frames(25, 4, step=8, random=(0, 0)).tolist() == [0, 8, 16, 24]
    assert dense_frames(5, 4, step=2, random=(0, 0)).tolist() == [0, 2, 4, 4]
    firsts = {int(dense_frames(7, 3, step=2, random=(0, index))[0]) for index in range(100)}
    assert firsts == {0, 1, 2}


def test_what_is_random_is_a_function_of_what_is_passed():
    def draws(random):
        return (
            segment_frames(1000, 5, random=random).tolist(),
            dense_frames(1000, 5, random=random).tolist(),
            random_crop(500, 600, 100, random=random),
            random_flip(random=random),
        )

    assert draws((3, 4)) == draws((3, 4))
    for other in ((3, 5), (4, 4)):
        assert all(a != b for a, b in zip(draws((3, 4))[:3], draws(other)[:3], strict=True))
    # the same on every machine, for ever
    assert segment_frames(100, 4, random=(0, 7)).tolist() == [7, 26, 67, 77]


# --- crops ----------------------------------------------------------------------------------------


def test_crops_by_hand():
    assert spread_crops(256, 340, 224) == [(16, 58, 224, 224)]
    assert spread_crops(340, 256, 224) == [(58, 16, 224, 224)]
    assert [c.left for c in spread_crops(256, 340, 256, 3)] == [0, 42, 84]
    assert [c.top for c in spread_crops(340, 256, 256, 3)] == [0, 42, 84]
    assert [c.left for c in spread_crops(256, 456, 256, 11)] == list(range(0, 201, 20))
    assert spread_crops(256, 256, 256, 3) == [(0, 0, 256, 256)] * 3


def test_three_crops_are_those_of_the_papers_test_code():
    """TSM: steps of (width - size) // 4, at 0, 4 and 2 of them; ours reach the very end."""
    for width in range(256, 500):
        step = (width - 256) // 4
        left, middle, right = (crop.left for crop in spread_crops(256, width, 256, 3))
        assert left == 0
        assert 0 <= right - 4 * step < 4
        assert right == width - 256
        assert 0 <= middle - 2 * step < 2


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    count=st.integers(1, 12),
    index=st.integers(0, 99),
    share=st.fractions(0, 1),
)
@settings(deadline=None, max_examples=40)
def test_crops_lie_within_the_frame(height, width, count, index, share):
    size = max(1, int(min(height, width) * share))
    crops = [*spread_crops(height, width, size, count)]
    assert len(crops) == count
    if count > 1:
        ends = {(height, width)[width >= height] - size, 0}
        places = [max(crop.top, crop.left) for crop in crops] if size == min(height, width) else []
        assert not places or {places[0], places[-1]} <= ends
    for crop in [*crops, random_crop(height, width, size, random=(0, index))]:
        assert (crop.height, crop.width) == (size, size)
        assert 0 <= crop.top <= height - size
        assert 0 <= crop.left <= width - size


def test_random_crops_and_flips_are_everywhere():
    drawn = {random_crop(5, 4, 3, random=(0, index))[:2] for index in range(200)}
    assert drawn == {(top, left) for top in range(3) for left in range(2)}
    flips = sum(random_flip(random=(0, index)) for index in range(1000))
    assert abs(flips - 500) < 60
