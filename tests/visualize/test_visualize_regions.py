"""Pictures of regions that move: what is drawn is where the boxes of the trace are."""

import dataclasses
import io
import re

import av
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from interlace.reports import ClipReport, explain_clip, save_pictures, write_report
from interlace.reports import explained_regions as explaining
from interlace.visualize import (
    animate_regions,
    kernels_figure,
    paths_figure,
    regions_figure,
    sizes_figure,
)
from interlace.visualize.palette import REGION_COLOURS, along_outline, node_colour, place_labels
from interlace.visualize.view import view_clip
from moving_regions import a_clip, drawn, moving_trace, trace_of, words

NAMES = [f"{i}-{j}" for i in range(10) for j in range(i)] + ["none"]
SCORES = np.full(len(NAMES), 1 / len(NAMES))


@pytest.fixture(scope="module")
def clip():
    video, objects, pair = a_clip()
    return video, objects, pair, moving_trace(objects)


@pytest.fixture(scope="module")
def report(clip):
    video, objects, pair, trace = clip
    return explain_clip(video, trace, SCORES, NAMES, label=1, boxes=objects, highlight=pair)


def pixels(axes, points):
    """Points (..., 2) of a panel as pixels from its top left corner, and the panel's size."""
    window = axes.get_window_extent()
    at = axes.transData.transform(points)
    return np.stack([at[..., 0] - window.x0, window.y1 - at[..., 1]], -1), window.size


def test_rectangles_are_the_boxes_in_pixels(clip):
    video, objects, pair, trace = clip
    figure = regions_figure(view_clip(trace, video, boxes=objects, highlight=pair))
    assert len(figure.axes) == 10
    for t, axes in enumerate(figure.axes):
        boxes = trace.boxes[0, t].double().numpy()
        regions, centres = drawn(axes, "region of node"), drawn(axes, "centre of node")
        assert list(regions) == list(centres) == list(range(9))
        for n, (cx, cy, rx, ry) in enumerate(boxes):
            corners, (width, height) = pixels(axes, regions[n].get_bbox().get_points())
            low, high = corners.min(axis=0), corners.max(axis=0)
            size = np.array([width, height])
            np.testing.assert_allclose(low, size * (cx - rx, cy - ry), atol=1e-6)
            np.testing.assert_allclose(high, size * (cx + rx, cy + ry), atol=1e-6)
            np.testing.assert_allclose(centres[n].get_xydata(), [(cx, cy)], rtol=1e-12)
            assert to_hex(regions[n].get_edgecolor()) == node_colour(n)
        for d, outline in drawn(axes, "object").items():
            cx, cy, rx, ry = objects[t, d].double().numpy()
            bounds = (cx - rx, cy - ry, 2 * rx, 2 * ry)
            np.testing.assert_allclose(outline.get_bbox().bounds, bounds, rtol=1e-9)
            assert (to_hex(outline.get_edgecolor()) == "#ffffff") == bool(pair[d])
    assert "white: those that decide the label" in words(figure)


def test_paths_are_the_centres(clip):
    video, objects, _, trace = clip
    figure = paths_figure(view_clip(trace, video, boxes=objects))
    *alone, together = figure.axes
    centres = trace.boxes[0, :, :, :2].double().numpy()
    assert len(alone) == 9
    for panel, nodes in [(together, range(9)), *((axes, [n]) for n, axes in enumerate(alone))]:
        paths = drawn(panel, "path of node")
        assert list(paths) == list(nodes)
        for n in nodes:
            np.testing.assert_array_equal(paths[n].get_xydata(), centres[:, n])
            for end, t in (("start", 0), ("end", -1)):
                mark = drawn(panel, f"{end} of node")[n]
                np.testing.assert_array_equal(mark.get_xydata(), centres[[t], n])
            assert paths[n].get_color() == node_colour(n)
        for d, path in drawn(panel, "path of object").items():
            np.testing.assert_array_equal(path.get_xydata(), objects[:, d, :2].double())
    below = together.images[0].get_array()[..., 0]
    np.testing.assert_allclose(below, video[:, 0].float().mean(0), atol=0.51)


def test_sizes_are_the_half_extents(clip):
    figure = sizes_figure(view_clip(clip[3]), nodes=[2, 7])
    for n, axes in zip((2, 7), figure.axes, strict=True):
        for k, name in enumerate("xy"):
            (line,) = (a for a in axes.lines if a.get_gid() == f"r{name} of node {n}")
            np.testing.assert_array_equal(line.get_xdata(), np.arange(10))
            np.testing.assert_array_equal(line.get_ydata(), clip[3].boxes[0, :, n, 2 + k])
            assert line.get_color() == node_colour(n)
            assert line.get_linestyle() == ("-" if name == "x" else "--")
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_kernels_of_regions_stand_in_columns(clip):
    video, _, _, trace = clip
    figure = kernels_figure(view_clip(trace, video))
    assert len(figure.axes) == 4 * 9
    for axes in figure.axes:
        heat = axes.images[1]
        n, t = map(int, re.findall(r"\d+", heat.get_gid()))
        np.testing.assert_array_equal(heat.get_array(), trace.kernels[0, t, n])
        assert to_hex(heat.get_cmap()(1.0)) == node_colour(n)
    for n in (0, 8):
        most = trace.kernels[0, [0, 3, 6, 9], n].max().item()
        assert f"max {most:.3g}" in words(figure)


