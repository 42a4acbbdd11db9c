"""Nodes that are silent are not drawn: frame by frame, in films, and with their messages."""

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.patches import FancyArrowPatch

from interlace.reports import explain_clip, write_report
from interlace.reports.explained_objects import sits_on, who_sits_where
from interlace.visualize import (
    animate,
    animate_regions,
    attention_figure,
    graph_figure,
    kernels_figure,
    paths_figure,
    regions_figure,
    sizes_figure,
    view_clip,
)
from interlace.visualize.film import boxes_between, draw_film
from moving_regions import drawn, trace_of, words

# Four frames, four nodes: one always speaks, one pauses, one speaks once, one never does.
MASS = torch.tensor([[[0.9, 0.8, 0.1, 0.0], [0.9, 0.5, 0.2, 0.1],
                      [0.9, 0.4, 0.3, 0.2], [0.9, 0.9, 0.7, 0.49]]])  # fmt: skip
SPEAKS = [[0, 1], [0, 1], [0], [0, 1, 2]]  # by frame
VIDEO = torch.zeros(4, 1, 32, 32, dtype=torch.uint8)
NAMES = ["a", "b", "none"]
SCORES = np.full(3, 1 / 3)
FIGURES = [regions_figure, paths_figure, sizes_figure, graph_figure, attention_figure,
           kernels_figure]  # fmt: skip


def some_boxes():
    boxes = torch.zeros(1, 4, 4, 4)
    for n, (x, y) in enumerate([(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)]):
        boxes[..., n, :] = torch.tensor([x, y, 0.1, 0.05 + 0.01 * n])
    boxes[0, :, :, 0] += 0.03 * torch.arange(4)[:, None]
    return boxes


@pytest.fixture(scope="module")
def trace():
    return trace_of(some_boxes(), rounds=2, mass=MASS)


@pytest.fixture(scope="module")
def view(trace):
    return view_clip(trace, VIDEO)


@pytest.fixture(scope="module")
def silent():
    return view_clip(trace_of(some_boxes(), mass=torch.full((1, 4, 4), 0.3)), VIDEO)


def messages(axes):
    found = (a.get_gid() or "" for a in axes.findobj() if hasattr(a, "get_gid"))
    return {tuple(map(int, gid.split()[2::2])) for gid in found if gid.startswith("message")}


# --- figures ------------------------------------------------------------------------------------


def test_a_node_speaks_from_a_half_on(view):
    assert view.speakers == [0, 1, 2]
    assert [view.in_frame(t, range(4)) for t in range(4)] == SPEAKS
    assert view.in_frame(3, [3, 2]) == [2]


def test_regions_are_drawn_in_frames_in_which_their_node_speaks(view):
    figure = regions_figure(view)
    for axes, speaks in zip(figure.axes, SPEAKS, strict=True):
        for kind in ("region", "centre", "label"):
            assert list(drawn(axes, f"{kind} of node")) == speaks
    assert words(figure).endswith("Drawn: 3 of 4 nodes, where they speak.")
    chosen = regions_figure(view, nodes=[1, 3])
    assert [list(drawn(axes, "region of node")) for axes in chosen.axes] == [[1], [1], [], [1]]


def test_paths_break_where_a_node_is_silent(view, trace):
    *alone, together = paths_figure(view).axes
    assert len(alone) == 3
    centres = trace.boxes[0, :, :, :2].numpy().copy()
    centres[2, 1] = centres[:3, 2] = np.nan
    paths = drawn(together, "path of node")
    assert list(paths) == [0, 1, 2]
    for n, path in paths.items():
        np.testing.assert_array_equal(path.get_xydata(), centres[:, n])
    starts, ends = (drawn(together, f"{end} of node") for end in ("start", "end"))
    assert list(starts) == [0, 1]  # a node that speaks once has no way to go
    np.testing.assert_array_equal(starts[1].get_xydata(), centres[[0], 1])
    np.testing.assert_array_equal(ends[2].get_xydata(), centres[[3], 2])
    (never,) = paths_figure(view, nodes=[3]).axes
    assert drawn(never, "path of node") == {}
    assert drawn(never, "label of node") == {}


