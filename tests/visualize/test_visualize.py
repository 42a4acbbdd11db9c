"""What is drawn is what the tensors say: values, places, colours and sentences."""

import dataclasses
import re
from html.parser import HTMLParser

import av
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, Rectangle
from PIL import Image

from interlace.graph.trace import Trace
from interlace.reports import ClipReport, explain_clip, write_report
from interlace.visualize import (
    animate,
    attention_figure,
    confusion_figure,
    curve_figure,
    draw_clip,
    frames_figure,
    graph_figure,
    kernels_figure,
    prediction_figure,
    save_gif,
    save_mp4,
)
from interlace.visualize.graph import message_threshold, message_width
from interlace.visualize.view import name_nodes, spread_centres, view_clip

NAMES = [f"{i}-{j}" for i in range(5) for j in range(i)] + ["none"]
CELLS = [(s, r, c) for s in (3, 2, 1) for r in range(s) for c in range(s)]
GRID = torch.tensor([((c + 0.5) / s, (r + 0.5) / s, 0.5 / s, 0.5 / s) for s, r, c in CELLS])


def make_trace(*, batch=2, time=4, rounds=2, heads=3, boxes=None, seed=0) -> Trace:
    """A trace with the boxes of RSTG's grids and random attention between all of its nodes."""
    generator = torch.Generator().manual_seed(seed)
    nodes = len(GRID)
    if boxes is None:
        boxes = GRID.expand(batch, time, nodes, 4)
    kernels = torch.rand(batch, time, nodes, 6, 5, generator=generator)
    logits = 2 * torch.randn(batch, time, rounds, heads, nodes, nodes, generator=generator)
    logits = logits.masked_fill(torch.eye(nodes, dtype=torch.bool), -torch.inf)
    return Trace(
        boxes=boxes,
        kernels=kernels / kernels.sum((-2, -1), keepdim=True),
        attention=logits.softmax(-1),
        nodes=torch.randn(batch, time, nodes, 8, generator=generator),
        mass=torch.ones(batch, time, nodes),
    )


