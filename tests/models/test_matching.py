"""Boxes matched over time, against all permutations and by hand."""

import itertools
import sys

import pytest
import torch

from graphs import draw, exact
from interlace.graph.boxes import iou
from interlace.models.matching import match_over_time

A, B, C = [0.2, 0.2, 0.1, 0.1], [0.8, 0.3, 0.1, 0.15], [0.5, 0.8, 0.2, 0.1]
NONE = [float("nan")] * 4


def moving(objects=5, frames=12, *, seed=0):
    """(T, M, 4): objects on a circle, each turning by less than its own size a frame."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.arange(objects) / objects * 2 * torch.pi + torch.arange(frames)[:, None] * 0.1
    half = 0.06 + 0.02 * torch.rand(objects, 2, generator=generator).double()
    centre = 0.5 + 0.35 * torch.stack((angle.cos(), angle.sin()), -1).double()
    return torch.cat((centre, half.expand(frames, -1, -1)), -1)


def shuffled(boxes, *, seed=0):
    """Each frame's boxes in an order of its own, the first one's as it is."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(boxes.shape[1], generator=generator) for _ in boxes]
    orders[0] = torch.arange(boxes.shape[1])
    return torch.stack([frame[order] for frame, order in zip(boxes, orders, strict=True)])


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("seed", range(3))
def test_permuted_boxes_of_moving_objects_are_put_back_in_order(seed):
    boxes = moving(seed=seed)
    mixed = shuffled(boxes, seed=seed)
    assert not torch.equal(mixed, boxes)
    same(match_over_time(mixed, nodes=5), boxes)
    more = match_over_time(mixed)  # nine nodes as in the paper
    same(more[:, :5], boxes)
    assert bool(more[:, 5:].isnan().all())
    assert more.shape == (12, 9, 4)


@pytest.mark.parametrize("seed", range(20))
def test_of_all_orders_the_one_with_the_largest_iou_is_taken(seed):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(2, 4, 4, generator=generator).double() * 0.4 + 0.2
    found = match_over_time(boxes, nodes=4)
    overlaps = iou(boxes[0], boxes[1])
    best = max(
        sum(overlaps[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(4))
    )
    reached = iou(found[0], found[1]).diagonal().sum()
    assert float(reached) == pytest.approx(float(best), abs=1e-7)
    assert {tuple(b) for b in found[1].tolist()} == {tuple(b) for b in boxes[1].tolist()}


def test_the_sum_counts_not_the_best_pair():
    first = exact([[0.4, 0.5, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1]])
    # both new boxes are nearest to the second slot, only one can have it
    second = exact([[0.48, 0.5, 0.1, 0.1], [0.53, 0.5, 0.1, 0.1]])
    same(match_over_time(torch.stack((first, second.flip(0))), nodes=2)[1], second)


def test_an_object_that_disappears_keeps_its_slot():
    near_a = [0.22, 0.2, 0.1, 0.1]
    boxes = exact([[A, B, NONE], [B, NONE, NONE], [B, NONE, NONE], [B, near_a, NONE]])
    expected = exact([[A, B, NONE], [NONE, B, NONE], [NONE, B, NONE], [near_a, B, NONE]])
    same(match_over_time(boxes, nodes=3), expected)


def test_a_new_object_takes_a_slot_that_was_never_used():
    boxes = exact([[A, B], [C, B], [A, C]])
    expected = exact([[A, B, NONE], [NONE, B, C], [A, NONE, C]])
    same(match_over_time(boxes, nodes=3), expected)


def test_without_a_free_slot_a_new_object_takes_the_one_that_waited_longest():
    d = [0.5, 0.1, 0.05, 0.05]
    boxes = exact([[A, B, C], [A, C, NONE], [C, NONE, NONE], [C, d, NONE]])
    same(match_over_time(boxes, nodes=3)[3], exact([NONE, d, C]))


def test_of_two_new_objects_the_surer_one_is_first():
    boxes, scores = (
        exact([[A, B, NONE], [C, NONE, B]]),
        torch.tensor([[0.2, 0.9, 9], [0.3, 0, 0.5]]),
    )
    same(match_over_time(boxes, scores, nodes=3), exact([[B, A, NONE], [B, NONE, C]]))


def test_of_more_objects_than_nodes_the_surest_stay():
    boxes = moving(7, 4)
    scores = torch.tensor([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4]).expand(4, -1)
    same(match_over_time(boxes, scores, nodes=3), boxes[:, [1, 3, 5]])
    same(match_over_time(boxes, nodes=3), boxes[:, :3])  # as they come
    same(match_over_time(boxes, torch.zeros(4, 7), nodes=3), boxes[:, :3])  # all equally sure


def test_a_slot_goes_on_when_another_object_becomes_surer():
    boxes = exact([[A, B, C], [A, B, C]])
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.8, 0.1, 0.9]])  # C comes in, B goes out
    same(match_over_time(boxes, scores, nodes=2), exact([[A, B], [A, C]]))


