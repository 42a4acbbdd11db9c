"""What stands in for a graph: identity at first, any size, place by place, streams."""

import pytest
import torch

import naive
from graphs import draw, exact, randomise, weights_of
from interlace.models.baselines import ConvLSTM, ConvLSTMBlock, MeanPoolLSTM, NonLocalBlock
from tolerances import BFLOAT16, EXACT

BOTH = [ConvLSTMBlock, NonLocalBlock]
SIZES = [(3, 16, 16), (2, 7, 5), (1, 1, 1), (4, 2, 9), (2, 1, 6)]


def small(kind, channels=6):
    options = {"width": 5, "hidden": 4} if kind is ConvLSTMBlock else {"blocks": 2, "inner": 3}
    return kind(channels, **options)


def settled(kind, channels=6):
    """Random weights and running statistics, eval mode, float64."""
    block = randomise(small(kind, channels)).eval()
    for part in block.modules():
        if hasattr(part, "running_var"):
            part.running_mean.copy_(draw(*part.running_mean.shape, seed=3))
            part.running_var.copy_(draw(*part.running_var.shape, seed=4).abs() + 0.5)
    return block


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_a_fresh_block_is_the_identity_at_any_size(kind, size):
    torch.manual_seed(0)
    frames, *space = size
    x = draw(2, frames, 6, *space).float()
    block = small(kind)
    assert torch.equal(block.eval()(x), x)
    assert torch.equal(block.train()(x), x)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_clips_are_apart_and_nothing_is_left_as_it_was(kind, size):
    frames, *space = size
    x, block = draw(2, frames, 6, *space), settled(kind)
    out = block(x)
    assert out.shape == x.shape
    assert bool(out.isfinite().all())
    assert float((out - x).abs().amax((2, 3, 4)).min()) > 1e-3
    torch.testing.assert_close(block(x[1:]), out[1:], **EXACT)


@pytest.mark.parametrize("chunks", [[1, 1, 1, 1, 1], [1, 3, 1], [4, 1]])
@torch.no_grad()
def test_a_stream_of_the_conv_lstm_is_its_clip(chunks):
    x, block = draw(2, 5, 6, 7, 10), settled(ConvLSTMBlock)
    whole, last = block(x, return_state=True)
    state, parts = None, []
    for chunk in x.split(chunks, dim=1):
        out, state = block(chunk, state, return_state=True)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **EXACT)
    torch.testing.assert_close(state, last, **EXACT)
    assert state.shape == (2, 2 * 3, 2 * 4)  # clips, places, h and c
    assert float((block(x[:, 4:]) - whole[:, 4:]).abs().max()) > 1e-3  # the state matters


@pytest.mark.parametrize("kind", [MeanPoolLSTM, ConvLSTM])
@torch.no_grad()
def test_a_vector_of_every_frame_is_that_of_the_frames_so_far(kind):
    block, x = randomise(kind(6, hidden=4)).eval(), draw(2, 4, 6, 5, 7)
    every, last = block(x, every_frame=True, return_state=True)
    for t in range(4):
        vector, state = block(x[:, : t + 1], return_state=True)
        torch.testing.assert_close(every[:, t], vector, **EXACT)
    torch.testing.assert_close(last, state, **EXACT)
    _, state = block(x[:, :2], return_state=True)
    torch.testing.assert_close(block(x[:, 2:], state, every_frame=True), every[:, 2:], **EXACT)


@pytest.mark.parametrize("kind", BOTH)
@torch.no_grad()
def test_a_map_is_of_every_frame_as_it_is(kind):
    block, x = settled(kind), draw(2, 3, 6, 5, 7)
    assert torch.equal(block(x, every_frame=True), block(x))


@torch.no_grad()
def test_the_mean_pool_lstm_in_loops():
    block, x = randomise(MeanPoolLSTM(3, hidden=3)), draw(1, 3, 3, 4, 5)
    weights = {f"cell.{name}": value for name, value in weights_of(block.lstm).items()}
    memory = [0.0] * 6
    for t, vector in enumerate(block(x, every_frame=True)[0]):
        seen = [sum(map(sum, c)) / 20 for c in x[0, t].tolist()]
        shown, memory = naive.time_step(weights, seen, memory, "lstm")
        torch.testing.assert_close(vector, exact(shown), **EXACT)


@torch.no_grad()
def test_the_conv_lstm_does_not_see_the_future_but_non_local_blocks_do():
    x = draw(1, 5, 6, 8, 8)
    other = x.clone()
    other[:, 3] = draw(1, 6, 8, 8, seed=7)
    for kind, expected in ((ConvLSTMBlock, [0, 0, 0, 1, 1]), (NonLocalBlock, [1] * 5)):
        block = settled(kind)
        changed = (block(x) - block(other)).abs().amax((0, 2, 3, 4)) > 1e-9
        assert changed.int().tolist() == expected


