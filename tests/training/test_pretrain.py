"""The pre-training's targets and loss, on digits placed by hand."""

import math

import pytest
import torch

from graphs import draw
from interlace.data.digits.images import load_digits
from interlace.data.digits.syncmnist import SyncMNIST
from interlace.graph.regions.content import content_maps
from interlace.models.backbones.small import FrameCNN, ResidualCNN, StridedCNN
from interlace.training.pretrain import DigitPlacement, DigitPresence, jitter

SIZE = 10  # cells a side; their centres are at 0.05, 0.15, ...


def placed(*digits):
    """Boxes and classes of one frame from (class, cx, cy)."""
    boxes = torch.tensor([[(cx, cy, 0.1, 0.1) for _, cx, cy in digits]])[None]  # (1, 1, D, 4)
    return boxes, torch.tensor([[c for c, _, _ in digits]])


BOXES, CLASSES = placed((2, 0.25, 0.15), (0, 0.75, 0.55))  # each at the centre of a cell


def knowing(classes=4, *, sure=20.0):
    """Heads and features of which the truth can be read off, and the loss is (almost) 0.

    Features are constant over the frame, and say for each class where it is and, per region of
    the 3 x 3, 2 x 2 and 1 grids, whether it is there: one head per scale cannot tell its regions
    apart, so only the whole-frame head can be right everywhere.
    """
    heads = DigitPlacement(classes + 1, 3 * classes, classes, scales=(1,))
    with torch.no_grad():
        heads.cells.weight.copy_(torch.eye(classes + 1) * sure)
        heads.cells.bias.zero_()
        heads.regions[0].weight.copy_(torch.eye(3 * classes))
        heads.regions[0].bias.zero_()
    seen = torch.zeros(1, 1, classes + 1, SIZE, SIZE)
    seen[:, :, classes] = 1  # nothing, but for the cells of digits
    features = torch.zeros(1, 1, 3 * classes, SIZE, SIZE)
    features[:, :, ::3] = -sure
    for (cx, cy, *_), c in zip(BOXES[0, 0].tolist(), CLASSES[0].tolist(), strict=True):
        cell = (round(cy * SIZE - 0.5), round(cx * SIZE - 0.5))
        seen[(0, 0, slice(None), *cell)] = 0
        seen[(0, 0, c, *cell)] = 1
        features[0, 0, 3 * c] = sure
        features[0, 0, 3 * c + 1] = 2 * cx - 1
        features[0, 0, 3 * c + 2] = 2 * cy - 1
    return heads, seen, features


@torch.no_grad()
def test_the_truth_has_no_loss_and_every_other_answer_has():
    heads, seen, features = knowing()
    right = heads(seen, features, BOXES, CLASSES)
    assert float(right.loss) < 1e-4
    assert float(right.exact) == 1
    assert float(right.distance) < 1e-6

    missing = features.clone()
    missing[:, :, 0] = -20  # says class 0 is not there
    assert float(heads(seen, missing, BOXES, CLASSES).loss) > 1
    assert float(heads(seen, missing, BOXES, CLASSES).exact) == 0

    invented = features.clone()
    invented[:, :, 3] = 20  # says class 1 is there
    assert float(heads(seen, invented, BOXES, CLASSES).exact) == 0

    elsewhere = features.clone()
    elsewhere[:, :, 7] += 0.2  # class 2 is a tenth of the frame too far right
    result = heads(seen, elsewhere, BOXES, CLASSES)
    assert float(result.distance) == pytest.approx(0.05)  # mean of 0.1 and 0
    assert float(result.loss) > float(right.loss) + 0.05
    nobody = features.clone()
    nobody[:, :, 4] += 5  # where an absent class would be is no matter
    assert float(heads(seen, nobody, BOXES, CLASSES).loss) == pytest.approx(float(right.loss))

    blind = seen.flip(-1)
    assert float(heads(blind, features, BOXES, CLASSES).loss) > 10