def test_scores_without_a_box_do_not_count():
    boxes = exact([[NONE, A, B]])
    for none in (5.0, float("nan"), float("inf")):
        same(match_over_time(boxes, torch.tensor([[none, 0.1, 0.2]]), nodes=2), exact([[B, A]]))
    lowest = torch.tensor([[0.0, float("-inf"), 1.0]])
    same(match_over_time(boxes, lowest, nodes=2), exact([[B, A]]))


def test_boxes_without_area_are_followed_too():
    p, q, line = [0.3, 0.3, 0, 0], [0.6, 0.3, 0, 0], [0.5, 0.7, 0.2, 0]
    step = exact([0.01, 0.005, 0, 0])
    first = exact([p, q, line])
    boxes = torch.stack([first + t * step for t in range(5)])
    same(match_over_time(shuffled(boxes, seed=3), nodes=3), boxes)
    same(match_over_time(shuffled(boxes, seed=3), nodes=5)[:, :3], boxes)  # none is taken for new


def test_frames_without_boxes():
    boxes = exact([[NONE, NONE], [A, B], [NONE, NONE], [B, A], [NONE, NONE]])
    gone = [NONE, NONE, NONE]
    same(match_over_time(boxes, nodes=3), exact([gone, [A, B, NONE], gone, [A, B, NONE], gone]))
    assert bool(match_over_time(torch.full((3, 4, 4), torch.nan)).isnan().all())
    assert match_over_time(torch.zeros(3, 0, 4), nodes=2).shape == (3, 2, 4)
    assert match_over_time(torch.zeros(2, 3, 0, 4), torch.zeros(2, 3, 0)).shape == (2, 3, 9, 4)
    assert match_over_time(torch.zeros(0, 5, 4)).shape == (0, 9, 4)
    assert match_over_time(torch.zeros(0, 3, 5, 4)).shape == (0, 3, 9, 4)


def test_one_frame_is_in_the_order_of_scores():
    boxes = exact([[A, B, C]])
    same(match_over_time(boxes, torch.tensor([[1, 3, 2]]).float(), nodes=3), exact([[B, C, A]]))
    same(match_over_time(boxes, nodes=2), exact([[A, B]]))


def test_a_box_with_any_nan_is_none():
    broken = [0.2, float("nan"), 0.1, 0.1]
    same(match_over_time(exact([[broken, A]]), nodes=2), exact([[A, NONE]]))


def test_clips_of_a_batch_are_apart_and_types_stay():
    boxes = torch.stack([shuffled(moving(4, 6, seed=s), seed=s) for s in range(3)]).float()
    boxes[1, 2, :3] = torch.nan
    scores = draw(3, 6, 4).float()
    before = boxes.clone()
    found = match_over_time(boxes, scores, nodes=4)
    assert found.dtype == torch.float32
    same(boxes, before)
    for b in range(3):
        same(found[b], match_over_time(boxes[b], scores[b], nodes=4))
    turned = boxes.transpose(0, 1).contiguous().transpose(0, 1)
    same(match_over_time(turned, scores, nodes=4), found)


def test_what_is_no_box_is_refused():
    with pytest.raises(ValueError, match=r"floats \(T, M, 4\).*got torch.float64 \(4,\)"):
        match_over_time(exact(A))
    with pytest.raises(ValueError, match=r"floats .* got torch.int64"):
        match_over_time(torch.zeros(2, 3, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="half extents"):
        match_over_time(exact([[[0.5, 0.5, -0.1, 0.1]]]))
    with pytest.raises(ValueError, match="finite"):
        match_over_time(exact([[[float("inf"), 0.5, 0.1, 0.1]]]))
    with pytest.raises(ValueError, match=r"one for each box, \(1, 2\), got \(2,\)"):
        match_over_time(exact([[A, B]]), torch.zeros(2))
    with pytest.raises(ValueError, match="every box needs a score"):
        match_over_time(exact([[A, B]]), torch.tensor([[0, float("nan")]]))
    with pytest.raises(ValueError, match="nodes must be at least 1"):
        match_over_time(exact([[A, B]]), nodes=0)


def test_without_scipy_the_install_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        match_over_time(exact([[A, B]]))
