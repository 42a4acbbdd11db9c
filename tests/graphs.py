"""Random graphs for tests."""

import torch

from interlace.graph.dyreg import DyReg
from interlace.graph.rstg import RSTG


def randomise(module, seed=0):
    """Random values everywhere, also where a module starts from zeros or ones; float64.

    Vectors are positive: biases that keep a ReLU alive, so that what is tested reaches the output.
    """
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator, dtype=value.dtype))
            if value.dim() < 2:
                value.abs_().mul_(0.7)
            else:
                value.mul_(1.5 / value.shape[-1] ** 0.5)
    return module


def draw(*shape, seed=0):
    """Normal numbers in float64."""
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def exact(values):
    """Nested lists of numbers as a tensor in float64."""
    return torch.tensor(values, dtype=torch.float64)


def random_rstg(channels=5, *, seed=0, width=8, **options):
    """A small RSTG with random weights in float64."""
    return randomise(RSTG(channels, width=width, **options), seed)


def random_dyreg(channels=5, *, seed=0, width=8, region_width=8, **options):
    """A small DyReg with random weights in float64."""
    block = DyReg(channels, width=width, region_width=region_width, **options)
    return randomise(block, seed)


def weights_of(module):
    """A state dict of nested lists, as `naive` takes it."""
    return {name: value.tolist() for name, value in module.state_dict().items()}