@torch.no_grad()
def test_a_digit_is_shared_by_the_four_cells_around_its_centre():
    """Cells say class 0, class 1 or nothing; the truth and its cross entropy by hand."""
    heads = DigitPlacement(3, 6, 2)
    heads.cells.weight.copy_(torch.eye(3))
    heads.cells.bias.zero_()
    boxes, classes = placed((1, 0.5 + 0.25 / 4, 0.5 - 0.125 / 4))  # on 4 x 4 cells
    # a quarter of a cell right of, an eighth of a cell above the middle, where cells 1 and 2 meet
    right, down = 0.5 + 0.25, 0.5 - 0.125
    share = {
        (1, 1): (1 - down) * (1 - right), (1, 2): (1 - down) * right,
        (2, 1): down * (1 - right), (2, 2): down * right,
    }  # fmt: skip
    assert sum(share.values()) == pytest.approx(1)
    logits = draw(3, 4, 4).float()
    says = logits.log_softmax(0)
    of_digits = -sum(value * float(says[1, i, j]) for (i, j), value in share.items())
    of_nothing = -sum(
        (1 - share.get((i, j), 0)) * float(says[2, i, j]) for i in range(4) for j in range(4)
    )
    expected = 2 * (of_digits / 1 + of_nothing / 15)
    found = heads._cell_loss(logits[None], boxes[0, :, :, :2], classes)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_cells_that_are_right_about_digits_have_less_loss():
    heads, seen, _ = knowing()
    heads.cells.weight.copy_(torch.eye(5))
    nothing_known = torch.zeros(1, 5, SIZE, SIZE)
    even = float(heads._cell_loss(nothing_known, BOXES[0, :, :, :2], CLASSES))
    assert even == pytest.approx(4 * math.log(5))
    for i, j in [(1, 2), (5, 7), (9, 9)]:
        right, wrong = nothing_known.clone(), nothing_known.clone()
        right[0, :, i, j] = 5 * seen[0, 0, :, i, j]
        wrong[0, 1, i, j] = 5  # class 1 is nowhere
        assert float(heads._cell_loss(right, BOXES[0, :, :, :2], CLASSES)) < even
        assert float(heads._cell_loss(wrong, BOXES[0, :, :, :2], CLASSES)) > even


@torch.no_grad()
def test_a_digit_is_present_in_the_regions_that_hold_its_centre():
    heads = DigitPlacement(1, 1, 4)
    from interlace.graph.boxes import grid_boxes

    present = heads._present(grid_boxes((3, 2, 1)), BOXES[0, :, :, :2], CLASSES)
    assert present.shape == (1, 14, 4)
    found = {(n, c) for _, n, c in present.nonzero().tolist()}
    # class 2 at (0.25, 0.15): row 0, column 0 of both grids; class 0 at (0.75, 0.55): row 1,
    # column 2 of the 3 x 3 grid, row 1, column 1 of the 2 x 2 grid
    assert found == {(0, 2), (9, 2), (13, 2), (5, 0), (12, 0), (13, 0)}


def test_a_map_without_a_cell_near_a_digit_still_has_a_loss():
    heads = DigitPlacement(5, 12, 4)
    boxes, classes = placed((1, 0.5, 0.5), (3, 0.49, 0.51))
    features = torch.randn(1, 1, 12, 2, 2)
    result = heads(torch.randn(1, 1, 5, 2, 2), features, boxes, classes)
    assert bool(result.loss.isfinite())


@pytest.mark.parametrize("kind", [FrameCNN, StridedCNN])
def test_gradients_reach_all_of_the_backbone_and_a_few_steps_help(kind):
    torch.manual_seed(0)
    backbone = kind(widths=(8, 16, 16)).train()
    heads = DigitPlacement(backbone.seen_channels, backbone.out_channels, 3)
    videos = SyncMNIST(
        load_digits("embedded", train=True),
        num_digits=2, classes=3, num_frames=2, canvas=60, frame=40,
    )  # fmt: skip
    batch = videos.batch(range(16))
    parameters = [*backbone.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3)
    losses = []
    for _ in range(12):
        seen = backbone.see(batch.video.float() / 255)
        loss = heads(seen, backbone.locate(seen), batch.boxes, batch.classes).loss
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in parameters)
        optimizer.step()
        losses.append(loss.item())
    assert all(bool(p.grad.any()) for p in parameters)
    assert losses[-1] < 0.9 * losses[0]


@torch.no_grad()
def test_digits_are_matched_with_their_own_frame():
    """Classes are of a video, boxes of each frame: frame t of video b is row b T + t."""
    heads = DigitPlacement(5, 12, 4, scales=(1,))
    boxes = draw(2, 3, 2, 4).float().sigmoid()
    classes = torch.tensor([[0, 1], [3, 2]])
    seen, features = draw(2, 3, 5, 4, 4, seed=1).float(), draw(2, 3, 12, 4, 4, seed=2).float()
    distances = [
        float(
            heads(
                seen[b : b + 1, t : t + 1],
                features[b : b + 1, t : t + 1],
                boxes[b : b + 1, t : t + 1],
                classes[b : b + 1],
            ).distance
        )
        for b in range(2)
        for t in range(3)
    ]
    together = heads(seen, features, boxes, classes)
    assert float(together.distance) == pytest.approx(sum(distances) / 6, rel=1e-5)


