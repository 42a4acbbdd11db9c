"""The backbone at a quarter of the resolution: places stay sharp, and it knows no coordinates."""

import pytest
import torch
from torch.nn import functional as F

from graphs import draw
from interlace.models.backbones.small import ResidualCNN
from tolerances import EXACT, FLOAT32


def settled(**options):
    """Random weights and running statistics, eval mode, float64; blocks that do something."""
    torch.manual_seed(0)
    network = ResidualCNN(stem=4, width=6, **options).double().eval()
    for part in network.modules():
        if hasattr(part, "running_var"):
            part.running_mean.copy_(0.1 * draw(*part.running_mean.shape, seed=3))
            part.running_var.copy_(draw(*part.running_var.shape, seed=4).abs() + 0.5)
            torch.nn.init.normal_(part.weight, 1.0, 0.1)
    return network


def video_of(*size, frames=2, clips=1, channels=1):
    return draw(clips, frames, channels, *size).sigmoid()


def normed(x, norm):
    mean, scale = norm.running_mean, norm.weight / (norm.running_var + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def shifted(frames):
    """A pixel to the left and up, black behind."""
    moved = torch.zeros_like(frames)
    moved[..., :-1, :-1] = frames[..., 1:, 1:]
    return moved


@torch.no_grad()
def test_layer_by_layer():
    network, video = settled(), video_of(13, 10, clips=2)
    first, norm_1, _, second, norm_2, _ = network.stem
    x = shifted(video.flatten(0, 1)) * 4 - 0.3
    x = normed(F.conv2d(x, first.weight, stride=2, padding=2), norm_1).relu()
    x = normed(F.conv2d(x, second.weight, stride=2, padding=1), norm_2).relu()
    for conv, norm, _, other, last in network.blocks:
        y = normed(F.conv2d(x, conv.weight, padding=1), norm).relu()
        x = (x + normed(F.conv2d(y, other.weight, padding=1), last)).relu()
    features = network(video)
    torch.testing.assert_close(features, x.unflatten(0, (2, 2)), **EXACT)
    assert features.shape[-2:] == (4, 3)  # a quarter, rounded up
    assert len(network.blocks) == 2


@torch.no_grad()
def test_a_cell_looks_where_its_centre_is():
    """A bright pixel moves the features of cells around it: their mean place is its own."""
    network = ResidualCNN(stem=4, width=6).double().eval()
    for part in network.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.ones_(part.weight)
    found = []
    for x in range(20, 44):
        video = torch.full((1, 1, 1, 64, 64), 0.5, dtype=torch.float64)
        dark = network(video)
        video[..., 32, x] = 1
        change = (network(video) - dark).abs().sum((0, 1, 2, 3))  # (16,) columns
        cells = (torch.arange(16, dtype=torch.float64) + 0.5) * 4
        found.append(float((change * cells).sum() / change.sum()) - (x + 0.5))
    assert abs(sum(found) / len(found)) < 0.51  # half a pixel at most


@torch.no_grad()
def test_fresh_blocks_are_the_identity():
    torch.manual_seed(0)
    network, video = ResidualCNN(stem=4, width=6, blocks=3), video_of(16, 12).float()
    stem = network.stem(shifted(video.flatten(0, 1)) * 4 - 0.3)
    torch.testing.assert_close(network(video)[0], stem, **FLOAT32)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (17, 8)])
@torch.no_grad()
def test_any_size_frame_by_frame(size):
    network, video = settled(), video_of(*size, frames=3, clips=2)
    features = network(video)
    assert features.shape == (2, 3, network.out_channels, *[-(-cells // 4) for cells in size])
    assert network.seen_channels == network.out_channels == 6
    torch.testing.assert_close(network(video[1:, 2:])[0, 0], features[1, 2], **EXACT)


@torch.no_grad()
def test_what_moves_by_a_cell_is_seen_a_cell_further():
    """Away from the border: nothing else tells where in the frame something is."""
    network, video = settled(), torch.zeros(1, 2, 1, 96, 96).double()
    thing = video_of(6, 6, frames=1)[0, 0]
    video[0, 0, :, 40:46, 40:46] = thing
    video[0, 1, :, 44:50, 36:42] = thing
    here, there = network(video)[0, :, :, 6:18, 6:18]
    torch.testing.assert_close(there[:, 1:, :-1], here[:, :-1, 1:], **EXACT)
    assert (there - here).abs().max() > 0.1


def test_every_parameter_gets_a_gradient():
    network = settled().train()
    network(video_of(16, 12, channels=1)).square().sum().backward()
    assert all(bool(p.grad.any()) for p in network.parameters())
