"""Explaining video files: regions where boxes are, films at the video's rate, pages in words."""

import base64
import io
import re

import av
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from torch import nn

import interlace
from clip_models import CLASSES, CLIPS, classifier, saved
from interlace.commands.cli import main
from interlace.graph.regions.content import ContentRegions
from interlace.models.backbones.normalise import Normalise
from interlace.models.classifier import VideoClassifier
from interlace.predict.predictor import Predictor
from interlace.reports import ClipReport, explain_graph, save_pictures, write_report
from interlace.reports.clips import clip_reports, explain_clips, explain_video
from interlace.visualize import frames_figure, kernels_figure, regions_figure, sizes_figure
from interlace.visualize.film import BAR, boxes_between, draw_film
from interlace.visualize.palette import node_colour
from interlace.visualize.view import view_clip
from moving_regions import trace_of
from videos import cut, write

AREA = (0.4, 0.5, 0.3, 0.5)  # x from 0.1 to 0.7, all of y
WHOLE = (0.5, 0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(classifier(), classes=CLASSES, clips=CLIPS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clips") / "numbers.mp4", 11, size=(120, 80))


def rgb(node):
    return np.array(to_rgb(node_colour(node))) * 255


# --- a trace of a part of the frames ------------------------------------------------------------


def placed(boxes, video=None, *, numbers=None):
    return view_clip(trace_of(boxes), video, area=AREA, numbers=numbers)


def test_boxes_of_a_part_are_drawn_on_the_whole_frame():
    boxes = torch.tensor([[[0.5, 0.5, 0.25, 0.1], [0.0, 1.0, 0.5, 0.5]]]).expand(3, 2, 4)
    view = placed(boxes[None], np.zeros((3, 3, 20, 30), np.uint8), numbers=(4, 9, 9))
    wanted = [[0.4, 0.5, 0.15, 0.1], [0.1, 1.0, 0.3, 0.5]]
    np.testing.assert_allclose(view.boxes, np.broadcast_to(wanted, (3, 2, 4)), atol=1e-7)
    assert view.numbers == [4, 9, 9]
    figure = regions_figure(view)
    rectangle = figure.findobj(lambda artist: artist.get_gid() == "region of node 0")[0]
    np.testing.assert_allclose(rectangle.get_bbox().extents, (0.25, 0.4, 0.55, 0.6), atol=1e-7)
    said = [axes.get_title() for axes in figure.axes]
    assert said == ["frame 4", "frame 9", "frame 9"]


def test_heat_of_a_kernel_lies_on_the_part_that_was_seen():
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.3]).expand(1, 2, 1, 4)
    figure = kernels_figure(placed(boxes, np.zeros((2, 3, 20, 30), np.uint8)))
    (heat,) = figure.findobj(lambda artist: artist.get_gid() == "kernel of node 0 in frame 1")
    np.testing.assert_allclose(heat.get_extent(), (0.1, 0.7, 1.0, 0.0))
    assert heat.axes.get_xlim() == (0, 1)
    assert heat.axes.get_ylim() == (1, 0)


def test_cells_of_a_grid_keep_their_names_on_a_part():
    cells = torch.tensor(
        [[(c + 0.5) / 2, (r + 0.5) / 2, 0.25, 0.25] for r in (0, 1) for c in (0, 1)]
    )
    view = placed(cells.expand(1, 3, 4, 4))
    assert view.names[2] == "2×2 grid, row 1, column 0"
    np.testing.assert_allclose(view.boxes[0, 2], (0.25, 0.75, 0.15, 0.25), atol=1e-7)


def test_numbers_are_one_for_each_frame_and_scales_follow_them():
    boxes = torch.rand(1, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="one for each of the 3 frames of the trace, got 2"):
        placed(boxes, numbers=(1, 2))
    figure = sizes_figure(placed(boxes, numbers=(10, 20, 30)))
    line = figure.findobj(lambda artist: artist.get_gid() == "rx of node 1")[0]
    assert line.get_xdata().tolist() == [10, 20, 30]
    assert line.axes.get_xlim() == (7, 33)
    np.testing.assert_allclose(line.get_ydata(), 0.6 * boxes[0, :, 1, 2].numpy(), rtol=1e-6)


# --- the film -----------------------------------------------------------------------------------