def test_sizes_are_those_of_frames_in_which_a_node_speaks(view):
    figure = sizes_figure(view)
    assert len(figure.axes) == 3
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines}
    np.testing.assert_allclose(lines["rx of node 1"].get_ydata(), [0.1, 0.1, np.nan, 0.1])
    np.testing.assert_allclose(lines["ry of node 2"].get_ydata(), [np.nan] * 3 + [0.07])
    marks = [lines[f"rx of node {n}"].get_markevery() for n in range(3)]
    assert marks == [None, [3], [3]]  # where there is no line to see
    assert figure.axes[0].get_ylim()[1] == pytest.approx(0.1 * 1.08)


def test_messages_from_and_to_silent_nodes_are_not_drawn(view, trace):
    figure = graph_figure(view, rounds=[1], threshold=0.0)
    for axes, speaks in zip(figure.axes, SPEAKS, strict=True):
        assert messages(axes) == {(j, i) for i in speaks for j in speaks}
        assert list(drawn(axes, "label of node")) == speaks
    weights = trace.attention[0, :, 1, 0].numpy()
    spoken = [weights[t][np.ix_(s, s)].max() for t, s in enumerate(SPEAKS)]
    assert max(spoken) < weights.max()  # the strongest of all is to or from a silent one
    assert f"boldest: {max(spoken):.3f}. Drawn: 3 of 4 nodes" in words(figure)
    # the only arrow of frame 2 would be a message to oneself
    assert not [a for a in figure.axes[2].findobj(FancyArrowPatch) if a.get_gid()]


def test_attention_is_the_mean_over_the_frames_in_which_the_receiver_speaks(view, trace):
    figure = attention_figure(view)
    weights = trace.attention[0, :, :, 0].double().numpy()  # (T, K, N, N)
    for k, axes in enumerate(figure.axes[:2]):
        shown = axes.images[0].get_array()
        assert shown.shape == (3, 3)
        assert shown[0, 1] == pytest.approx(weights[[0, 1, 3], k, 0, 1].sum() / 4)
        assert shown[1, 0] == pytest.approx(weights[[0, 1, 3], k, 1, 0].mean())
        assert shown[1, 2] == pytest.approx(weights[3, k, 1, 2] / 3)
        assert shown[2, 1] == pytest.approx(weights[3, k, 2, 1])
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["0", "1", "2"]
    assert "in which the receiver speaks" in words(figure)
    assert "3 of 4 nodes are drawn" in words(figure)


def test_heat_is_drawn_where_a_node_speaks(view, trace):
    figure = kernels_figure(view)
    heat = {image.get_gid(): image for axes in figure.axes for image in axes.images[1:]}
    assert set(heat) == {
        f"kernel of node {n} in frame {t}" for t, speaks in enumerate(SPEAKS) for n in speaks
    }
    most = trace.kernels[0, 3, 2].max().item()
    assert heat["kernel of node 2 in frame 3"].get_clim() == pytest.approx((0, most))
    assert f"max {most:.3g}" in words(figure)
    assert "Plain frames: the node is silent." in words(figure)


@pytest.mark.parametrize("figure", FIGURES)
def test_where_all_are_silent_nothing_is_drawn(figure, silent):
    made = figure(silent)
    made.canvas.draw()
    for axes in made.axes:
        assert not messages(axes)
        for kind in ("region", "centre", "path", "label"):
            assert drawn(axes, f"{kind} of node") == {}
    assert "No node speaks in this clip." in words(made)


@pytest.mark.parametrize("figure", FIGURES)
def test_captions_fit_on_the_page(figure, trace):
    objects = trace.boxes[0, :, :2]
    made = figure(view_clip(trace, VIDEO, boxes=objects, highlight=[0]))
    made.canvas.draw()
    width = made.bbox.width
    assert all(text.get_window_extent().x1 < width for text in made.texts)


@pytest.mark.parametrize("figure", FIGURES)
def test_how_loud_a_node_speaks_changes_no_value(figure):
    ours, theirs = (
        figure(view_clip(trace_of(some_boxes(), mass=torch.full((1, 4, 4), mass)), VIDEO))
        for mass in (0.5, 1.0)
    )
    for one, other in zip(ours.axes, theirs.axes, strict=True):
        for kind in ("region", "centre", "path", "label"):
            assert list(drawn(one, f"{kind} of node")) == list(drawn(other, f"{kind} of node"))
        assert messages(one) == messages(other)
    assert "silent" not in words(ours)
    assert "Drawn" not in words(ours)


