"""The pictures of the paper that `reproduce/figures.py` draws are what the boxes say."""

import numpy as np
import pytest
import torch
from paper_figures import compare_figure, most_concentrated, places_figure

from interlace.visualize import view_clip
from moving_regions import a_clip, drawn, moving_trace, trace_of, words


@pytest.fixture(scope="module")
def clip():
    video, objects, pair = a_clip()
    return video, objects, pair, moving_trace(objects)


def test_models_stand_side_by_side(clip):
    video, objects, _, trace = clip
    still = trace_of(trace.boxes.mean(1, keepdim=True).expand(-1, 10, -1, -1))
    kernels = trace.kernels.flip(-1)
    traces = {"constant": still, "semantic": trace_of(trace.boxes, kernels=kernels), "full": trace}
    views = {name: view_clip(one, video, boxes=objects) for name, one in traces.items()}
    node = most_concentrated(kernels[0].numpy())
    figure = compare_figure(views, maps=["semantic"], frames=[1, 8])
    panels = dict(zip([(n, t) for t in (1, 8) for n in traces], figure.axes, strict=True))
    for (name, t), axes in panels.items():
        regions = drawn(axes, "region of node")
        if name == "semantic":
            assert regions == {}
            heat = axes.images[1]
            np.testing.assert_array_equal(heat.get_array(), kernels[0, t, node])
            assert heat.get_clim()[1] == pytest.approx(kernels[0, [1, 8], node].max().item())
            continue
        for n, (cx, cy, rx, ry) in enumerate(traces[name].boxes[0, t].double().tolist()):
            bounds = (cx - rx, cy - ry, 2 * rx, 2 * ry)
            np.testing.assert_allclose(regions[n].get_bbox().bounds, bounds, rtol=1e-9)
    for name in ("constant", "semantic", "full", f"node {node}: map", "frame 8"):
        assert name in words(figure)


def test_the_most_concentrated_map_is_shown():
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.1, 0.1], [0.5, 0.5, 0.3, 0.3]])
    trace = trace_of(boxes.expand(1, 4, 3, 4))
    figure = compare_figure({"a": view_clip(trace)}, maps={"a"})
    assert "node 1: map" in words(figure)


def test_mean_places_before_and_after():
    generator = torch.Generator().manual_seed(0)
    before = torch.tensor([0.5, 0.5, 0.2, 0.1]).expand(9, 4)
    after = torch.rand(9, 4, generator=generator) * 0.3 + 0.2
    spreads = torch.rand(2, 9, 4, generator=generator) * 0.1
    figure = places_figure(before, after, before_spread=spreads[0], after_spread=spreads[1])
    for axes, boxes, spread in zip(figure.axes, (before, after), spreads, strict=True):
        regions = drawn(axes, "region of node")
        for n, (cx, cy, rx, ry) in enumerate(boxes.double().tolist()):
            bounds = (cx - rx, cy - ry, 2 * rx, 2 * ry)
            np.testing.assert_allclose(regions[n].get_bbox().bounds, bounds, rtol=1e-9)
        for n, ellipse in drawn(axes, "spread of node").items():
            np.testing.assert_allclose(ellipse.get_center(), boxes[n, :2])
            assert (ellipse.width, ellipse.height) == pytest.approx((2 * spread[n, :2]).tolist())
        assert len(drawn(axes, "spread of node")) == 9