def test_boxes_move_evenly_between_the_frames_that_were_seen_and_hold_outside():
    boxes = np.array([[0.1, 0.2, 0.1, 0.1], [0.5, 0.2, 0.1, 0.3], [0.5, 0.8, 0.1, 0.3]])[:, None]
    between = boxes_between(boxes, [2, 6, 8], range(11))
    assert between.shape == (11, 1, 4)
    np.testing.assert_allclose(between[[0, 1, 2], 0], np.tile(boxes[0, 0], (3, 1)))
    np.testing.assert_allclose(between[4, 0], [0.3, 0.2, 0.1, 0.2])
    np.testing.assert_allclose(between[5, 0], [0.4, 0.2, 0.1, 0.25])
    np.testing.assert_allclose(between[7, 0], [0.5, 0.5, 0.1, 0.3])
    np.testing.assert_allclose(between[8:, 0], np.tile(boxes[2, 0], (3, 1)))


def test_of_a_frame_that_is_repeated_the_first_counts():
    boxes = np.arange(4.0)[:, None, None].repeat(4, axis=2)
    assert boxes_between(boxes, [0, 0, 1, 1], range(2))[:, 0, 0].tolist() == [0, 2]
    assert boxes_between(boxes, [3, 3, 3, 3], range(5))[:, 0, 0].tolist() == [0] * 5


def test_outlines_of_the_film_are_where_the_boxes_are():
    frames = np.full((2, 100, 150, 3), 100, np.uint8)
    boxes = np.array([[[0.5, 0.5, 0.2, 0.3]], [[0.4, 0.5, 0.2, 0.3]]])
    films = list(draw_film(frames, boxes, area=WHOLE, trail=0, short_side=200))
    assert all(film.shape == (200 + BAR, 300, 3) for film in films)
    for film, left in zip(films, (90, 60), strict=True):
        picture = film[:200].astype(float)
        coloured = np.abs(picture - rgb(0)).max(axis=-1) < 3
        rows, columns = np.nonzero(coloured)
        # y from (0.5 - 0.3) * 200 = 40 to 160, x from 90 or 60, and 120 pixels on
        assert coloured[100, left]
        assert coloured[100, left + 120]
        assert coloured[160, left + 40]
        assert coloured[40, left + 80]
        assert columns.max() == left + 120
        assert rows.max() == 160
        assert not coloured[100, left + 5 : left + 50].any()
        np.testing.assert_array_equal(film[5, 290], (85, 85, 85))  # dimmed