def test_masses_that_are_no_numbers_are_refused(trace):
    mass = MASS.clone()
    mass[0, 2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"trace\.mass must be finite.*frame 2"):
        view_clip(dataclasses.replace(trace, mass=mass))


# --- films --------------------------------------------------------------------------------------


@pytest.mark.parametrize("film", [animate, animate_regions])
def test_a_film_shows_a_node_only_while_it_speaks(film, view, silent):
    assert not film(silent).any()  # the black of the video
    frames = film(view)
    side = frames.shape[1]
    for t in range(4):
        for n in range(4):
            x, y = (view.boxes[t, n, :2] * side).round().astype(int)
            near = frames[t, y - 6 : y + 7, x - 6 : x + 7]
            assert bool(near.any()) == (n in SPEAKS[t])


def test_a_trail_breaks_where_the_node_was_silent():
    boxes = torch.tensor([0.1, 0.5, 0.02, 0.02]).repeat(1, 4, 1, 1)
    boxes[0, :, 0, 0] = torch.tensor([0.1, 0.3, 0.6, 0.9])
    mass = torch.tensor([1.0, 1.0, 0.0, 1.0])[None, :, None]
    last = animate_regions(view_clip(trace_of(boxes, mass=mass), VIDEO))[3]
    row = last[round(0.5 * len(last)) - 1 : round(0.5 * len(last)) + 2].any(axis=(0, 2))
    side = len(row)
    assert row[round(0.2 * side)]  # from the first frame to the second
    assert not row[round(0.4 * side) : round(0.8 * side)].any()


def test_a_node_rests_half_way_to_a_frame_in_which_it_is_silent():
    boxes = np.array([0.2, 0.4, np.nan, 0.8])[:, None, None].repeat(4, axis=2)
    between = boxes_between(boxes, [0, 4, 8, 12], range(15))[:, 0, 0]
    nan = np.nan
    expected = [0.2, 0.25, 0.3, 0.35, 0.4, 0.4, nan, nan, nan, nan, 0.8, 0.8, 0.8, 0.8, 0.8]
    np.testing.assert_allclose(between, expected)
    assert np.isnan(boxes_between(boxes * np.nan, [0, 4, 8, 12], range(15))).all()


def test_a_film_of_a_video_leaves_out_what_is_no_number():
    frames = np.zeros((3, 80, 80, 3), np.uint8)
    boxes = np.tile([0.5, 0.5, 0.1, 0.1], (3, 2, 1))
    boxes[:, 1] = (0.8, 0.8, 0.05, 0.05)
    boxes[1, 0] = np.nan
    films = np.stack(list(draw_film(frames, boxes, area=(0.5, 0.5, 0.5, 0.5))))[:, :360]
    assert [bool(film[130:230, 130:230].any()) for film in films] == [True, False, True]
    assert films[:, 260:].any(axis=(1, 2, 3)).all()
    boxes[:] = np.nan
    assert not np.stack(list(draw_film(frames, boxes, area=(0.5,) * 4)))[:, :360].any()


# --- pages --------------------------------------------------------------------------------------


def seated():
    """Three objects; node 0 sits on the first, node 1 on the second and once on the first."""
    objects = torch.tensor([[0.2, 0.2, 0.15, 0.15], [0.7, 0.2, 0.15, 0.15], [0.5, 0.8, 0.1, 0.1]])
    objects = objects.expand(4, 3, 4)
    boxes = torch.zeros(1, 4, 4, 4) + torch.tensor([0.9, 0.9, 0.02, 0.03])
    boxes[0, :, 0, :2] = torch.tensor([0.22, 0.25])
    boxes[0, :, 1, :2] = torch.tensor([0.75, 0.15])
    boxes[0, 0, 1, :2] = torch.tensor([0.3, 0.3])
    attention = torch.zeros(1, 4, 1, 1, 4, 4)
    attention[..., 0, 1], attention[..., 0, 2], attention[..., 0, 0] = 0.25, 0.5, 0.25
    attention[..., 1, 0], attention[..., 1, 3] = 0.4, 0.6
    attention[..., 2, 1] = 1.0
    trace = trace_of(boxes, kernels=None, mass=MASS)
    return objects, dataclasses.replace(trace, attention=attention)


