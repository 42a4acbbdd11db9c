import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import naive_dyreg as naive
from graphs import draw, exact, randomise, weights_of
from interlace.graph.regions.dynamic import (
    ConstantRegions,
    DynamicRegions,
    FullView,
    LightView,
    SaliencyNet,
    sine_cosine,
    to_grid,
)
from interlace.graph.regions.offsets import Offsets
from interlace.graph.time_stage import TimeStage
from tolerances import EXACT

SIZES = [(5, 7), (1, 1), (9, 4), (7, 7), (20, 3)]


def dynamic(kind=DynamicRegions, *, memory=True, nodes=3):
    """Small random regions over 3 channels."""
    return randomise(
        kind(
            SaliencyNet(3, width=4, out_channels=2, grid=5),
            FullView(2, nodes, width=4, grid=2),
            TimeStage(4, cell="gru") if memory else None,
            Offsets(4, nodes=nodes),
        )
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_averages_over_a_grid_as_in_loops(height, width, grid):
    maps = draw(2, 3, height, width)
    averages = to_grid(maps, grid)
    expected = exact([naive.averaged(image, grid) for image in maps.tolist()])
    torch.testing.assert_close(averages, expected, **EXACT)
    torch.testing.assert_close(averages.mean((-1, -2)), maps.mean((-1, -2)), **EXACT)
    ones = torch.ones(1, 1, grid, grid).double()
    torch.testing.assert_close(to_grid(torch.ones_like(maps[:1, :1]), grid), ones, **EXACT)
    last = to_grid(maps.contiguous(memory_format=torch.channels_last), grid)
    torch.testing.assert_close(last, averages, **EXACT)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", [3, 6, 7])
def test_saliency_as_in_loops(size, grid):
    module = randomise(SaliencyNet(3, width=4, out_channels=2, grid=grid))
    images = draw(2, 3, *size)
    maps = module(images)
    expected = [naive.saliency(weights_of(module), image, grid) for image in images.tolist()]
    torch.testing.assert_close(maps, exact(expected), **EXACT)
    assert maps.shape[1:] == (2, module.size, module.size)
    assert maps.max() > 0


def test_saliency_of_the_paper():
    """Appendix C: "f reduces the input from 16 x 16 x 32 to 7 x 7 x 16"."""
    module = SaliencyNet(32)
    assert module(torch.zeros(1, 32, 16, 16)).shape == (1, 16, 7, 7)
    assert (module.out_channels, module.size) == (16, 7)
    with pytest.raises(ValueError, match="at least 3 x 3 cells, got 2"):
        SaliencyNet(32, grid=2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("nodes", [1, 4])
def test_views_as_in_loops(size, nodes):
    maps = draw(2, 3, *size)
    for grid in (2, 7):
        full = randomise(FullView(3, nodes, width=5, grid=grid))
        expected = [
            naive.full_view(weights_of(full), image, nodes, grid) for image in maps.tolist()
        ]
        torch.testing.assert_close(full(maps), exact(expected), **EXACT)
    for width in (1, 2, 5, 8):
        light = randomise(LightView(3, nodes, width=width))
        expected = [naive.light_view(weights_of(light), image, nodes) for image in maps.tolist()]
        torch.testing.assert_close(light(maps), exact(expected), **EXACT)


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 31, 32])
@pytest.mark.parametrize("size", SIZES)
def test_waves_as_in_loops(channels, size):
    height, width = size
    waves = sine_cosine(channels, height, width, like=draw(1))
    expected = [
        [
            [naive.wave(k, channels, (y + 0.5) / height, (x + 0.5) / width) for x in range(width)]
            for y in range(height)
        ]
        for k in range(channels)
    ]
    torch.testing.assert_close(waves, exact(expected), **EXACT)


def test_every_place_has_its_own_waves():
    waves = sine_cosine(32, 14, 14, like=torch.zeros(1)).flatten(1)
    apart = torch.cdist(waves.T, waves.T) + 10 * torch.eye(14 * 14)
    assert apart.min() > 0.3


def test_a_light_view_knows_where_it_looks_by_its_waves_only():
    light, maps = randomise(LightView(3, 2, width=6)), draw(1, 3, 6, 6)
    moved = maps.roll((2, 3), (-2, -1))
    assert not torch.allclose(light(moved), light(maps), rtol=1e-2)
    nn.init.zeros_(light.positions.weight)
    torch.testing.assert_close(light(moved), light(maps), **EXACT)


def test_a_full_view_knows_where_it_looks():
    full, maps = randomise(FullView(3, 2, width=6, grid=6)), draw(1, 3, 6, 6)
    assert not torch.allclose(full(maps.roll((2, 3), (-2, -1))), full(maps), rtol=1e-2)


@pytest.mark.parametrize("memory", [True, False])
def test_regions_remember_only_with_a_memory(memory):
    clip = draw(1, 4, 3, 6, 6)
    other = clip.clone()
    other[:, 1] = draw(1, 3, 6, 6, seed=5)
    module = dynamic(memory=memory)
    moved = (module(clip)[0].boxes - module(other)[0].boxes).abs().amax((0, 2, 3)) > 1e-6
    assert moved.tolist() == [False, True, memory, memory]
    state = module(clip)[1]
    assert state is None if not memory else state.shape == (1, 3, 4)


@pytest.mark.parametrize("memory", [True, False])
def test_constant_regions_are_those_of_the_last_frame(memory):
    clip = draw(2, 4, 3, 6, 6)
    expected = dynamic(memory=memory)(clip)[0].boxes[:, -1:]
    regions, state = dynamic(ConstantRegions, memory=memory)(clip)
    assert torch.equal(regions.boxes, expected)
    with pytest.raises(ValueError, match="depend on the whole clip: pass it in one call, without"):
        dynamic(ConstantRegions, memory=memory)(clip, state)


def test_each_node_has_its_own_eye():
    """Renumbering the rows of the view renumbers the regions."""
    module, clip, order = dynamic(), draw(1, 2, 3, 6, 6), [2, 0, 1]
    before = module(clip)[0].boxes
    linear = module.view.linear
    with torch.no_grad():
        for value in (linear.weight, linear.bias):
            value.copy_(value.unflatten(0, (3, 4))[order].flatten(0, 1))
    torch.testing.assert_close(module(clip)[0].boxes, before[:, :, order], **EXACT)
    assert len(before[0, 0].unique(dim=0)) == 3


def test_gradients_reach_features_through_boxes_alone():
    clip = draw(1, 2, 3, 6, 6).requires_grad_()
    module = dynamic()
    boxes = module(clip)[0].boxes
    (grad,) = torch.autograd.grad((boxes * draw(*boxes.shape)).sum(), clip)
    assert grad.isfinite().all()
    assert (grad.abs().amax((2, 3, 4)) > 0).all()  # both frames
    torch.autograd.gradcheck(
        lambda x: module(x)[0].boxes[:, -1], clip.detach()[..., :4, :4].requires_grad_()
    )
