"""What a model is shown of a video."""

from __future__ import annotations

import pytest
import torch

from interlace.data.clips.sampling import views
from interlace.data.clips.shape import ClipShape


@pytest.mark.parametrize("name", ["central", "3x2", "11x2"])
def test_views_of_the_default_shape_are_the_named_protocols(name):
    ours = ClipShape().views(name, 100, 256, 340)
    for view, wanted in zip(ours, views(name, 100, 256, 340, count=16), strict=True):
        assert view.crop == wanted.crop
        assert torch.equal(view.frames, wanted.frames)


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
    [({"num_frames": 0}, "from 1"), ({"size": 300}, "short_side must be at least size, 300")],
)
def test_impossible_shapes_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        ClipShape(**wrong)
