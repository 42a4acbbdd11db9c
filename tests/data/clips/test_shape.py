"""What a model is shown of a video."""

from __future__ import annotations

import pytest

from interlace.data.clips.shape import PROTOCOLS, ClipShape


def test_the_papers_protocols_by_hand():
    ((frames, crop),) = ClipShape(num_frames=4).views("central", 100, 256, 340)
    assert frames.tolist() == [12, 37, 62, 87]
    assert crop == (16, 58, 224, 224)

    six = ClipShape(num_frames=4).views("3x2", 100, 256, 340)
    assert [view.frames.tolist() for view in six] == (
        [[12, 37, 62, 87]] * 3 + [[0, 25, 50, 75]] * 3
    )
    assert [view.crop for view in six] == [(0, left, 256, 256) for left in (0, 42, 84)] * 2

    many = ClipShape(num_frames=32).views("11x2", 320, 256, 456)
    assert [view.crop.left for view in many] == [*range(0, 201, 20)] * 2
    assert many[0].frames.tolist() == list(range(5, 320, 10))
    assert many[11].frames.tolist() == list(range(0, 320, 10))
    assert {protocol.short_side for protocol in PROTOCOLS.values()} == {256}


def test_a_wrong_name_of_a_protocol():
    with pytest.raises(ValueError, match="one of central, 3x2, 11x2, got '10x3'"):
        ClipShape(num_frames=8).views("10x3", 100, 256, 340)


def test_squares_shrink_with_the_frames():
    shape = ClipShape(num_frames=8, size=112, short_side=128)
    assert shape.protocol("central").size == 112
    assert {view.crop.height for view in shape.views("3x2", 30, 128, 200)} == {128}


def test_dense_views_are_stretches_with_the_crops_side_by_side():
    shape = ClipShape(num_frames=4, sampling="dense", step=3)
    shown = shape.views("3x2", 100, 256, 340)
    assert [view.frames.diff().tolist() for view in shown] == [[3, 3, 3]] * 6
    assert [int(view.frames[0]) for view in shown] == [45, 45, 45, 0, 0, 0]
    assert len({view.crop for view in shown[:3]}) == 3


def test_training_frames_follow_the_sampling():
    dense = ClipShape(num_frames=4, sampling="dense", step=2)
    assert dense.training_frames(50, random=(0, 1)).diff().tolist() == [2, 2, 2]
    spread = ClipShape(num_frames=4).training_frames(400, random=(0, 1))
    assert [int(frame) // 100 for frame in spread] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"num_frames": 0}, "from 1"),
        ({"step": 0}, "from 1"),
        ({"size": 300}, "short_side must be at least size, 300"),
    ],
)
def test_impossible_shapes_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        ClipShape(**wrong)