def test_what_was_not_seen_is_darker_and_time_runs_below():
    frames = np.full((5, 60, 100, 3), 200, np.uint8)
    films = list(draw_film(frames, np.zeros((5, 0, 4)), area=AREA, seen=(0.5,), short_side=60))
    np.testing.assert_array_equal(films[0][:60, :10], 90)
    np.testing.assert_array_equal(films[0][:60, 10:70], 170)
    np.testing.assert_array_equal(films[0][:60, 70:], 90)
    heads = [int((film[62, :, 0] == 255).argmax()) for film in films]
    assert heads == [0, 24, 48, 73, 97]
    ticks = [film[60 + BAR // 2, :, 0] == 150 for film in films]
    assert np.flatnonzero(ticks[0]).tolist() == [48, 49, 50]


def test_every_node_has_its_number_inside_the_film_and_a_path():
    frames = np.zeros((8, 90, 90, 3), np.uint8)
    boxes = np.tile([0.5, 0.1, 0.05, 0.05], (8, 3, 1))
    boxes[:, :, 0] = np.linspace(0.2, 0.8, 8)[:, None]
    boxes[:, 1, 1], boxes[:, 2] = 0.5, (0.9, 0.9, 0.3, 0.3)
    without, with_path = (
        list(draw_film(frames, boxes, area=WHOLE, trail=trail))[-1] for trail in (0, 12)
    )
    behind = with_path[170:190, 100:200].max()  # half way behind node 1
    assert without[170:190, 100:200].max() == 0
    assert behind > 50
    for n in range(3):
        assert (np.abs(with_path[:360].astype(float) - rgb(n)).max(axis=-1) < 3).sum() > 150


def test_regions_without_bounds_are_drawn_at_once():
    frames = np.zeros((1, 80, 80, 3), np.uint8)
    boxes = np.array([[[0.5, 0.5, 1e9, 1e12], [0.5, 0.5, 0.1, 1e9], [3.0, -2.0, 0.1, 0.1]]])
    (film,) = draw_film(frames, boxes, area=WHOLE)
    coloured = np.abs(film[:360].astype(float) - rgb(1)).max(axis=-1) < 3
    assert coloured[90, 144]
    assert coloured[270, 216]


# --- large frames in figures and pages ----------------------------------------------------------


def images(page):
    return [
        Image.open(io.BytesIO(base64.b64decode(found)))
        for found in re.findall(r"data:image/(?:png|jpeg);base64,([^\"]+)", page)
    ]


def test_photographs_become_jpegs_of_twice_their_place_and_pixels_of_digits_stay(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 400, 600), np.uint8)
    clip = ClipReport("t", figures={"f": frames_figure(noise)})
    page = write_report(tmp_path / "a.html", title="t", summary={}, figures={}, clips=[clip])
    found = images(page.read_text())
    assert [image.format for image in found] == ["JPEG", "JPEG"]
    # 1.9 inches at 100 dots each; 2 : 3
    assert all(image.size == (380, 253) for image in found)
    assert 'class="photo"' in page.read_text()

    clip = ClipReport("t", figures={"f": frames_figure(noise[..., :64, :64])})
    page = write_report(tmp_path / "b.html", title="t", summary={}, figures={}, clips=[clip])
    found = images(page.read_text())
    assert [image.format for image in found] == ["PNG", "PNG"]
    np.testing.assert_array_equal(
        np.asarray(found[0])[..., :3], noise[0, :, :64, :64].transpose(1, 2, 0)
    )


def test_bytes_of_a_film_are_a_file_as_they_are(tmp_path):
    clip = ClipReport("t", files={"a": b"GIF89a...", "b": b"\0\0\0\x18ftypisom"})
    written = save_pictures(tmp_path, clip, prefix="x_")
    assert [path.name for path in written] == ["x_a.gif", "x_b.mp4"]
    assert written[0].read_bytes() == b"GIF89a..."


def test_a_graph_of_photographs_is_explained_in_little_room(tmp_path):
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (3, 3, 23, 34), generator=generator, dtype=torch.uint8)
    video = nn.functional.interpolate(small, (256, 340), mode="bilinear")
    boxes = 0.2 + 0.5 * torch.rand(1, 3, 3, 4, generator=generator)
    report = explain_graph(placed(boxes, video, numbers=(3, 13, 34)))
    assert re.search(r"strongest message of round 0 is in frame (3|13|34):", report.text[2])
    page = write_report(tmp_path / "a.html", title="t", summary={}, figures={}, clips=[report])
    assert page.stat().st_size < 2_000_000
    films = [picture for picture in report.figures.values() if isinstance(picture, bytes)]
    assert len(films) == 2
    assert all(film[4:8] == b"ftyp" for film in films)


# --- one clip -----------------------------------------------------------------------------------


@pytest.fixture
def quiet():
    """A model of two content nodes, of which the second never speaks."""
    torch.manual_seed(0)
    graph = interlace.DyReg(8, regions=ContentRegions(8, 2), width=8, rounds=1)
    nn.init.zeros_(graph.regions.maps.weight)
    graph.regions.maps.bias.data = torch.tensor([9.0, -9.0])
    body = interlace.insert(nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2)), {"0": graph})
    model = VideoClassifier(Normalise(), body, num_classes=3).eval()
    return Predictor(model, classes=CLASSES, clips=CLIPS)


def test_the_page_of_a_video_leaves_out_silent_nodes(quiet, clip, tmp_path):
    page = explain_video(quiet, clip, tmp_path).read_text()
    assert "1 of them speaks in this clip, 1.0 in a frame on average" in page
    assert "Nodes are drawn where they speak" in page
    assert "Drawn: 1 of 2 nodes, where they speak." in page
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert "0_node_0.jpg" in pictures
    assert "0_node_1.jpg" not in pictures
    for bias in (-9.0, 9.0):  # all are silent; none is
        (graph,) = quiet.model.body.graphs.values()
        graph.regions.maps.bias.data[:] = bias
        page = explain_video(quiet, clip, tmp_path / str(bias)).read_text()
        assert ("in this clip all are" in page) == (bias < 0)
        assert "Drawn:" not in page