def test_the_film_outlines_regions_where_they_are():
    boxes = torch.tensor([[0.25, 0.25, 0.125, 0.125], [0.75, 0.75, 0.125, 0.1875]]).expand(4, 2, 4)
    boxes = boxes.clone()
    boxes[:, 0, 0] += 0.125 * torch.arange(4)  # node 0 goes right
    view = view_clip(trace_of(boxes[None]), torch.zeros(4, 1, 32, 40, dtype=torch.uint8))
    frames = animate_regions(view)
    assert frames.shape == (4, 384, 480, 3)
    assert frames.dtype == np.uint8
    for t, frame in enumerate(frames):
        for n, (cx, cy, rx, ry) in enumerate(boxes[t].double().tolist()):
            colour = np.array([int(node_colour(n)[k : k + 2], 16) for k in (1, 3, 5)])
            low, left, right = (
                round(384 * (cy + ry)),
                *(round(480 * (cx + s * rx)) for s in (-1, 1)),
            )
            middle = round(480 * cx)
            for y, x in ((low, middle), (round(384 * (cy + ry / 3)), left),
                         (round(384 * (cy + ry / 3)), right)):  # fmt: skip
                near = frame[y - 1 : y + 1, x - 1 : x + 1].reshape(-1, 3).astype(int)
                assert np.abs(near - colour).sum(axis=-1).min() < 40
    left_behind = 96, 210  # y and x where the centre of node 0 was between frames 1 and 2
    assert not frames[0][left_behind].any()
    assert frames[3][left_behind].any()  # the trail


