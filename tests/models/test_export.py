import pytest
import torch

from graphs import randomise
from interlace.models.registry import create_model
from tolerances import FLOAT32


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # torch's own, of its cells
@pytest.mark.parametrize(
    "name", ["rstg_content", "rstg_objects", "dyreg_objects", "rstg_grid_sharp", "dyreg_small"]
)
@torch.no_grad()
def test_an_exported_model_says_the_same(name):
    """Of other videos of the same size; nothing of those it was exported with stays in it."""
    model = randomise(create_model(name, num_classes=7)).float().eval()
    shown, other = torch.rand(2, 2, 3, 1, 32, 32)
    exported = torch.export.export(model, (shown,)).module()
    torch.testing.assert_close(exported(other), model(other), **FLOAT32)
    assert not torch.allclose(model(other), model(shown), **FLOAT32)
