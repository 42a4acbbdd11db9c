import pytest
import torch

import naive
from graphs import draw, exact, randomise, weights_of
from interlace.graph.time_stage import MeanOverTime, TimeStage, frame_by_frame
from tolerances import BFLOAT16, EXACT


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_cell_as_in_loops(cell):
    stage, nodes = randomise(TimeStage(4, cell=cell)), draw(2, 5, 3, 4)
    out, state, attention = stage(nodes)
    assert attention is None
    weights = weights_of(stage)
    for b in range(2):
        for i in range(3):
            memory = [0.0] * state.shape[-1]
            for t in range(5):
                shown, memory = naive.time_step(weights, nodes[b, t, i].tolist(), memory, cell)
                torch.testing.assert_close(out[b, t, i], exact(shown), **EXACT)
            torch.testing.assert_close(state[b, i], exact(memory), **EXACT)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_a_stage_that_adds_and_norms_as_in_loops(cell, normed, residual):
    """With the state of the cell, whatever is added to it."""
    norm = torch.nn.LayerNorm(4) if normed else None
    stage, nodes = (
        randomise(TimeStage(4, cell=cell, residual=residual, norm=norm)),
        draw(1, 4, 2, 4),
    )
    mass = torch.zeros(1, 4, 2)  # not used: a node remembers while it is silent
    first, state, _ = stage(nodes[:, :1], None, None, mass[:, :1])
    rest, state, _ = stage(nodes[:, 1:], state)
    expected, _ = naive.recurrence(
        {f"stages.time.{name}": value for name, value in weights_of(stage).items()},
        nodes[0].tolist(),
        ["time"],
        cell=cell,
        adds=residual,
    )
    torch.testing.assert_close(torch.cat((first, rest), 1)[0], exact(expected), **EXACT)
    assert state.shape == (1, 2, 4 * stage.remembers)


def test_nodes_do_not_hear_each_other():
    stage, nodes = randomise(TimeStage(4)), draw(1, 3, 5, 4)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stage(nodes[:, :, order])[0], stage(nodes)[0][:, :, order], **EXACT)


def test_mean_over_time():
    nodes = draw(2, 4, 3, 5)
    out, _, _ = MeanOverTime()(nodes)
    for t in range(4):
        torch.testing.assert_close(out[:, t], nodes[:, : t + 1].mean(1), **EXACT)


@pytest.mark.parametrize(
    "stage", [TimeStage(4), TimeStage(4, cell="gru"), MeanOverTime()], ids=["lstm", "gru", "mean"]
)
def test_a_stream_is_the_clip(stage):
    stage, nodes = randomise(stage), draw(2, 7, 3, 4)
    whole, last, _ = stage(nodes)
    parts, state = [], None
    for chunk in nodes.split([1, 4, 2], dim=1):
        part, state, _ = stage(chunk, state)
        assert state.shape == last.shape
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **EXACT)
    torch.testing.assert_close(state, last, **EXACT)


@pytest.mark.parametrize("stage", [TimeStage(4), MeanOverTime()])
def test_a_state_of_other_clips_is_refused(stage):
    _, state, _ = stage(torch.zeros(2, 1, 3, 4))
    with pytest.raises(ValueError, match=r"state must be \(5, 3, .*start a new stream"):
        stage(torch.zeros(5, 1, 3, 4), state)


def test_a_mean_in_half_precision_counts_on():
    stage, nodes = MeanOverTime(), torch.ones(1, 1, 1, 2, dtype=torch.bfloat16)
    state = torch.tensor([[[600.0, 600.0, 300.0]]])  # 300 frames, more than bfloat16 can count
    _, state, _ = stage(nodes, state)
    assert state.tolist() == [[[601.0, 601.0, 301.0]]]


def test_unknown_cell():
    with pytest.raises(ValueError, match="'lstm' or 'gru', got 'rnn'"):
        TimeStage(4, cell="rnn")


@pytest.mark.parametrize("frames", [1, 6])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_half_precision_is_close(cell, frames):
    stage, nodes = randomise(TimeStage(8, cell=cell)).float(), draw(2, frames, 5, 8).float()
    state = draw(2, 5, 8 * stage.remembers, seed=1).float()
    inputs, results = [nodes.requires_grad_(), state.requires_grad_(), *stage.parameters()], []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out, last, _ = stage(nodes, state)
        loss = sum((v.float() * draw(*v.shape, seed=k)).sum() for k, v in enumerate((out, last)))
        grads = torch.autograd.grad(loss, inputs)
        results.append([value.float() for value in (out, last, *grads)])
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() < BFLOAT16 * b.abs().max()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_frame_by_frame_is_the_librarys(cell):
    """What torch.func sees has the values and the gradients of what all others see."""
    module = randomise(torch.nn.LSTM(3, 3) if cell == "lstm" else torch.nn.GRU(3, 3))
    x = draw(4, 2, 3).requires_grad_()
    hidden = [draw(1, 2, 3, seed=k).requires_grad_() for k in range(2 if cell == "lstm" else 1)]

    def library():
        out, last = module(x, tuple(hidden) if cell == "lstm" else hidden[0])
        return [out, *last] if cell == "lstm" else [out, last]

    results = []
    for run in (lambda: frame_by_frame(module, x, *hidden), library):
        out = run()
        loss = sum((value * draw(*value.shape, seed=k)).sum() for k, value in enumerate(out))
        results.append([*out, *torch.autograd.grad(loss, [x, *hidden, *module.parameters()])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_large_call_runs_twice_and_gives_the_same(cell, monkeypatch):
    stage, nodes = randomise(TimeStage(4, cell=cell)), draw(2, 5, 3, 4).requires_grad_()
    results, runs = [], []
    stage.cell.register_forward_pre_hook(lambda *_: runs.append(1))
    for large, times in ((2**20, 1), (0, 2)):
        monkeypatch.setattr("interlace.graph.time_stage.LARGE", large)
        runs.clear()
        out, state, _ = stage(nodes)
        loss = out.square().sum() + state.sum()
        results.append([out, state, *torch.autograd.grad(loss, [nodes, *stage.parameters()])])
        assert len(runs) == times
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_half_precision_stays_half():
    """A stage gives nodes of the type it was given, whatever its cell makes of them."""
    for cell in ("lstm", "gru"):
        with torch.autocast("cpu", torch.bfloat16):
            assert TimeStage(4, cell=cell)(torch.zeros(1, 2, 3, 4).bfloat16())[0].dtype == (
                torch.bfloat16
            )


def test_the_cells_are_the_librarys():
    """So that what replaces modules by their type, as quantisation does, finds them."""
    assert type(TimeStage(4).cell) is torch.nn.LSTM
    assert type(TimeStage(4, cell="gru").cell) is torch.nn.GRU
    assert next(iter(TimeStage(4).state_dict())) == "cell.weight_ih_l0"