def make_video(*, time=4, channels=1, height=32, width=40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (time, channels, height, width)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


def make_scores() -> np.ndarray:
    scores = np.linspace(1, 2, len(NAMES))
    scores[3] = 20
    return scores / scores.sum()


def artists(figure, gid):
    """All artists of a figure whose gid starts so."""
    found = figure.findobj(lambda artist: (artist.get_gid() or "").startswith(gid))
    return {artist.get_gid(): artist for artist in found}


def words(figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


# Frames


@pytest.mark.parametrize("channels", [1, 3])
def test_draw_clip_enlarges_by_whole_pixels(channels):
    video = make_video(channels=channels)
    frames = draw_clip(video, scale=3)
    assert frames.shape == (4, 96, 120, 3)
    assert frames.dtype == np.uint8
    expected = video.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(frames[:, 1::3, 2::3], np.broadcast_to(expected, (4, 32, 40, 3)))
    assert draw_clip(video).shape == (4, 256, 320, 3)  # the shorter side gets 256


def test_draw_clip_outlines_a_box_where_the_convention_says():
    boxes = torch.tensor([0.5, 0.25, 0.2, 0.125]).expand(4, 1, 4)
    frames = draw_clip(torch.zeros(4, 1, 32, 40, dtype=torch.uint8), boxes=boxes, scale=10,
                       colors=["#ff8000"])  # fmt: skip
    # x from (0.5 - 0.2) * 400 = 120 to 280, y from (0.25 - 0.125) * 320 = 40 to 120
    inside = np.zeros((320, 400), dtype=bool)
    inside[40:120, 120:280] = True
    inside[42:118, 122:278] = False
    for frame in frames:
        np.testing.assert_array_equal(frame.any(axis=-1), inside)
        assert (frame[inside] == (255, 128, 0)).all()


def test_draw_clip_cuts_off_what_lies_outside():
    boxes = np.broadcast_to([0.0, 0.0, 0.5, 0.5], (2, 1, 4))
    frames = draw_clip(np.zeros((2, 3, 16, 16), np.uint8), boxes=boxes, scale=1, colors=[(9, 9, 9)])
    drawn = frames[0].any(axis=-1)
    assert drawn[7, :8].all()
    assert drawn[:8, 7].all()
    assert drawn.sum() == 15


def test_frames_figure_shows_every_frame_and_every_box():
    video = make_video(time=12, height=16, width=16)
    boxes = np.random.default_rng(0).uniform(0.2, 0.4, (12, 3, 4))
    figure = frames_figure(video, boxes=boxes, highlight=[1])
    assert "11" in words(figure)
    assert len(figure.axes) == 12
    for t, axes in enumerate(figure.axes):
        shown = axes.images[0].get_array()
        np.testing.assert_array_equal(shown[..., 0], video[t, 0])
        drawn = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        cx, cy, rx, ry = boxes[t, 1]
        top = drawn[-1]  # the one that matters lies on top and is the boldest
        np.testing.assert_allclose(top.get_bbox().bounds, (cx - rx, cy - ry, 2 * rx, 2 * ry))
        assert all(top.get_linewidth() > other.get_linewidth() for other in drawn[:-1])
    mask = np.array([False, True, False])
    again = frames_figure(video, boxes=boxes, highlight=mask).axes[0].patches[-1]
    assert again.get_bbox().bounds == figure.axes[0].patches[-1].get_bbox().bounds


def test_gif_has_the_frames_the_colours_and_the_speed(tmp_path):
    frames = np.zeros((5, 20, 30, 3), np.uint8)
    for t in range(5):
        frames[t, :, 5 * t : 5 * t + 5] = (10 * t, 200, 255 - t)
    path = save_gif(tmp_path / "clip.gif", frames, fps=4)
    with Image.open(path) as gif:
        assert gif.n_frames == 5
        for t in range(5):
            gif.seek(t)
            assert gif.info["duration"] == 250
            np.testing.assert_array_equal(np.asarray(gif.convert("RGB")), frames[t])


def test_mp4_is_h264_with_the_frames(tmp_path):
    frames = np.full((6, 33, 47, 3), (200, 60, 20), np.uint8)  # odd sides
    frames[3:] = (20, 60, 200)
    path = save_mp4(tmp_path / "clip.mp4", frames, fps=5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 5
        decoded = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(stream)])
    assert decoded.shape == (6, 34, 48, 3)
    assert np.abs(decoded[:, :33, :47].astype(int) - frames).max() < 12


# The graph


def test_a_message_is_as_bold_as_its_weight():
    trace, video = make_trace(), make_video()
    attention = trace.attention[1].mean(dim=2).numpy()  # (T, K, N, N)
    figure = graph_figure(view_clip(trace, video, clip=1), frames=[2], rounds=[1], threshold=0.1)
    drawn = artists(figure, "message from")
    weights = attention[2, 1]
    expected = {f"message from {j} to {i}" for i, j in np.argwhere(weights >= 0.1)}
    assert set(drawn) == expected
    strongest = weights.max()
    by_weight = []
    for gid, arrow in drawn.items():
        sender, receiver = map(int, re.findall(r"\d+", gid))
        weight = weights[receiver, sender]
        assert arrow.get_alpha() == pytest.approx(weight / strongest, rel=1e-6)
        by_weight.append((weight, arrow.get_linewidth()))
    by_weight.sort()
    widths = [width for _, width in by_weight]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    ratio = widths[-1] / message_width(1.0)
    np.testing.assert_allclose(
        widths, [ratio * message_width(weight / strongest) for weight, _ in by_weight], rtol=1e-6
    )
    assert "of weight 0.1 and more (mean of 3 heads)" in words(figure)
    assert f"boldest: {strongest:.3f}" in words(figure)


def test_an_arrow_runs_from_sender_to_receiver():
    trace = make_trace(batch=1, rounds=1, heads=1)
    attention = torch.zeros_like(trace.attention)
    attention[0, :, 0, 0, 2, 6] = 0.43  # receiver 2 is top right, sender 6 bottom left
    trace = dataclasses.replace(trace, attention=attention)
    figure = graph_figure(view_clip(trace, make_video()), frames=[0])
    (arrow,) = [a for a in figure.findobj(FancyArrowPatch) if a.get_gid()]
    np.testing.assert_allclose(arrow._posA_posB, [(1 / 6, 5 / 6), (5 / 6, 1 / 6)], atol=1e-6)
    assert "boldest: 0.430" in words(figure)


def test_graph_figure_draws_the_regions_of_the_trace():
    trace = make_trace()
    figure = graph_figure(view_clip(trace, make_video()), frames=[0, 3])
    assert len(figure.axes) == 2 * 2
    for axes in figure.axes:
        regions = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        for region, (cx, cy, rx, ry) in zip(regions, GRID.numpy(), strict=True):
            bounds = (cx - rx, cy - ry, 2 * rx, 2 * ry)
            np.testing.assert_allclose(region.get_bbox().bounds, bounds, atol=0.013)
        colours = [to_hex(region.get_edgecolor()) for region in regions]
        assert len(set(colours[:9])) == 1
        assert len(set(colours)) == 3


def test_threshold_leaves_about_ten_messages_a_panel():
    weights = make_trace().attention[0].mean(dim=2).numpy()
    threshold = message_threshold(weights)
    assert 10 <= (weights >= threshold).sum(axis=(-2, -1)).mean() <= 14
    assert threshold == float(f"{threshold:.2g}")  # so the caption states it exactly
    assert message_threshold(np.zeros((1, 3, 3))) == 0


def test_a_message_to_oneself_is_a_ring():
    trace = make_trace(batch=1, rounds=1, heads=1)
    attention = torch.zeros_like(trace.attention)
    attention[0, :, 0, 0, 5, 5] = 1
    trace = dataclasses.replace(trace, attention=attention)
    figure = graph_figure(view_clip(trace, make_video()), frames=[1])
    ring = artists(figure, "message from")["message from 5 to 5"]
    np.testing.assert_allclose(ring.get_xydata(), [(5 / 6, 1 / 2)], atol=1e-6)


def test_nodes_are_named_after_their_grid_cells():
    names, colours = name_nodes(GRID.expand(4, -1, -1).numpy())
    assert names[5] == "3×3 grid, row 1, column 2"
    assert names[11] == "2×2 grid, row 1, column 0"
    assert names[13] == "whole frame"
    assert len(set(colours)) == 3
    moving = GRID.expand(4, -1, -1).clone()
    moving[2, 5, 0] += 0.1
    names, colours = name_nodes(moving.numpy())
    assert set(names) == {""}
    assert len(set(colours)) == 9  # one each, the tenth starts again


def test_nodes_that_share_a_centre_stand_side_by_side():
    places = spread_centres(GRID.numpy())
    apart = np.hypot(*(places[4] - places[13]))
    assert 0.1 < apart < 0.15
    alone = [n for n in range(14) if n not in (4, 13)]
    np.testing.assert_allclose(places[alone], GRID[alone, :2], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rounds", [0, 2])
def test_animation_draws_nodes_over_frames(channels, rounds):
    trace = make_trace(rounds=rounds)
    video = torch.zeros(4, channels, 32, 40, dtype=torch.uint8)
    frames = animate(view_clip(trace, video))
    assert frames.shape == (4, 384, 480, 3)
    assert frames.dtype == np.uint8
    # a node is a disc of its colour; node 7 is 3×3 row 2, column 1
    x, y = round(480 / 2), round(384 * 5 / 6)
    for frame in frames:
        disc = frame[y - 6 : y + 7, x - 6 : x + 7].reshape(-1, 3)
        assert (disc == (0x38, 0xBD, 0xF8)).all(axis=-1).mean() > 0.4
    assert frames.astype(bool).any(axis=-1).mean() < 0.5  # the rest is the black of the video


# Heat


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_figure_shows_the_tensor(heads):
    trace = make_trace(heads=heads)
    figure = attention_figure(view_clip(trace, clip=1))
    maps = artists(figure, "attention of round")
    assert len(maps) == 2
    expected = trace.attention[1].double().mean(dim=(0, 2)).numpy()
    for k in range(2):
        np.testing.assert_allclose(maps[f"attention of round {k}"].get_array(), expected[k])
    assert {image.get_clim() for image in maps.values()} == {(0, expected.max())}
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[5] == "3×3 r1 c2 · 5"
    assert "receiver" in words(figure)
    assert "sender" in words(figure)


def test_attention_of_either_sign_is_centred_on_zero():
    trace = make_trace()
    trace = dataclasses.replace(trace, attention=trace.attention - 0.5)
    maps = artists(attention_figure(view_clip(trace)), "attention")
    low, high = maps["attention of round 0"].get_clim()
    assert low == -high


def test_kernels_figure_shows_the_kernels_and_their_boxes():
    trace = make_trace()
    view = view_clip(trace, make_video(), clip=1)
    figure = kernels_figure(view, nodes=[2, 9], frames=[0, 3])
    heat = artists(figure, "kernel of node")
    assert len(heat) == 4
    for node in (2, 9):
        for t in (0, 3):
            image = heat[f"kernel of node {node} in frame {t}"]
            np.testing.assert_allclose(image.get_array(), trace.kernels[1, t, node])
            assert image.get_extent() == [0, 1, 1, 0]
            most = trace.kernels[1, [0, 3], node].max().item()
            assert image.get_clim() == pytest.approx((0, most))
            assert f"{most:.3g}" in words(figure)


# Charts


def test_prediction_bars_are_the_scores():
    scores = make_scores()
    figure = prediction_figure(scores, NAMES, label=0)
    bars = figure.axes[0].patches
    ranked = np.sort(scores)[::-1]
    np.testing.assert_allclose([bar.get_width() for bar in bars], [*ranked[:5], scores[0]])
    assert f"{100 * scores[3]:.1f} %" in words(figure)
    assert f"(rank {len(NAMES)})" in words(figure)  # the true class, below the best five
    colours = [to_hex(bar.get_facecolor()) for bar in bars]
    assert colours[-1] != colours[0]
    assert len(set(colours[:-1])) == 1


@pytest.mark.parametrize("classes", [3, 56])
def test_confusion_is_the_share_of_a_true_class(classes):
    counts = np.random.default_rng(0).integers(0, 50, (classes, classes))
    counts[1] = 0  # never seen
    names = [f"class {n}" for n in range(classes)]
    figure = confusion_figure(counts, names)
    shown = artists(figure, "confusion")["confusion"].get_array()
    expected = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(shown, expected)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == names


def test_curves_are_the_given_points():
    curves = {"training": ([0, 10, 20], [0.1, 0.5, 0.9]), "held-out": ([0, 20], [0.1, 0.8])}
    figure = curve_figure(curves, xlabel="videos", ylabel="accuracy")
    drawn = [line for line in figure.axes[0].lines if line.get_gid() == "curve"]
    for line, (x, y) in zip(drawn, curves.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([x, y], axis=1))
    for text in ("training", "held-out", "videos", "accuracy", "0.9", "0.8"):
        assert text in words(figure)


def test_ends_that_nearly_meet_are_both_written():
    """At the top of the chart, too, beyond which matplotlib leaves texts out."""
    curves = {str(end): ([0, 20], [0.1, end]) for end in (0.98, 0.981, 0.982)}
    (axes,) = curve_figure(curves, xlabel="videos", ylabel="accuracy").axes
    assert {text.get_text() for text in axes.texts} == set(curves)
    heights = sorted(text.xy[1] for text in axes.texts)
    assert heights[-1] <= axes.get_ylim()[1]
    assert min(np.diff(heights)) > 0.04


# The report


def test_explanation_is_read_off_the_tensors():
    trace, video, scores = make_trace(), make_video(), make_scores()
    attention = trace.attention.clone()
    attention[1, 2, 1, :, 4, 7] = 0.987  # clip 1, frame 2, round 1: node 4 listens to node 7
    trace = dataclasses.replace(trace, attention=attention)
    boxes = GRID[:3].expand(4, 3, 4)
    clip = explain_clip(video, trace, scores, NAMES, clip=1, label=0, boxes=boxes, highlight=[0, 2])
    text = " ".join(clip.text)
    assert clip.title == "Says “3-0”: wrong, it is “1-0”"
    assert f"“3-0” with probability {100 * scores[3]:.1f} %" in text
    assert f"“1-0”, which it gives {100 * scores[0]:.1f} %" in text
    assert (
        "The strongest message of round 1 is in frame 2: node 4 (3×3 grid, row 1, column 1) "
        "listened to node 7 (3×3 grid, row 2, column 1) with weight 0.987." in text
    )
    mean = attention[1].mean(dim=2)[:, 0].numpy()
    t, i, j = np.unravel_index(mean.argmax(), mean.shape)
    assert f"round 0 is in frame {t}: node {i} " in text
    assert f"listened to node {j} " in text
    assert f"with weight {mean.max():.3f}" in text

    # regions that hold the centre of box 0 or 2: that cell, the 2×2 cell around it, the frame
    holding = [0, 2, 9, 10, 13]
    last = attention[1].mean(dim=2)[:, 1]
    share = (last / last.sum(-1, keepdim=True))[..., holding].sum(-1).mean()
    even = sum(len([h for h in holding if h != i]) for i in range(14)) / 14 / 13
    assert f"gives on average {100 * share:.1f} % of its attention" in text
    assert f"would give {100 * even:.1f} %" in text


def test_an_explanation_does_not_need_truth_or_messages():
    clip = explain_clip(make_video(channels=3), make_trace(rounds=0), make_scores(), NAMES)
    assert clip.title == "Says “3-0”"
    assert "passes no messages (K = 0)" in " ".join(clip.text)
    assert "Who listens to whom" not in clip.figures
    assert "The graph over frames and rounds" in clip.figures


class Page(HTMLParser):
    """Collects what a browser would fetch, and the text."""

    def __init__(self):
        super().__init__()
        self.sources, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "data", "poster"):
                self.sources.append(value)
        if tag in ("meta", "link", "br", "img"):
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_report_is_one_page_that_fetches_nothing(tmp_path):
    scores = make_scores()
    clips = [
        explain_clip(make_video(), make_trace(), scores, NAMES, label=3),
        explain_clip(make_video(), make_trace(rounds=0), scores, NAMES),
    ]
    summary = {"Accuracy": "93.4 %", "Hardware": "2 cores <of something> & more"}
    curves = {"held-out": ([0, 1], [0.25, 0.875])}
    figures = {"Learning": curve_figure(curves, xlabel="videos", ylabel="accuracy")}
    path = write_report(
        tmp_path / "new" / "report.html", title="A <report>", summary=summary, figures=figures,
        clips=clips,
    )  # fmt: skip
    html = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    text = " ".join(page.text).replace("\u00a0", " ")
    assert "A <report>" in text
    assert "2 cores <of something> & more" in text
    for number in ("93.4 %", "0.875", f"{100 * scores[3]:.1f} %"):
        assert number in text
    for clip in clips:
        for paragraph in clip.text:
            assert paragraph in text
    assert page.sources
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\(([^)]*)\)", html))
    assert html.count("data:image/gif;base64,") == 2
    assert "prefers-color-scheme: dark" in html
    assert list(path.parent.iterdir()) == [path]  # nothing unfinished is left