def test_films_and_figures_become_files(report, tmp_path):
    written = save_pictures(tmp_path / "new", report, prefix="clip_0_")
    names = {path.name for path in written}
    assert names == {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {
        f"clip_0_{name}"
        for name in ("regions_in_motion.gif", "regions_in_motion.mp4", "regions_on_the_frames.png",
                     "paths_of_the_nodes.png", "sizes_of_the_regions.png", "kernels.png")
    }  # fmt: skip
    film = report.files["regions_in_motion"]
    assert min(film.shape[1:3]) >= 320
    with Image.open(tmp_path / "new/clip_0_regions_in_motion.gif") as gif:
        assert gif.n_frames == 10
        assert gif.size == film.shape[2:0:-1]
    with av.open(str(tmp_path / "new/clip_0_regions_in_motion.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        decoded = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert decoded.shape == film.shape
    assert np.abs(decoded.astype(int) - film).mean() < 4
    with Image.open(tmp_path / "new/clip_0_kernels.png") as png:
        assert png.width == 1920
    assert save_pictures(tmp_path / "none", ClipReport("title")) == []
    assert not (tmp_path / "none").exists()


# The report


def test_a_report_shows_regions_that_move(clip, report, tmp_path):
    trace = clip[3]
    captions = list(report.figures)
    for caption in ("Regions in motion", "Regions on the frames", "Paths of the nodes",
                    "Sizes of the regions", "Where nodes look"):  # fmt: skip
        assert caption in captions
    text = " ".join(report.text)
    steps = trace.boxes[0, 1:, :, :2] - trace.boxes[0, :-1, :, :2]
    length = steps.double().norm(dim=-1)
    assert f"a centre goes {length.mean():.3f} of the frame on average" in text
    most = int(length.sum(0).argmax())
    assert f"that of node {most} goes farthest, {length.sum(0).max():.3f}" in text
    half = trace.boxes[0, ..., 2:]
    assert f"from {half.min():.3f} of the frame" in text
    assert f"to {half.max():.3f} (node" in text
    page = write_report(
        tmp_path / "report.html", title="t", summary={}, figures={}, clips=[report]
    ).read_text(encoding="utf-8")
    assert page.count("data:image/gif;base64,") == 2  # regions, and messages
    assert "Paths of the nodes" in page


def test_a_film_too_large_for_a_gif_is_an_mp4(clip, monkeypatch):
    film = animate_regions(view_clip(clip[3], clip[0]))
    assert explaining.film_for_page(film)[:4] == b"GIF8"
    monkeypatch.setattr(explaining, "LARGEST_GIF", 1000)
    encoded = explaining.film_for_page(film)
    assert encoded[4:8] == b"ftyp"
    with av.open(io.BytesIO(encoded)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ImportError, match=r"need av; run: pip install .*plot"):
        explaining.film_for_page(film)


def test_regions_that_rest_have_no_paths(clip):
    video = clip[0][:2]
    still = clip[3].boxes[:, :1].expand(-1, 2, -1, -1)
    report = explain_clip(video, trace_of(still), SCORES, NAMES)
    assert "Regions on the frames" in report.figures
    assert "Paths of the nodes" not in report.figures
    assert "the same in all frames" in " ".join(report.text)
    still = still.clone()
    still[..., 2:] = 0.0
    points = explain_clip(video, trace_of(still), SCORES, NAMES)
    assert "All half extents of the regions are 0.000 of the frame" in " ".join(points.text)


def test_maps_are_not_drawn_as_regions(clip):
    video, boxes = clip[0][:2], clip[3].boxes[:, :2]
    kernels = torch.rand(1, 2, 9, 9, 11, generator=torch.Generator().manual_seed(0)) ** 4
    maps = trace_of(boxes, kernels=kernels / kernels.sum((-2, -1), keepdim=True))
    report = explain_clip(video, maps, SCORES, NAMES)
    assert "Regions on the frames" not in report.figures
    assert report.files == {}
    assert "maps of any form" in " ".join(report.text)


# Colours and labels


def test_node_colours_stay_apart_for_every_eye():
    def oklab(rgb):
        cones = np.array(
            [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
        )
        lab = np.array(
            [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
        )
        return np.cbrt((rgb @ cones.T).clip(0, 1)) @ lab.T

    rgb = np.array([to_rgb(colour) for colour in REGION_COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    eyes = [  # Machado et al., 2009, severity 1: all cones; without red, green, blue ones
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]],
    ]  # fmt: skip
    for eye in eyes:
        seen = oklab(linear @ np.transpose(eye))
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + np.eye(9)
        assert apart.min() > 0.099
    light = linear @ [0.2126, 0.7152, 0.0722]
    assert ((light + 0.05) / 0.05).min() > 4  # on black


def test_a_node_keeps_its_colour_in_all_figures(clip):
    video, _, _, trace = clip
    assert view_clip(trace).colours == [node_colour(n) for n in range(9)]
    assert node_colour(9) == node_colour(0)
    first, tenth = (
        drawn(regions_figure(view_clip(moving_trace(clip[1], 12), video), frames=[0]).axes[0],
              "region of node")[n].get_linestyle() for n in (0, 9)
    )  # fmt: skip
    assert first != tenth  # the same colour, another line


def test_labels_lie_on_outlines_and_not_on_each_other():
    boxes = np.tile([0.5, 0.5, 0.2, 0.2], (9, 1))
    places = place_labels(along_outline(boxes), 0.03)
    assert (np.abs(np.abs(places - 0.5).max(axis=1) - 0.2) < 1e-9).all()
    apart = np.hypot(*(places[:, None] - places[None]).T) + np.eye(9)
    assert apart.min() > 0.06
    points = np.tile([0.5, 0.5, 0.0, 0.0], (1, 1))  # the centre of a point stays visible
    assert np.hypot(*(place_labels(along_outline(points, least=0.03), 0.03)[0] - 0.5)) > 0.03
    outside = place_labels(along_outline(np.array([[0.02, 0.98, 0.3, 0.3]])), 0.03)
    assert ((outside >= 0.03) & (outside <= 0.97)).all()


# What is unusual


@pytest.mark.parametrize("figure", ["regions", "paths", "sizes", "kernels", "film"])
@pytest.mark.parametrize(("time", "nodes"), [(1, 9), (10, 1), (1, 1), (10, 24)])
def test_one_frame_one_node_many_nodes(figure, time, nodes):
    video = np.zeros((time, 3, 24, 40), np.uint8)  # black
    objects = torch.rand(time, 3, 4, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    trace = moving_trace(objects, nodes)
    view = view_clip(trace, video)
    if figure == "film":
        assert animate_regions(view).shape == (time, 384, 640, 3)
        return
    made = {
        "regions": lambda: regions_figure(view),
        "paths": lambda: paths_figure(view),
        "sizes": lambda: sizes_figure(view),
        "kernels": lambda: kernels_figure(view),
    }[figure]()
    made.canvas.draw()
    if figure in ("regions", "paths"):
        kind = "region" if figure == "regions" else "path"
        assert len(drawn(made.axes[-1], f"{kind} of node")) == min(nodes, 20)
    if nodes > 20 and figure != "kernels":
        assert "20 of 24 nodes" in words(made)
    if figure == "regions":
        assert list(drawn(regions_figure(view, nodes=[0]).axes[0], "region of node")) == [0]


def test_one_frame_and_a_black_video_are_explained():
    objects = torch.rand(1, 3, 4, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    video = np.zeros((1, 1, 24, 24), np.uint8)
    report = explain_clip(video, moving_trace(objects), SCORES, NAMES, boxes=objects)
    assert "Regions are no cells of a grid." in " ".join(report.text)
    assert "Regions on the frames" in report.figures


def test_wrong_values_are_refused(clip):
    video, _, pair, trace = clip
    broken = dataclasses.replace(trace, boxes=trace.boxes.clone())
    broken.boxes[0, 4, 2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"trace\.boxes must be finite.*frame 4"):
        view_clip(broken, video)
    view = view_clip(trace, video)
    with pytest.raises(ValueError, match="nodes must be in 0 to 8, got 12"):
        regions_figure(view, nodes=[12])
    with pytest.raises(ValueError, match="highlight names boxes, got no boxes"):
        view_clip(trace, video, highlight=pair)
