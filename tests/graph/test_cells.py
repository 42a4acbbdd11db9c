import pytest
import torch

from graphs import draw, randomise
from interlace.graph.cells import Cell
from tolerances import BFLOAT16, EXACT


@pytest.mark.parametrize("used", ["all", "last state"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_output_and_gradients_are_the_librarys(cell, used):
    module = randomise(torch.nn.LSTM(3, 3) if cell == "lstm" else torch.nn.GRU(3, 3))
    own = Cell(cell, 3).double()
    own.load_state_dict(module.state_dict())
    x = draw(4, 2, 3).requires_grad_()
    hidden = [draw(1, 2, 3, seed=k).requires_grad_() for k in range(2 if cell == "lstm" else 1)]

    def ours():
        return own(x, hidden)

    def library():
        out, last = module(x, tuple(hidden) if cell == "lstm" else hidden[0])
        return [out, *last] if cell == "lstm" else [out, last]

    results = []
    for run, parameters in ((ours, own.parameters()), (library, module.parameters())):
        out = run() if used == "all" else run()[-1:]
        loss = sum((value * draw(*value.shape, seed=k)).sum() for k, value in enumerate(out))
        results.append([*out, *torch.autograd.grad(loss, [x, *hidden, *parameters])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("frames", [1, 6])
def test_lstm_in_half_precision(frames):
    """As close to float32 as its steps are small, and a stream is the clip."""
    cell = randomise(Cell("lstm", 8)).float()
    x = draw(frames, 5, 8).float().requires_grad_()
    hidden = [draw(1, 5, 8, seed=k).float().requires_grad_() for k in (1, 2)]
    inputs, results = [x, *hidden, *cell.parameters()], []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = cell(x, hidden)
        loss = sum(
            (value.float() * draw(*value.shape, seed=k)).sum() for k, value in enumerate(out)
        )
        results.append([v.float() for v in (*out, *torch.autograd.grad(loss, inputs))])
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() < BFLOAT16 * b.abs().max()

    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        kept_nothing = cell(x, hidden)
    for a, b in zip(kept_nothing, results[0], strict=False):
        assert (a.float() - b).abs().max() < BFLOAT16 * b.abs().max()
