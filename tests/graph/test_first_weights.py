"""First weights that keep the size of what passes through, and what keeps torch's or its own."""

import pytest
import torch
from torch import nn

from graphs import draw
from interlace import RSTG, DyReg
from interlace.graph.first_weights import he_weights
from interlace.graph.position import KernelPositions
from interlace.graph.space_stage import AdditiveGather, DotGather
from interlace.graph.time_stage import TimeStage
from tolerances import FLOAT32


def both(make):
    """A module with torch's first weights, and one of the same seed with He's."""
    made = []
    for given in (lambda module: None, he_weights):
        torch.manual_seed(0)
        module = make()
        given(module)
        made.append(module)
    return made


def test_a_relu_layer_keeps_the_size_of_what_passes():
    torch.manual_seed(0)
    x, plain, he = draw(64, 512).float(), nn.Linear(512, 512), nn.Linear(512, 512)
    he_weights(he)
    assert he.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert not he.bias.any()
    size = x.square().mean().item()
    assert he(x).relu().square().mean().item() == pytest.approx(size, rel=0.1)
    assert plain(x).relu().square().mean().item() < size / 4


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_cells_are_orthogonal_gate_by_gate_and_an_lstm_remembers(cell):
    stage = TimeStage(6, cell=cell)
    he_weights(nn.Sequential(stage))
    for gate in stage.cell.weight_hh_l0.split(6):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(6), **FLOAT32)
    bias = stage.cell.bias_ih_l0.unflatten(0, (-1, 6)).tolist()
    ones, zeros = [1.0] * 6, [0.0] * 6
    assert bias == ([zeros, ones, zeros, zeros] if cell == "lstm" else [zeros] * 3)
    assert not stage.cell.bias_hh_l0.any()


@pytest.mark.parametrize("kind", [DotGather, AdditiveGather])
def test_attention_starts_even(kind):
    plain, he = both(lambda: nn.Sequential(kind(8), nn.Linear(8, 8)))
    for name, value in he[0].named_parameters():
        assert torch.equal(value, plain[0].get_parameter(name)), name
    assert not torch.equal(he[1].weight, plain[1].weight)


def test_codes_of_kernels_keep_their_waves():
    plain, he = both(lambda: nn.Sequential(KernelPositions(8), nn.Linear(8, 8)))
    assert torch.equal(he[0].linear.weight, plain[0].linear.weight)
    assert not torch.equal(he[1].weight, plain[1].weight)


@pytest.mark.parametrize(("make", "larger"), [(RSTG, 1.5), (DyReg, 1.1)])
def test_an_option_of_the_graphs(make, larger):
    """A fresh block is the identity also with these; nodes of a vector are larger."""
    clip = draw(1, 3, 16, 6, 6).float()
    block = make(16, width=32, first_weights="he")
    assert torch.equal(block(clip), clip)
    assert block.recurrence.stages["final"].cell.weight_hh_l0[:32].det().abs().item() == (
        pytest.approx(1, abs=1e-3)
    )
    sizes = []
    for name in ("torch", "he"):
        torch.manual_seed(0)
        block = make(16, width=32, first_weights=name, readout="vector")
        _, trace = block(clip, return_trace=True)
        sizes.append(trace.nodes.square().mean())
    assert sizes[1] > larger * sizes[0]
    with pytest.raises(ValueError, match="first_weights must be one of torch, he, got 'xavier'"):
        make(16, first_weights="xavier")