@torch.no_grad()
def test_the_lstm_runs_on_each_place_by_itself_with_the_same_weights():
    block = settled(ConvLSTMBlock)
    places = draw(2, 4, 6, 4)
    turned = places.flip(2)
    torch.testing.assert_close(block.lstm(turned)[0], block.lstm(places)[0].flip(2), **EXACT)
    # far away places meet in the convolutions only: a corner does not reach the other one
    x = draw(1, 3, 6, 64, 64)
    other = x.clone()
    other[..., 0, 0] += 1
    changed = (block(x) - block(other)).abs().amax((0, 1, 2)) > 1e-9
    assert bool(changed[:4, :4].any())
    assert not bool(changed[24:, :].any())
    assert not bool(changed[:, 24:].any())


@torch.no_grad()
def test_the_conv_lstm_layer_by_layer():
    block = settled(ConvLSTMBlock)
    x = draw(2, 3, 6, 7, 10)
    lstm = torch.nn.LSTM(4, 4).double()
    lstm.load_state_dict(block.lstm.cell.state_dict())
    expected = torch.empty_like(x)
    coarse = block.encoder[1](block.encoder[0](x.flatten(0, 1))).unflatten(0, (2, 3))
    assert coarse.shape == (2, 3, 4, 2, 3)
    seen = torch.stack(
        [
            torch.stack([lstm(coarse[:, :, :, i, j].transpose(0, 1))[0] for j in range(3)], -1)
            for i in range(2)
        ],
        -2,
    )  # (T, B, hidden, rows, columns)
    for t in range(3):
        big = block.decoder[0](enlarged(seen[t], 4, 5))
        out = block.decoder[1](enlarged(big, 7, 10))
        variance, mean = torch.var_mean(out, 1, correction=0, keepdim=True)
        normed = (out - mean) / (variance + 1e-5) ** 0.5
        scale, shift = block.branch.weight[:, None, None], block.branch.bias[:, None, None]
        expected[:, t] = x[:, t] + normed * scale + shift
    torch.testing.assert_close(block(x), expected, **EXACT)


def enlarged(x, height, width):
    rows = [i * x.shape[-2] // height for i in range(height)]
    columns = [j * x.shape[-1] // width for j in range(width)]
    return x[..., rows, :][..., columns]


@torch.no_grad()
def test_non_local_blocks_run_one_after_the_other():
    block, x = settled(NonLocalBlock), draw(2, 3, 6, 5, 4)
    expected = x.transpose(1, 2)
    for part in block.blocks:
        expected = part(expected)
    torch.testing.assert_close(block(x), expected.transpose(1, 2), **EXACT)
    assert block.blocks[0].query.out_channels == 3


@torch.no_grad()
def test_what_does_not_fit_is_refused():
    x = draw(2, 3, 6, 8, 8)
    for kind in BOTH:
        block = settled(kind)
        for wrong in (x[0], x[:, :, :5], x[:, :0]):
            with pytest.raises(ValueError, match=r"features must be \(B, T, 6, H, W\)"):
                block(wrong)
    with pytest.raises(ValueError, match="whole clips"):
        block(x, torch.zeros(1))
    block = settled(ConvLSTMBlock)
    _, state = block(x, return_state=True)
    for wrong in (x[:1], x[..., :4]):
        with pytest.raises(ValueError, match="state must be"):
            block(wrong, state)


@pytest.mark.parametrize("kind", BOTH)
@torch.no_grad()
def test_the_face_of_a_graph(kind):
    x, block = draw(2, 3, 6, 8, 8), settled(kind)
    out = block(x)
    again, state, trace = block(x, return_state=True, return_trace=True)
    assert torch.equal(again, out)
    assert trace is None
    assert (state is None) == (kind is NonLocalBlock)
    assert block(x, return_trace=True)[1] is None
    assert block.out_channels == 6


@pytest.mark.parametrize("kind", BOTH)
@torch.no_grad()
def test_bfloat16_is_close_and_so_is_its_stream(kind):
    torch.manual_seed(0)
    block, x = kind(16).eval(), draw(2, 4, 16, 9, 8).float()
    for value in block.parameters():
        if not bool(value.any()):
            value.normal_(std=0.3)
    full = block(x)
    limit = BFLOAT16 * float(full.abs().max())
    with torch.autocast("cpu", torch.bfloat16):
        assert float((block(x).float() - full).abs().max()) < limit
        if kind is ConvLSTMBlock:
            first, state = block(x[:, :2], return_state=True)
            both = torch.cat((first, block(x[:, 2:], state)), 1)
            assert float((both.float() - full).abs().max()) < limit


@pytest.mark.parametrize("kind", BOTH)
def test_every_parameter_gets_a_gradient(kind):
    block = settled(kind).train()
    block(draw(2, 4, 6, 9, 8)).pow(2).sum().backward()
    for name, value in block.named_parameters():
        assert bool(value.grad.isfinite().all())
        # what all keys share, a softmax does not see
        assert bool(value.grad.any()) or name.endswith("key.bias"), name