def test_a_node_sits_on_the_nearest_box_that_holds_its_centre():
    objects, trace = seated()
    view = view_clip(trace, boxes=objects)
    assert sits_on(view)[:, 0].tolist() == [0] * 4
    assert sits_on(view)[:, 1].tolist() == [0, 1, -1, 1]  # silent in frame 2
    assert (sits_on(view)[:, 2:] == -1).all()
    both = objects.clone()
    both[:, 2] = torch.tensor([0.24, 0.25, 0.5, 0.5])
    assert sits_on(view_clip(trace, boxes=both))[:, 0].tolist() == [2] * 4


def test_a_table_says_who_sits_where_and_listens_to_whom():
    objects, trace = seated()
    view = view_clip(trace, boxes=objects, highlight=[1])
    table = who_sits_where(view, ["digit 8", "digit 6", "digit 1"])
    assert table.columns == ["node", "frames", "sits on", "listens most to, weight"]
    assert table.rows == [
        # node 2 has twice the weight of node 1, but speaks in one frame of four
        ["0", "4 of 4", "digit 8", "node 1 on digit 6, 0.188"],
        ["1", "3 of 4", "digit 6, 2 of 3 frames", "node 0 on digit 8, 0.400"],
        ["2", "1 of 4", "no box", "node 1 on digit 6, 1.000"],
    ]
    assert table.green == [1]
    assert who_sits_where(view).rows[0][2] == "object 0"
    alone = who_sits_where(view_clip(trace_of(trace.boxes, rounds=0), boxes=objects))
    assert alone.columns == ["node", "frames", "sits on"]
    with pytest.raises(ValueError, match="one for each of the 3 boxes"):
        who_sits_where(view, ["digit 8"])


def test_a_page_counts_what_speaks(tmp_path):
    objects, trace = seated()
    names = ["digit 8", "digit 6", "digit 1"]
    report = explain_clip(
        VIDEO, trace, SCORES, NAMES, boxes=objects, highlight=[0, 1], box_names=names
    )
    text = " ".join(report.text)
    assert "3 of them speak in this clip, 2.0 in a frame on average" in text
    assert "in frame 3: node 2 listened to node 1 with weight 1.000" in text
    # a step of node 1, and three of node 0, which rests: node 1 goes by 0.45 and 0.15
    assert f"that of node 1 goes farthest, {np.hypot(0.45, 0.15):.3f} over the clip" in text
    assert "from 0.020 of the frame" in text
    # of eight receivers in all frames only node 0 in frame 3 hears one on no digit, node 2, and
    # gives it half of its attention; evenly it were a third
    assert f"gives on average {100 * 7.5 / 8:.1f} % of its attention to nodes that sit on" in text
    assert f"would give {100 * (7 + 2 / 3) / 8:.1f} %" in text
    for caption in ("Regions on the frames", "Paths of the nodes"):
        assert caption in report.figures
    html = write_report(
        tmp_path / "r.html", title="t", summary={}, figures={}, clips=[report]
    ).read_text(encoding="utf-8")
    assert "<td>node 1 on digit 6, 0.188</td>" in html
    assert html.count('<tr class="green">') == 2


def test_maps_of_nodes_that_may_be_silent_are_drawn_as_regions(trace):
    kernels = torch.rand(1, 4, 4, 9, 11, generator=torch.Generator().manual_seed(0)) ** 4
    maps = dataclasses.replace(trace, kernels=kernels / kernels.sum((-2, -1), keepdim=True))
    report = explain_clip(VIDEO, maps, SCORES, NAMES)
    assert "Paths of the nodes" in report.figures
    assert "the middle and the spread of what a node reads" in " ".join(report.text)
    assert not report.tables  # nothing is known of objects


def test_a_page_on_a_clip_in_which_all_are_silent_says_so(silent, tmp_path):
    objects, _ = seated()
    trace = trace_of(some_boxes(), mass=torch.full((1, 4, 4), 0.3))
    report = explain_clip(VIDEO, trace, SCORES, NAMES, boxes=objects, highlight=[0])
    assert "in this clip all are" in " ".join(report.text)
    assert not report.tables
    assert "Who listens to whom" not in report.figures
    assert write_report(tmp_path / "r.html", title="t", summary={}, figures={}, clips=[report])
