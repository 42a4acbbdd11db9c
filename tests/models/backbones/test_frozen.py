"""A backbone that learns no more: the same features, for less."""

import copy
import shutil

import pytest
import torch
from torch import nn

from graphs import draw
from interlace.models.backbones.frozen import Frozen, fold
from interlace.models.backbones.small import FrameCNN, ResidualCNN, StridedCNN
from tolerances import BFLOAT16, EXACT, FLOAT32

MAKE = {
    "residual": lambda: ResidualCNN(stem=4, width=6),
    "strided": lambda: StridedCNN(widths=(4, 6, 6), out_channels=5),
    "plain": lambda: FrameCNN(widths=(4, 6, 6)),
}
ALL = pytest.mark.parametrize("kind", MAKE)


def trained(kind):
    """In training mode, with weights and running statistics as they might be after it."""
    torch.manual_seed(0)
    network = MAKE[kind]()
    for k, part in enumerate(network.modules()):
        if isinstance(part, nn.BatchNorm2d):
            count = part.num_features
            nn.init.normal_(part.weight, 1.0, 0.3)
            nn.init.normal_(part.bias, 0.0, 0.3)
            part.running_mean.copy_(0.3 * draw(count, seed=k))
            part.running_var.copy_(draw(count, seed=k + 1).abs() + 0.3)
    return network


def video_of():
    return (255 * draw(2, 3, 1, 21, 17).sigmoid()).to(torch.uint8)


@ALL
@torch.no_grad()
def test_folded_is_the_same(kind):
    """In float64; what was folded stays as it was, in training mode, with weights of its own."""
    network, video = trained(kind).double(), video_of() / 255.0
    before = copy.deepcopy(network.state_dict())
    folded = fold(network)
    torch.testing.assert_close(folded(video.double()), network.eval()(video.double()), **EXACT)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    for value in folded.parameters():
        value.zero_()
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_norm_that_follows_no_convolution_stays():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)).double()
    network[2].running_mean.fill_(0.5)
    features = draw(2, 2, 4, 4)
    torch.testing.assert_close(fold(network)(features), network.eval()(features), **EXACT)
    assert isinstance(fold(network)[2], nn.BatchNorm2d)


@ALL
def test_frozen_is_the_backbone_in_half_precision(kind):
    network, video = trained(kind), video_of()
    frozen = Frozen(network)
    assert network.training  # stays as it is
    assert all(value.requires_grad for value in network.parameters())
    network.eval()
    with torch.no_grad():
        plain = network(video / 255)
    features = frozen(video)
    assert features.dtype == torch.bfloat16
    assert not features.requires_grad
    assert not frozen((video / 255).requires_grad_()).requires_grad
    assert not any(value.requires_grad for value in frozen.parameters())
    assert (features - plain).abs().max() < BFLOAT16 * plain.abs().max()
    assert (frozen(video / 255) - plain).abs().max() < BFLOAT16 * plain.abs().max()
    exact = Frozen(network, dtype=torch.float32)(video)
    torch.testing.assert_close(exact, plain, **FLOAT32)


def test_what_is_learnt_later_does_not_move_it():
    network, video = trained("residual"), video_of()
    frozen = Frozen(network)
    before = frozen(video)
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(2)
    assert torch.equal(frozen(video), before)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on CPUs needs g++")
def test_compiled_is_the_same():
    network, video = trained("residual"), video_of()
    torch._dynamo.reset()
    plain, compiled = (Frozen(network, compiled=c)(video).float() for c in (False, True))
    assert (compiled - plain).abs().max() < BFLOAT16 * plain.abs().max()
