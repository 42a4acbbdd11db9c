"""Kick-start: a student's regions go where its teachers look, and nothing else happens to them."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from interlace import DyReg, insert
from interlace.models.classifier import VideoClassifier
from interlace.training.kick_start import (
    FrozenBatchNorm2d,
    KickStart,
    freeze_batch_norm,
    graphs_of,
    region_distance,
    regions_of,
)
from tolerances import FLOAT32

PLACES = ("first", "second")


def network():
    layers = nn.Sequential()
    layers.add_module("first", nn.Conv2d(3, 8, 3, stride=4))
    layers.add_module("norm", nn.BatchNorm2d(8))
    layers.add_module("second", nn.Conv2d(8, 8, 3, stride=2))
    return layers


def model(*places, seed=0, nodes=3, regions="dynamic", far=False):
    """A network with graphs; `far` ones look away from the middle, each at something else."""
    torch.manual_seed(seed)
    graph = partial(DyReg, nodes=nodes, width=8, rounds=1, regions=regions)
    built = insert(network(), dict.fromkeys(places, graph), example=torch.zeros(1, 2, 3, 32, 32))
    for block in built.graphs.values() if far else ():
        nn.init.normal_(block.regions.offsets.gamma, std=1)
        nn.init.normal_(block.regions.offsets.linear.bias)
    return built


def teachers():
    return {place: model(place, seed=k + 1, far=True) for k, place in enumerate(PLACES)}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


VIDEO = draw(2, 3, 3, 32, 32)


# --- the loss -------------------------------------------------------------------------------------


def test_distance_by_hand():
    boxes = torch.tensor([[[[0.5, 0.5, 0.2, 0.1], [0.1, 0.9, 0.2, 0.2]]]])
    others = torch.tensor([[[[0.4, 0.7, 0.2, 0.4], [0.1, 0.9, 0.3, 0.2]]]])
    assert region_distance(boxes, others).item() == pytest.approx((0.1 + 0.2 + 0.3 + 0.1) / 2)
    assert region_distance(others, others).item() == 0


def test_the_loss_is_the_mean_over_places_of_the_distance_to_each_teacher():
    taught, student = teachers(), model(*PLACES, far=True)
    with regions_of(student) as regions:
        student(VIDEO)
    loss = KickStart(taught)(VIDEO, regions)
    own, total = student(VIDEO, return_trace=True)[1], 0.0
    for place, teacher in taught.items():
        shown = teacher(VIDEO, return_trace=True)[1][place].boxes
        for mine, theirs in zip(own[place].boxes.flatten(0, 2), shown.flatten(0, 2), strict=True):
            total += sum(abs(float(a) - float(b)) for a, b in zip(mine, theirs, strict=True))
    expected = total / (2 * 2 * 3 * 3)  # places, clips, frames, nodes
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert expected > 0.01


def test_one_teacher_teaches_one_place():
    student = model(*PLACES, far=True)
    with regions_of(student) as regions:
        student(VIDEO)
    KickStart({"first": model("first", seed=3, far=True)})(VIDEO, regions).backward()
    first, second = graphs_of(student).values()
    assert float(first.regions.offsets.gamma.grad.abs().max()) > 0
    assert all(p.grad is None for p in second.parameters())


def test_regions_go_to_where_the_teachers_look():
    student = model(*PLACES, seed=5).train()
    kick_start = KickStart(teachers())
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    losses = []
    for step in range(40):
        video = draw(2, 3, 3, 32, 32, seed=step)
        with regions_of(student) as regions:
            student(video)
        loss = kick_start(video, regions)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.3 * sum(losses[:5])
    own = student(VIDEO, return_trace=True)[1]  # a video it has not learnt from
    for place in PLACES:
        shown = kick_start.show(place, VIDEO)
        fresh = torch.tensor([0.5, 0.5, 1 / 6, 1 / 6]).expand_as(shown)
        assert region_distance(own[place].boxes, shown) < 0.5 * region_distance(fresh, shown)


# --- teachers -------------------------------------------------------------------------------------


def test_teachers_are_left_as_they_are():
    taught, student = teachers(), model(*PLACES, far=True).train()
    for teacher in taught.values():
        teacher.train()
    kick_start = KickStart(taught)
    before = {place: copy.deepcopy(teacher.state_dict()) for place, teacher in taught.items()}
    video = VIDEO.clone().requires_grad_()
    with regions_of(student) as regions:
        student(video)
    kick_start(video, regions).backward()
    assert float(graphs_of(student)["first"].regions.offsets.gamma.grad.abs().max()) > 0
    assert float(video.grad.abs().max()) > 0  # through the student alone:
    assert not any(kick_start.show(place, video).requires_grad for place in PLACES)
    for place, teacher in taught.items():
        assert not any(module.training for module in teacher.modules())
        assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
        after = teacher.state_dict()  # with what batch norms have seen
        assert all(torch.equal(after[key], value) for key, value in before[place].items())


def test_teachers_are_in_no_checkpoint_and_no_optimiser():
    training = nn.Module()
    training.student = nn.Linear(2, 2)
    training.kick_start = KickStart(teachers())
    assert set(training.state_dict()) == {"student.weight", "student.bias"}
    assert len(list(training.parameters())) == 2
    training.train()
    assert not training.kick_start.teachers["first"].training


def test_classifiers_teach_and_learn():
    def classifier(body, classes):
        body.out_channels = 8
        return VideoClassifier(nn.Identity(), body, classes)

    kick_start = KickStart({"second": classifier(model("second", far=True), 4)})
    student = classifier(model(*PLACES), 7)
    kick_start.check(student)
    with regions_of(student) as regions:
        assert student(VIDEO.sigmoid()).shape == (2, 7)
    assert kick_start(VIDEO.sigmoid(), regions).item() > 0.01


def test_only_the_first_steps_count():
    kick_start = KickStart(teachers())
    weights = [kick_start.weight(step, 200) for step in range(200)]
    assert weights == [1.0] * 20 + [0.0] * 180
    assert kick_start.weight(0, 1) == 1
    weights = [kick_start.weight(step, 35) for step in range(7)]
    assert weights == [1, 1, 1, 1, 0, 0, 0]


# --- where graphs look ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dynamic", "static", "fixed", "semantic"])
def test_regions_are_those_of_the_trace(kind):
    student = model(*PLACES, regions=kind)
    with regions_of(student) as regions:
        _, traces = student(VIDEO, return_trace=True)
    assert regions.keys() == traces.keys()
    for place, trace in traces.items():
        torch.testing.assert_close(regions[place], trace.boxes, **FLOAT32)
        assert regions[place].requires_grad == (kind != "fixed")


def test_nothing_is_noted_outside():
    student = model(*PLACES)
    with pytest.raises(RuntimeError, match="channels"), regions_of(student) as regions:
        student(VIDEO[:, :, :2])
    student(VIDEO)
    assert regions == {}
    assert not any(graph.regions._forward_hooks for graph in graphs_of(student).values())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="who teaches what"):
        KickStart({})
    with pytest.raises(ValueError, match=r"teacher for first has no graph there.* at second"):
        KickStart({"first": model("second")})
    with pytest.raises(ValueError, match="no graph there: it has no graphs"):
        KickStart({"first": network()})
    kick_start = KickStart(teachers())
    kick_start.check(model(*PLACES))
    with pytest.raises(ValueError, match="teachers for second, but the student has graphs at fir"):
        kick_start.check(model("first"))
    with pytest.raises(ValueError, match=r"teachers for first, second, but .* no graphs"):
        kick_start(VIDEO, {})
    student = model(*PLACES, nodes=4)
    with regions_of(student) as regions:
        student(VIDEO)
    with pytest.raises(ValueError, match=r"\(2, 3, 3, 4\).*got \(2, 3, 4, 4\).*as many nodes"):
        kick_start(VIDEO, regions)
    fixed = model(*PLACES, regions="fixed")
    with regions_of(fixed) as regions:
        _, traces = fixed(VIDEO, return_trace=True)
    for given in (regions, traces, {place: trace.boxes for place, trace in traces.items()}):
        with pytest.raises(ValueError, match=r"no gradient.*regions_of\(student\)"):
            kick_start(VIDEO, given)
    with torch.no_grad():  # looking at it is fine
        assert kick_start(VIDEO, regions).item() > 0.01


# --- batch norms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d, (4, 5)),
        (nn.BatchNorm2d, (4, 5, 3, 3)),
        (nn.BatchNorm3d, (4, 5, 2, 3, 3)),
    ],
)
def test_a_frozen_norm_stays_as_it_is(norm, shape):
    plain = norm(5)
    plain(draw(*shape) + 3)  # has seen something
    plain.eval()
    frozen = freeze_batch_norm(nn.Sequential(copy.deepcopy(plain))).train()
    x = draw(*shape, seed=1) * 2 - 1
    assert torch.equal(frozen(x), plain(x))
    assert not frozen[0].training
    assert not any(p.requires_grad for p in frozen.parameters())
    assert isinstance(frozen[0], norm)
    for key, value in plain.state_dict().items():
        assert torch.equal(frozen.state_dict()[f"0.{key}"], value)
    assert not torch.allclose(plain.train()(x), frozen(x), atol=0.1)  # it would have mattered


def test_only_norms_are_frozen_and_copies_stay_so():
    own = freeze_batch_norm(network()).train()
    for one in (own, copy.deepcopy(own).train(), pickle.loads(pickle.dumps(own)).train()):
        assert type(one.norm) is FrozenBatchNorm2d
        assert [m.training for m in one.children()] == [True, False, True]
        learning = {name for name, p in one.named_parameters() if p.requires_grad}
        assert learning == {"first.weight", "first.bias", "second.weight", "second.bias"}
    assert own.state_dict().keys() == network().state_dict().keys()
    assert freeze_batch_norm(own) is own  # twice is once