@pytest.fixture(scope="module")
def explained(predictor, clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return explain_video(predictor, clip, out, label=1), predictor(clip)


def test_the_page_says_what_was_said_and_shown(explained, clip):
    path, prediction = explained
    page = path.read_text()
    guess, score = prediction.top(1)[0]
    assert f"“{guess}” with probability {100 * score:.1f}\u00a0%" in page
    assert ("wrong, it is “right”" in page) == (guess != "right")
    assert "The video has 11 frames of 120 x 80 pixels, 25 a second." in page
    # 32 of 60 and 32 of 40 pixels
    assert "4 of them, and of these 53\u00a0% of the width and 80\u00a0% of the height" in page
    assert "It has 2 graphs: after 0, after 2." in page
    assert re.findall(r"<h2><small>Graph</small>(.*?)</h2>", page) == ["After 0", "After 2"]
    for number in prediction.frames:
        assert f">frame {number}<" in page
    assert path.stat().st_size < 10_000_000
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []


def test_the_film_has_the_frames_and_the_rate_of_the_video(explained, clip):
    path, _ = explained
    for name in ("0", "2"):
        with av.open(str(path.parent / f"pictures/{name}_regions_in_motion.mp4")) as container:
            assert container.streams.video[0].average_rate == 25
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == 11
        assert frames[0].shape == (360 + BAR, 540, 3)
        assert page_holds(path, path.parent / f"pictures/{name}_regions_in_motion.mp4")
        # the crop is bright, and what lies around is not: x from 14 / 60 to 46 / 60
        bar = frames[0][45:80, :, 0].astype(float)  # of red, on top of the numbered frames
        assert bar[:, 200:340].mean() > 1.5 * bar[:, 20:100].mean()


def page_holds(page, path):
    return base64.b64encode(path.read_bytes()).decode() in page.read_text()


def test_there_is_a_picture_of_every_node_and_a_gif(explained):
    path, _ = explained
    names = {picture.name for picture in (path.parent / "pictures").iterdir()}
    for graph in ("0", "2"):
        assert {f"{graph}_node_{n}.jpg" for n in range(3)} <= names
        assert {f"{graph}_regions_in_motion.mp4", f"{graph}_regions_on_the_frames.jpg"} <= names
        gif = Image.open(path.parent / f"pictures/{graph}_regions_frame_by_frame.gif")
        assert gif.n_frames == 4
    assert not [name for name in names if not name.startswith(("0_", "2_"))]


def test_a_model_without_graphs_says_so_and_shows_its_prediction(clip, tmp_path):
    predictor = Predictor(classifier(graphs=False), classes=CLASSES, clips=CLIPS)
    page = explain_video(predictor, clip, tmp_path).read_text()
    assert "This model has no graph, so there are no regions to show" in page
    guess, score = predictor(clip).top(1)[0]
    assert f"“{guess}” with probability {100 * score:.1f}\u00a0%" in page
    assert not (tmp_path / "pictures").exists()


def test_a_trace_of_fewer_frames_is_shown_on_the_middle_ones(clip, tmp_path):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv3d(3, 8, 3, 2, 1))
    body = interlace.insert(layers, {"0": lambda c: interlace.DyReg(c, nodes=2, width=8, rounds=1)})
    model = VideoClassifier(Normalise(), body, num_classes=3)
    predictor = Predictor(model, clips=CLIPS)
    page = explain_video(predictor, clip, tmp_path).read_text()
    _, shown = predictor.look(clip)
    # two of four: the second and the fourth
    numbers = re.findall(r">frame (\d+)<", page)
    assert set(numbers) == {str(shown.frames[1]), str(shown.frames[3])}


def test_cells_of_a_grid_have_the_colours_of_their_scale_and_no_pictures_of_their_own(
    clip, tmp_path
):
    torch.manual_seed(0)
    graph = interlace.RSTG(3, width=8, rounds=1, readout="vector")
    predictor = Predictor(VideoClassifier(Normalise(), graph, num_classes=2), clips=CLIPS)
    page = explain_video(predictor, clip, tmp_path).read_text()
    assert "It has a graph, of which there is a section." in page
    assert "9 cells of a 3×3 grid, 4 cells of a 2×2 grid and one over the whole frame" in page
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names == {"graph_regions_in_motion.mp4", "graph_regions_frame_by_frame.gif"}
    frames = np.zeros((1, 90, 90, 3), np.uint8)
    boxes = np.array([[[0.25, 0.25, 0.1, 0.1], [0.75, 0.75, 0.1, 0.1]]])
    (film,) = draw_film(frames, boxes, area=WHOLE, colours=["#0a6414", "#c80a0a"])
    np.testing.assert_array_equal(film[126, 90], (10, 100, 20))
    np.testing.assert_array_equal(film[306, 270], (200, 10, 10))


