import pytest
import torch

import naive
from graphs import draw, exact, randomise, weights_of
from interlace.graph.time_stage import MeanOverTime, TimeStage
from tolerances import EXACT


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
