import pytest
import torch

from graphs import draw, randomise
from interlace.graph.cells import Cell
from tolerances import EXACT


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