# --- which digits are in a frame -----------------------------------------------------------------


@torch.no_grad()
def test_presence_by_hand():
    """Log-odds that something as large as four cells is there; classes may repeat."""
    heads = DigitPresence(torch.nn.Identity())
    maps = draw(2, 2, 3, 4, 5)
    classes = torch.tensor([[1, 1], [2, 0]])
    found = heads(maps, classes)
    total, exact, truth = 0.0, 0, [{1}, {2, 0}]
    for b in range(2):
        for t in range(2):
            right = True
            for c, cells in enumerate(maps[b, t].flatten(1).tolist()):
                odds = sum(math.exp(v) for v in cells) / 4
                there = odds / (1 + odds)
                total -= math.log(there if c in truth[b] else 1 - there)
                right = right and (there > 0.5) == (c in truth[b])
            exact += right
    assert float(found.loss) == pytest.approx(total / 12)
    assert float(found.exact) == exact / 4


def test_presence_teaches_a_backbone_and_maps_that_stay():
    torch.manual_seed(0)
    backbone = ResidualCNN(stem=8, width=16, blocks=1).train()
    maps = content_maps(16, 3)
    heads = DigitPresence(maps)
    assert heads.maps is maps
    videos = SyncMNIST(
        load_digits("embedded", train=True),
        num_digits=2, classes=3, num_frames=2, canvas=60, frame=40,
    )  # fmt: skip
    batch = videos.batch(range(16))
    parameters = [*backbone.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-2)
    losses = []
    for _ in range(40):
        loss = heads(backbone(batch.video.float() / 255), batch.classes).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(bool(p.grad.any()) for p in parameters)
    assert losses[-1] < 0.3  # who knows how often each is there has 0.64


# --- frames a little turned ----------------------------------------------------------------------


def light(video):
    """Centre (x, y) in [-1, 1] and sum of each frame (M, ...)."""
    frames = video.flatten(0, 2)
    place = (torch.arange(frames.shape[-1]) + 0.5) * 2 / frames.shape[-1] - 1
    total = frames.sum((1, 2))
    return torch.stack((frames.sum(1) @ place, frames.sum(2) @ place), -1) / total[:, None], total


def square(frames=40, size=60):
    video = torch.zeros(1, frames, 1, size, size)
    video[..., 26:34, 20:28] = 1  # its centre is at (-0.2, 0)
    return video


def test_half_of_the_frames_are_shifted_each_by_itself_and_nothing_is_lost():
    torch.manual_seed(0)
    video = square()
    centres, total = light(jitter(video, scale=0, turn=0, shear=0))
    torch.testing.assert_close(total, torch.full((40,), 64.0), rtol=1e-3, atol=0)
    shift = centres - torch.tensor([-0.2, 0.0])
    assert 0.08 < float(shift.abs().max()) < 0.101
    moved = shift.abs().amax(1) > 1e-3
    assert 12 <= int(moved.sum()) <= 28
    assert len(shift[moved].unique(dim=0)) == int(moved.sum())


@pytest.mark.parametrize("scale", [0.25, 0.6])
def test_frames_are_smaller_and_larger(scale):
    torch.manual_seed(0)
    sizes = light(jitter(square(), scale=scale, turn=0, shear=0))[1].div(64).log() / 2
    assert float(sizes.min()) == pytest.approx(-scale, rel=0.2)
    assert float(sizes.max()) == pytest.approx(scale, rel=0.2)


def test_frames_are_turned_around_their_middle():
    torch.manual_seed(0)
    bar = torch.zeros(1, 40, 1, 60, 60)
    bar[..., 28:32, 10:50] = 1
    turned = jitter(bar, scale=0, turn=0.5, shear=0)
    place = (torch.arange(60) + 0.5) / 60
    angles = []
    for frame in turned[0, :, 0]:
        x, y = (frame.sum(axis) @ place / frame.sum() for axis in (0, 1))
        dx, dy = (place - x)[None], (place - y)[:, None]
        xx, xy, yy = ((frame * part).sum() for part in (dx * dx, dx * dy, dy * dy))
        angles.append(0.5 * torch.atan2(2 * xy, xx - yy))
    angles = torch.stack(angles).abs()
    assert 0.4 < float(angles.max()) < 0.51


def test_frames_are_as_the_seed_says():
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(jitter(square(3)))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