def test_drawing_leaves_matplotlib_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    graph_figure(view_clip(make_trace(), make_video()))
    assert dict(matplotlib.rcParams) == before


# Errors


def test_errors_say_what_to_do(tmp_path):
    trace, video, scores = make_trace(), make_video(), make_scores()
    figure = curve_figure({"c": ([0, 1], [0, 1])}, xlabel="x", ylabel="y")
    with pytest.raises(ValueError, match=r"uint8 in 0..255, got float32; .*\.to\(torch\.uint8\)"):
        draw_clip(video.float())
    with pytest.raises(ValueError, match=r"\(T, C, H, W\) with C 1 or 3, got \(4, 2, 32, 40\)"):
        draw_clip(make_video(channels=2))
    with pytest.raises(ValueError, match=r"boxes must be \(4, D, 4\).*got \(3, 1, 4\)"):
        draw_clip(video, boxes=torch.zeros(3, 1, 4))
    with pytest.raises(ValueError, match=r"highlight must name boxes 0 to 1, got \[2\]"):
        frames_figure(video, boxes=torch.zeros(4, 2, 4), highlight=[2])
    with pytest.raises(ValueError, match="the video has 5 frames and the trace 4"):
        view_clip(trace, make_video(time=5))
    with pytest.raises(ValueError, match="clip must be 0 to 1, got 2"):
        view_clip(trace, clip=2)
    with pytest.raises(ValueError, match="rounds must be in 0 to 1, got 2"):
        graph_figure(view_clip(trace, video), rounds=[2])
    with pytest.raises(ValueError, match="K = 0 rounds; draw its regions with"):
        attention_figure(view_clip(make_trace(rounds=0)))
    with pytest.raises(ValueError, match=r"sum to 1.*logits\.softmax"):
        prediction_figure(scores * 3, NAMES)
    with pytest.raises(ValueError, match="label must be 0 to 10, got 11"):
        prediction_figure(scores, NAMES, label=11)
    with pytest.raises(ValueError, match=r"confusion must be \(11, 11\)"):
        confusion_figure(np.zeros((3, 3)), NAMES)
    with pytest.raises(ValueError, match="frames must be uint8"):
        save_gif(tmp_path / "a.gif", video)
    clip = ClipReport("title", [], {"picture": b"no picture"})
    with pytest.raises(ValueError, match="png, gif, jpeg or mp4"):
        write_report(tmp_path / "a.html", title="", summary={}, figures={}, clips=[clip])
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    frames = draw_clip(video)
    for write in (
        lambda path: save_gif(path, frames),
        lambda path: save_mp4(path, frames),
        lambda path: write_report(path, title="", summary={}, figures={"f": figure}, clips=[]),
    ):
        with pytest.raises(OSError, match=r"cannot write .*choose a folder that exists"):
            write(blocked / "out")


@pytest.mark.parametrize("name", ["attention", "boxes", "kernels"])
def test_values_that_are_not_numbers_are_refused(name):
    trace = make_trace()
    broken = getattr(trace, name).clone()
    broken[1, 2].view(-1)[0] = float("nan")
    trace = dataclasses.replace(trace, **{name: broken})
    with pytest.raises(ValueError, match=f"trace.{name} must be finite.*clip 1, frame 2"):
        view_clip(trace, clip=1)
    view_clip(trace, clip=0)