def test_a_long_video_is_shown_faster(predictor, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("interlace.reports.clips.LONGEST", 4)
    (report,) = clip_reports(predictor, [clip])
    assert "It shows one frame in 3." in report.text[-1]
    with av.open(io.BytesIO(report.figures["Regions after 2 in motion"])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


# --- several clips ------------------------------------------------------------------------------


def test_several_clips_are_one_page_with_what_they_are(predictor, clip, tmp_path):
    other = write(tmp_path / "other.avi", 6)
    broken = cut(write(tmp_path / "whole.webm", 12), 0.5, "broken.webm")
    guesses = [CLASSES.index(predictor(path).label) for path in (clip, other)]
    labels = [guesses[0], (guesses[1] + 1) % 3, None]
    page = explain_clips(predictor, [clip, other, broken], labels, tmp_path / "worst.html")
    assert page == tmp_path / "worst.html"
    text = page.read_text()
    titles = re.findall(r"<h2><small>Clip \d</small>(.*?)</h2>", text)
    assert titles == [
        f"numbers.mp4: says “{CLASSES[guesses[0]]}”: right",
        f"other.avi: says “{CLASSES[guesses[1]]}”: wrong, it is “{CLASSES[labels[1]]}”",
        "broken.webm cannot be read",
    ]
    assert text.count("data:video/mp4;base64,") == 2
    assert text.count("Regions after 0<") == text.count("Regions after 2<") == 2
    assert page.stat().st_size < 2_000_000
    with pytest.raises(ValueError, match="one for each of the 1 paths, got 3"):
        explain_clips(predictor, [clip], labels, tmp_path)


def test_without_graphs_the_frames_are_shown(clip, tmp_path):
    predictor = Predictor(classifier(graphs=False), clips=CLIPS)
    page = explain_clips(predictor, [clip], None, tmp_path)
    assert page == tmp_path / "clips.html"
    assert "The frames it was shown" in page.read_text()
    assert "video/mp4" not in page.read_text()


# --- the command --------------------------------------------------------------------------------


def test_explain_takes_a_clip_or_a_folder_with_weights(
    predictor, clip, tmp_path, monkeypatch, capsys
):
    weights = saved(predictor.model, tmp_path / "tiny.safetensors", monkeypatch)
    words = ["explain", str(clip), f"--weights={weights}", f"--out={tmp_path / 'one'}"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'one/report.html'}\n"
    assert (tmp_path / "one/pictures/2_node_1.jpg").is_file()
    words = ["explain", str(clip.parent), f"--weights={weights}", f"--out={tmp_path / 'all'}"]
    assert main(words) == 0
    assert "numbers.mp4: says" in (tmp_path / "all/report.html").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["{clip}"], "explain needs --weights"),
        (["{clip}", "--weights=nowhere.safetensors"], "there are no weights at nowhere"),
        (["nowhere.mp4", "--weights={weights}"], "nowhere.mp4 does not exist"),
        (["{weights}", "--weights=other.safetensors"], "are both weights"),
    ],
)
def test_what_cannot_be_explained_is_said(
    words, sentence, predictor, clip, tmp_path, monkeypatch, capsys
):
    weights = saved(predictor.model, tmp_path / "tiny.safetensors", monkeypatch)
    words = [word.format(clip=clip, weights=weights) for word in words]
    assert main(["explain", *words, f"--out={tmp_path / 'out'}"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("interlace: ")
    assert sentence in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.data
@pytest.mark.parametrize("name", ["arm_wrestling.mp4", "apple.mp4", "cat.mp4", "test.avi"])
def test_real_clips_are_explained(predictor, data_dir, tmp_path, name):
    page = explain_video(predictor, data_dir / "videos" / name, tmp_path)
    assert 100_000 < page.stat().st_size < 10_000_000
    assert len(list((tmp_path / "pictures").glob("*_node_*.jpg"))) == 6
