"""Temporal shift: channel by channel as in a plain loop, in a network, as a stream."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from interlace.models.backbones.shift import (
    CausalShift,
    TemporalShift,
    add_shift,
    first_convolutions,
)
from interlace.models.insertion.interlaced import Interlaced
from tolerances import FLOAT32


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(x, fraction, *, causal):
    """Every channel of every frame by itself."""
    out = torch.zeros_like(x)
    frames, channels = x.shape[1:3]
    k = channels // fraction
    for t in range(frames):
        for c in range(channels):
            if causal:
                source = t - 1 if c < k else t
            else:
                source = t + 1 if c < k else t - 1 if c < 2 * k else t
            if 0 <= source < frames:
                out[:, t, c] = x[:, source, c]
    return out


@pytest.mark.parametrize("kind", [TemporalShift, CausalShift])
@pytest.mark.parametrize(("channels", "fraction"), [(16, 8), (19, 8), (8, 8), (6, 3), (5, 2)])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_as_in_a_plain_loop(kind, channels, fraction, frames):
    x = draw(2, frames, channels, 3, 4)
    before = x.clone()
    out = kind(fraction=fraction)(x)
    assert torch.equal(out, by_hand(x, fraction, causal=kind is CausalShift))
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", [TemporalShift, CausalShift])
def test_channels_stay_last_in_memory(kind):
    x = draw(6, 16, 3, 4).contiguous(memory_format=torch.channels_last)
    x = x.unflatten(0, (2, 3)).requires_grad_()
    out = kind()(x)
    assert torch.equal(out, by_hand(x, 8, causal=kind is CausalShift))
    out.square().sum().backward()
    for maps in (out, x.grad):
        assert maps.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_a_gradient_goes_back_to_where_a_channel_came_from():
    x = draw(1, 3, 8, 1, 1).requires_grad_()
    TemporalShift()(x)[0, 1].sum().backward()
    expected = torch.zeros(3, 8)
    expected[1, 2:], expected[2, 0], expected[0, 1] = 1, 1, 1
    assert torch.equal(x.grad[0, :, :, 0, 0], expected)


@pytest.mark.parametrize("chunks", [[1] * 5, [2, 3], [4, 1]])
def test_a_causal_stream_is_its_clip(chunks):
    x, shift = draw(2, 5, 16, 3, 4), CausalShift()
    whole, last = shift(x, return_state=True)
    state, parts = None, []
    for chunk in x.split(chunks, dim=1):
        out, state = shift(chunk, state, return_state=True)
        parts.append(out)
    assert torch.equal(torch.cat(parts, 1), whole)
    assert torch.equal(state, last)
    assert torch.equal(last, x[:, -1, :2])


def test_what_does_not_fit_is_refused():
    x = draw(2, 3, 16, 4, 4)
    with pytest.raises(ValueError, match=r"x\.unflatten\(0, \(B, T\)\)"):
        TemporalShift()(x.flatten(0, 1))
    with pytest.raises(ValueError, match="at least 8 channels, got 7"):
        TemporalShift()(x[:, :, :7])
    with pytest.raises(ValueError, match="fraction must be at least 2"):
        TemporalShift(fraction=1)
    with pytest.raises(ValueError, match="sees the next frame"):
        TemporalShift()(x, x[:, 0, :2])
    _, state = CausalShift()(x, return_state=True)
    for wrong in (state[:1], state[:, :1], state[..., :2]):
        with pytest.raises(ValueError, match="state must be"):
            CausalShift()(x, wrong)


# --- in a network -------------------------------------------------------------------------------


def shifted_resnet(*, causal):
    torch.manual_seed(0)
    return add_shift(resnet18(num_classes=5), causal=causal).eval()


class ByHand(nn.Module):
    """A convolution behind the plain loop, over frames of clips of T."""

    def __init__(self, conv, frames, causal):
        super().__init__()
        self.conv, self.frames, self.causal = conv, frames, causal

    def forward(self, x):
        clips = x.unflatten(0, (-1, self.frames))
        return self.conv(by_hand(clips, 8, causal=self.causal).flatten(0, 1))


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_a_resnet_with_shifts_is_the_one_with_loops_in_it(causal):
    model, video = shifted_resnet(causal=causal), draw(2, 3, 3, 32, 32)
    assert isinstance(model, Interlaced)
    plain = copy.deepcopy(model).remove()
    unshifted = plain(video.flatten(0, 1)).unflatten(0, (2, 3))
    for name in [f"layer{s}.{b}" for s in range(1, 5) for b in (0, 1)]:
        block = plain.get_submodule(name)
        block.conv1 = ByHand(block.conv1, 3, causal)
    expected = plain(video.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(model(video), expected, **FLOAT32)
    assert float((expected - unshifted).abs().max()) > 1e-3


@torch.no_grad()
def test_a_causal_network_streams_and_a_two_sided_one_does_not():
    model, video = shifted_resnet(causal=True), draw(2, 4, 3, 32, 32)
    whole, last = model(video, return_state=True)
    first, state = model(video[:, :1], return_state=True)
    rest, state = model(video[:, 1:], state, return_state=True)
    torch.testing.assert_close(torch.cat((first, rest), 1), whole, **FLOAT32)
    assert {key: v.shape for key, v in state.items()} == {k: v.shape for k, v in last.items()}
    assert len(state) == 8
    assert float((model(video[:, 1:]) - rest).abs().max()) > 1e-4  # the state matters

    model = shifted_resnet(causal=False)
    assert model(video, return_state=True)[1] is None
    with pytest.raises(ValueError, match="sees the next frame"):
        model(video, state)


def test_blocks_are_found_or_named():
    network = resnet18()
    assert first_convolutions(network) == [
        f"layer{s}.{b}.conv1" for s in range(1, 5) for b in (0, 1)
    ]
    keys = network.state_dict().keys()
    model = add_shift(network)
    assert model.network.state_dict().keys() == keys
    assert sum(p.numel() for p in model.graphs.parameters()) == 0
    own = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    with pytest.raises(ValueError, match="name the modules"):
        add_shift(own)
    video = draw(1, 3, 3, 9, 9)
    expected = own[2](by_hand(own[1](own[0](video[0]))[None], 8, causal=False)[0])
    torch.testing.assert_close(add_shift(own, at=["2"])(video)[0], expected, **FLOAT32)
