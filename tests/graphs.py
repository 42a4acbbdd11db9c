"""Random graphs for tests."""

import torch

from interlace.graph.dyreg import DyReg
from interlace.graph.regions.attention import KeypointRegions
from interlace.graph.regions.dynamic import ConstantRegions, DynamicRegions
from interlace.graph.regions.simple import FixedRegions, StaticRegions
from interlace.graph.rstg import RSTG
from interlace.graph.space_stage import AdditiveGather, DotGather, MeanGather, SumGather


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


def random_dyreg(channels=5, *, seed=0, width=8, regions="dynamic", nodes=9, **options):
    """A small DyReg with random weights in float64; what regions_of knows goes to the regions."""
    names = ("region_width", "memory", "anchors", "size", "learn_size")
    said = {name: options.pop(name) for name in names if name in options}
    if isinstance(regions, str):
        regions = regions_of(regions, channels, nodes, **said)
    if isinstance(regions, str):
        options["nodes"] = nodes
    return randomise(DyReg(channels, width=width, regions=regions, **options), seed)


def regions_of(kind, channels, nodes, *, region_width=8, memory=True, **where):
    """Regions of any kind with options that all kinds take, and those hear that have them."""
    if kind in ("dynamic", "light"):
        where = {"width": region_width, "memory": memory, **where}
        return DynamicRegions.of(channels, nodes, light=kind == "light", **where)
    if kind == "constant":
        return ConstantRegions.of(channels, nodes, width=region_width, memory=memory, **where)
    if kind == "static":
        return StaticRegions(nodes, width=region_width, **where)
    size = where.get("size", 1 / 6)
    if kind == "keypoints":
        return KeypointRegions(channels, nodes, hidden=4, size=size)
    return FixedRegions(nodes, size=size) if kind == "fixed" else kind


def gather_of(kind, width, heads=1, *, scaled=False, relations=0):
    """A gather by the name that `naive` has for it."""
    if kind in ("sum", "mean"):
        return SumGather() if kind == "sum" else MeanGather()
    if kind == "additive":
        return AdditiveGather(width, heads=heads, relations=relations)
    return DotGather(width, heads=heads, scaled=scaled, relations=relations)


def weights_of(module):
    """A state dict of nested lists, as `naive` takes it."""
    return {name: value.tolist() for name, value in module.state_dict().items()}
