"""Predicting video files: as the model by hand, boxes on the whole frame, broken files, streams."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interlace
from clip_models import CLASSES, CLIPS, classifier, network, saved
from interlace.commands.cli import main
from interlace.data.clips.sampling import Crop, uniform_frames
from interlace.data.clips.transforms import resize_short_side
from interlace.data.labels.class_names import class_names, read_classes
from interlace.data.video.excerpt import Span
from interlace.data.video.read import VideoError, read_frames
from interlace.graph.regions.content import ContentRegions
from interlace.graph.trace import Trace
from interlace.models.backbones.normalise import Normalise
from interlace.models.backbones.shift import add_shift
from interlace.models.classifier import VideoClassifier
from interlace.models.weights import save_weights
from interlace.predict.prediction import area_of, whole_boxes
from interlace.predict.predictor import GRAPH, Predictor
from tolerances import FLOAT32
from videos import cut, write, write_picture


@pytest.fixture(scope="module")
def model():
    return classifier()


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model, classes=CLASSES, clips=CLIPS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clips") / "numbers.mp4", 11, size=(120, 80))


@pytest.fixture
def weights(model, tmp_path, monkeypatch):
    return saved(model, tmp_path / "tiny.safetensors", monkeypatch)


@torch.no_grad()
def by_hand(model, path, protocol="central"):
    """Every view by itself; the probabilities of all are averaged."""
    video = resize_short_side(read_frames(path), 40)
    found = []
    for view in CLIPS.views(protocol, len(video), *video.shape[2:]):
        top, left, height, width = view.crop
        shown = video[view.frames][:, :, top : top + height, left : left + width]
        found.append(model(shown[None].float() / 255)[0].softmax(0))
    return torch.stack(found).mean(0), len(found)


@pytest.mark.parametrize(("protocol", "count"), [("central", 1), ("3x2", 6), ("11x2", 22)])
def test_scores_are_the_mean_over_the_views_of_the_protocol(model, clip, protocol, count):
    expected, views = by_hand(model, clip, protocol)
    prediction = Predictor(model, clips=CLIPS, protocol=protocol)(clip)
    assert views == count
    torch.testing.assert_close(prediction.scores, expected, **FLOAT32)
    assert prediction.label == str(int(expected.argmax()))
    best = expected.argsort(descending=True).tolist()
    assert [label for label, _ in prediction.top(2)] == [str(n) for n in best[:2]]
    assert prediction.frames == uniform_frames(11, 4).tolist()


@pytest.mark.parametrize("protocol", ["central", "3x2"])
@torch.no_grad()
def test_boxes_are_those_of_the_trace_on_the_whole_frame(model, clip, protocol):
    prediction = Predictor(model, clips=CLIPS, protocol=protocol)(clip)
    video = resize_short_side(read_frames(clip, prediction.frames), 40)
    assert video.shape == (4, 3, 40, 60)
    # 120 x 80 becomes 60 x 40, of which the square of 32, or of 40 in the middle, is seen
    side, top, left = (32, 4, 14) if protocol == "central" else (40, 0, 10)
    _, traces = model(video[None, ..., top : top + side, left : left + side], return_trace=True)
    assert prediction.boxes.keys() == traces.keys() == {"0", "2"}
    for name, trace in traces.items():
        assert float(trace.boxes.std(1).max()) > 1e-4  # they move
        for t in range(4):
            for n in range(3):
                cx, cy, rx, ry = trace.boxes[0, t, n].tolist()
                wanted = [
                    (left + cx * side) / 60, (top + cy * side) / 40, rx * side / 60, ry * side / 40
                ]  # fmt: skip
                found = prediction.boxes[name][t, n].tolist()
                assert found == pytest.approx(wanted, abs=1e-5)
    assert prediction.area == pytest.approx(
        ((left + side / 2) / 60, (top + side / 2) / 40, side / 120, side / 80)
    )


def test_a_crop_is_a_box_and_all_of_it_becomes_all_of_the_crop():
    area = area_of(Crop(top=10, left=40, height=30, width=20), height=50, width=100)
    assert area == pytest.approx((0.5, 0.5, 0.1, 0.3))
    boxes = torch.tensor([[[0.5, 0.5, 0.5, 0.5], [0.0, 1.0, 0.5, 0.1]]])
    expected = torch.tensor([[[0.5, 0.5, 0.1, 0.3], [0.4, 0.8, 0.1, 0.06]]])
    torch.testing.assert_close(whole_boxes(boxes, area, 1), expected)


def test_boxes_of_fewer_frames_hold_until_the_next():
    boxes = torch.arange(3.0)[:, None, None].expand(3, 1, 4)
    placed = whole_boxes(boxes, (0.5, 0.5, 0.5, 0.5), 7)
    assert placed[:, 0, 2].tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_an_array_and_a_folder_of_frames_are_clips(predictor, clip, tmp_path):
    frames = read_frames(clip).permute(0, 2, 3, 1)
    (tmp_path / "frames").mkdir()
    for k, frame in enumerate(frames.numpy()):
        write_picture(tmp_path / "frames" / f"{k + 1}.png", np.ascontiguousarray(frame))
    expected = predictor(str(clip))
    for source in (frames, frames.numpy(), tmp_path / "frames"):
        prediction = predictor(source)
        torch.testing.assert_close(prediction.scores, expected.scores, **FLOAT32)
        assert prediction.frames == expected.frames
    assert predictor(frames).name == "array"


def test_what_is_in_memory_is_a_clip(predictor, clip):
    expected, frames = predictor(clip), read_frames(clip)
    pictures = [Image.fromarray(frame) for frame in frames.permute(0, 2, 3, 1).numpy()]
    with clip.open("rb") as file:
        sources = {"array": frames, "bytes": clip.read_bytes(), "pictures": pictures}
        for name, source in (*sources.items(), (str(clip), file)):
            prediction = predictor(source)
            torch.testing.assert_close(prediction.scores, expected.scores, **FLOAT32)
            assert (prediction.name, prediction.frames) == (name, expected.frames)
    found = predictor([clip.read_bytes(), frames])
    assert [prediction.name for prediction in found] == ["bytes", "array"]


def test_one_graph_that_is_the_whole_body_is_named_graph(clip):
    torch.manual_seed(0)
    graph = interlace.RSTG(3, width=8, rounds=1, readout="vector")
    model = VideoClassifier(Normalise(), graph, num_classes=2).eval()
    prediction = Predictor(model, clips=CLIPS)(clip)
    assert prediction.boxes.keys() == {GRAPH}
    assert prediction.boxes[GRAPH].shape == (4, 14, 4)


def test_a_model_without_graphs_has_no_boxes(clip):
    assert Predictor(classifier(graphs=False), clips=CLIPS)(clip).boxes == {}


# --- several, and broken ones -------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Two good clips, one of them in a folder with a blank, and one that is cut off."""
    root = tmp_path / "my clips"
    (root / "b").mkdir(parents=True)
    write(root / "a.mp4", 9)
    write(root / "b" / "c d.avi", 6)
    cut(write(root / "whole.webm", 12), 0.5, "broken.webm")
    (root / "whole.webm").unlink()
    return root


def test_a_broken_file_does_not_stop_the_others(predictor, folder):
    found = predictor(folder)
    assert [prediction.name.removeprefix(f"{folder}/") for prediction in found] == [
        "a.mp4", "b/c d.avi", "broken.webm",
    ]  # fmt: skip
    assert [bool(prediction.error) for prediction in found] == [False, False, True]
    assert "broken.webm" in found[2].error
    assert found[2].label is None
    for prediction in found[:2]:
        torch.testing.assert_close(prediction.scores, predictor(prediction.name).scores)
    with pytest.raises(VideoError, match=r"broken\.webm"):
        predictor(folder / "broken.webm")


def test_a_list_names_paths_below_itself_with_or_without_labels(predictor, folder):
    listed = folder / "list.txt"
    listed.write_text(f"a.mp4 1\nb/c d.avi\n\n{folder}/b/c d.avi 0\nnowhere.mp4\n")
    found = predictor(listed)
    assert [prediction.name for prediction in found] == [
        f"{folder}/a.mp4", f"{folder}/b/c d.avi", f"{folder}/b/c d.avi", f"{folder}/nowhere.mp4",
    ]  # fmt: skip
    assert "does not exist" in found[3].error
    torch.testing.assert_close(found[1].scores, predictor(folder / "b/c d.avi").scores)
    names = [folder / "b/c d.avi", str(folder / "a.mp4")]
    assert [prediction.name for prediction in predictor(names)] == [str(name) for name in names]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "path,label\na.mp4,left\nb/c d.avi,right\n"),
        ("list.csv", "video\na.mp4\nb/c d.avi\n"),
        ("list.csv", "a.mp4\nb/c d.avi\n"),
        ("list.csv", "1;a.mp4\n2;b/c d.avi\n"),
        ("list.tsv", "label\tfile\nleft\ta.mp4\nright\tb/c d.avi\n"),
    ],
)
def test_a_table_names_paths_in_a_column(predictor, folder, name, text):
    (folder / name).write_text(text)
    found = predictor(folder / name)
    assert [prediction.name for prediction in found] == [f"{folder}/a.mp4", f"{folder}/b/c d.avi"]
    assert not any(prediction.error for prediction in found)


def test_a_line_of_a_table_without_a_file_is_named(predictor, folder):
    (folder / "list.csv").write_text("path,label\na.mp4,left\nnowhere.mp4,right\n")
    found = predictor(folder / "list.csv")
    assert [bool(prediction.error) for prediction in found] == [False, True]
    assert "nowhere.mp4 does not exist" in found[1].error


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "list.csv",
            "path,start,end,label\na.mp4,0.0,0.2,left\na.mp4,0:00.2,0.4,right\na.mp4,,,x\n",
        ),
        ("list.tsv", "start_frame\tend_frame\tfile\n0\t5\ta.mp4\n5\t10\ta.mp4\n\t\ta.mp4\n"),
        ("list.txt", "path\tstart\tend\na.mp4\t0\t0.2\na.mp4\t0.2\t0.4\na.mp4\n"),
    ],
)
def test_a_line_of_a_table_may_be_a_stretch(predictor, folder, name, text):
    write(folder / "a.mp4", 11)  # of 25 frames a second
    (folder / name).write_text(text)
    found = predictor(folder / name)
    spans = [Span(0, 0.2, "seconds"), Span(0.2, 0.4, "seconds")]
    if "frame" in text:
        spans = [Span(0, 5, "frames"), Span(5, 10, "frames")]
    assert [one.name for one in found] == [
        *(f"{folder}/a.mp4 ({span})" for span in spans), f"{folder}/a.mp4"
    ]  # fmt: skip
    frames = read_frames(folder / "a.mp4")
    for prediction, shown in zip(found, (frames[:5], frames[5:10], frames), strict=True):
        torch.testing.assert_close(prediction.scores, predictor(shown).scores)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "list.csv",
            "path,start,label\na.mp4,1,x\n",
            "a column 'start', and none that is called e",
        ),
        (
            "list.csv",
            "path,start,end\na.mp4,2,1\n",
            "line 2, says that its clip is from '2' and '1",
        ),
        ("list.csv", "path,crop\na.mp4,2\n", "has a column 'crop', not known, which may change"),
        (
            "list.csv",
            "a.mp4,0.0,1.5,left\n",
            "line 1, 'a.mp4,0.0,1.5,left', has 4 columns and no h",
        ),
        ("list.csv", "path,label\n", "has a header and nothing below it"),
        ("list.txt", "a.mp4 0.0 1.5 left\n", "line 1, 'a.mp4 0.0 1.5 left', has times behind its"),
    ],
)
def test_what_may_be_a_stretch_is_refused_by_name(predictor, folder, name, text, says):
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=says):
        predictor(folder / name)


def test_an_evaluation_of_videos_lists_them(predictor, folder):
    (folder / "list.csv").write_text("path,label,predicted,score left\na.mp4,left,right,0.4\n")
    assert [one.name for one in predictor(folder / "list.csv")] == [f"{folder}/a.mp4"]


def test_a_first_line_without_a_file_is_no_header(predictor, folder):
    (folder / "list.csv").write_text("nowhere.mp4,left\na.mp4,left\n")
    assert [bool(one.error) for one in predictor(folder / "list.csv")] == [True, False]


def test_a_list_may_be_written_as_seen_from_here(predictor, folder, tmp_path, monkeypatch):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/all.txt").write_text("a.mp4 left\nb/c d.avi\n")
    with pytest.raises(VideoError, match=r"none of the 2 paths in .*all\.txt is there, such as"):
        predictor(tmp_path / "lists/all.txt")
    monkeypatch.chdir(folder)
    found = predictor(tmp_path / "lists/all.txt")
    assert [prediction.name for prediction in found] == ["a.mp4", "b/c d.avi"]
    assert not any(prediction.error for prediction in found)


def test_a_source_that_names_nothing_is_refused(predictor, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(VideoError, match="names no videos"):
        predictor(tmp_path / "empty.txt")
    with pytest.raises(VideoError, match="does not exist"):
        predictor(tmp_path / "nowhere.txt")
    with pytest.raises(VideoError, match="holds no videos"):
        predictor(tmp_path)


# --- weights and classes ------------------------------------------------------------------------


def test_a_card_says_what_is_shown_and_what_classes_are_called(weights, predictor, clip):
    opened = Predictor(weights)
    assert opened.clips == CLIPS
    assert opened.classes == CLASSES
    torch.testing.assert_close(opened(clip).scores, predictor(clip).scores)
    assert Predictor(weights, classes=["a", "b", "c"])(clip).label in "abc"


def test_weights_of_digits_and_models_that_are_told_are_refused(tmp_path):
    card = {"model": "mean_lstm_small", "num_classes": 46, "data": {}}
    path = save_weights(interlace.create_model("mean_lstm_small"), tmp_path / "w.safetensors",
                        card=card)  # fmt: skip
    with pytest.raises(ValueError, match="synthetic videos of digits, not video files"):
        Predictor(path)
    with pytest.raises(ValueError, match="looks where it is told"):
        Predictor(interlace.create_model("dyreg_given_small"))


def test_a_model_for_frames_of_one_size_refuses_other_protocols(model):
    model = VideoClassifier(Normalise(), network(), num_classes=3)
    model.backbone.side = 32
    Predictor(model, clips=CLIPS)
    with pytest.raises(ValueError, match=r"32 x 32 pixels only.* shows 40 x 40.*'central'"):
        Predictor(model, clips=CLIPS, protocol="3x2")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "left\nright\n\napart\n"),
        ("labels.json", '["left", "right", "apart"]'),
        ("labels.json", '{"apart": "2", "left": "0", "right": "1"}'),
        ("labels.json", '{"2": "apart", "0": "left", "1": "right"}'),
    ],
)
def test_classes_are_read_from_files(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert read_classes(tmp_path / name) == CLASSES
    assert class_names(tmp_path / name, 3) == CLASSES
    with pytest.raises(ValueError, match=r"must be 4 names, .* got 3 in"):
        class_names(tmp_path / name, 4)


def test_numbers_of_classes_that_do_not_count_up_are_refused(tmp_path):
    path = tmp_path / "labels.json"
    for text in ('{"a": "0", "b": "2"}', '{"a": "0", "b": "zero"}', "[1, 2]", "5"):
        path.write_text(text)
        with pytest.raises(ValueError, match="must number the classes from 0"):
            read_classes(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="is not readable as JSON"):
        read_classes(path)
    with pytest.raises(ValueError, match="there is no file of classes"):
        read_classes(tmp_path / "nowhere.txt")
    assert class_names(None, 3) == ["0", "1", "2"]


# --- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [[1, 1, 1, 1], [3, 1], [4]])
def test_a_stream_is_its_clip(predictor, chunks, tmp_path):
    clip = write(tmp_path / "short.mp4", 4, size=(120, 80))  # as long as what is shown of it
    expected = predictor(clip)
    assert expected.frames == [0, 1, 2, 3]
    frames = read_frames(clip).permute(0, 2, 3, 1).numpy()
    stream, boxes, numbers = predictor.stream(), [], []
    for part in np.split(frames, np.cumsum(chunks)[:-1]):
        said = stream.push(part[0] if len(part) == 1 else part)
        boxes.append(said.boxes)
        numbers += said.frames
    torch.testing.assert_close(said.scores, expected.scores, **FLOAT32)
    assert numbers == expected.frames
    for name, whole in expected.boxes.items():
        parts = torch.cat([part[name] for part in boxes])
        torch.testing.assert_close(parts, whole, **FLOAT32)
    again = predictor.stream().push(frames[3])
    assert float((again.scores - said.scores).abs().max()) > 1e-5  # what was before matters


def test_a_model_that_sees_later_frames_has_no_stream():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.ReLU(), nn.Conv2d(8, 8, 3, 2))
    model = VideoClassifier(Normalise(), add_shift(layers, at=["2"]), num_classes=3)
    with pytest.raises(ValueError, match=r"cannot follow a stream.* c2d_r18 or tsm_r18_causal"):
        Predictor(model, clips=CLIPS).stream()
    assert {"c2d_r18", "tsm_r18_causal"} <= set(interlace.list_models())
    layers = nn.Sequential(nn.Conv3d(3, 8, 3, 2, 1))
    body = interlace.insert(layers, {"0": lambda c: interlace.DyReg(c, nodes=2, width=8, rounds=1)})
    model = VideoClassifier(Normalise(), body, num_classes=3)
    with pytest.raises(ValueError, match="whole clips only"):
        Predictor(model, clips=CLIPS).stream()


def test_a_network_that_strides_in_time_has_boxes_for_every_frame(clip):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv3d(3, 8, 3, 2, 1))
    body = interlace.insert(layers, {"0": lambda c: interlace.DyReg(c, nodes=2, width=8, rounds=1)})
    predictor = Predictor(VideoClassifier(Normalise(), body, num_classes=3), clips=CLIPS)
    prediction, shown = predictor.look(clip)
    assert shown.traces["0"].boxes.shape[1] == 2
    assert prediction.boxes["0"].shape == (4, 2, 4)
    torch.testing.assert_close(prediction.boxes["0"][0], prediction.boxes["0"][1])
    assert prediction.mass["0"].tolist() == [[1.0, 1.0]] * 4  # never silent


def test_nodes_that_may_be_silent_say_so(clip):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv3d(3, 8, 3, 2, 1))
    graph = interlace.DyReg(8, regions=ContentRegions(8, 3), width=8, rounds=1)
    nn.init.normal_(graph.regions.maps.weight)
    body = interlace.insert(layers, {"0": graph})
    predictor = Predictor(VideoClassifier(Normalise(), body, num_classes=3), clips=CLIPS)
    prediction, shown = predictor.look(clip)
    (first, second), mass = shown.traces["0"].mass[0], prediction.mass["0"]
    assert 0 < float(mass.min()) < float(mass.max()) < 1
    torch.testing.assert_close(mass, torch.stack([first, first, second, second]))
    said = prediction.as_dict()
    assert said["mass"]["0"] == [[round(float(m), 4) for m in frame] for frame in mass]
    assert [len(frame) for frame in said["boxes"]["0"]] == [3] * 4


def test_scores_that_are_no_numbers_are_refused(clip):
    model = classifier()
    with torch.no_grad():
        model.head.bias[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        Predictor(model, clips=CLIPS)(clip)


# --- the command --------------------------------------------------------------------------------


def test_predict_prints_lines_and_ends_in_1_where_a_file_is_broken(
    weights, folder, predictor, capsys
):
    assert main(["predict", str(folder), f"--weights={weights}", "--precision=fp32"]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"{folder}/{name}" for name in ("a.mp4", "b/c d.avi", "broken.webm")
    ]
    expected = predictor(folder / "a.mp4").top()
    with pytest.raises(VideoError) as error:
        predictor(folder / "broken.webm")
    words = ", ".join(f"{label} {round(100 * score, 1):g} %" for label, score in expected)
    assert lines[0] == f"{folder}/a.mp4: {words}"
    assert lines[2] == f"{folder}/broken.webm: {str(error.value).partition('.webm ')[2]}"
    assert said.err == "interlace: 1 of 3 videos cannot be read\n"


def test_predict_writes_json_with_boxes(weights, clip, predictor, tmp_path, capsys):
    out = tmp_path / "out.json"
    words = ["predict", str(clip), f"--weights={weights}", "--precision=fp32", f"--out={out}"]
    assert main([*words, "--format=json", "--top=2"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads(out.read_text())
    (video,) = record["videos"]
    expected = predictor(clip)
    assert video["name"] == str(clip)
    assert [entry["label"] for entry in video["labels"]] == [name for name, _ in expected.top(2)]
    assert [entry["score"] for entry in video["labels"]] == pytest.approx(
        [score for _, score in expected.top(2)], abs=1e-5
    )
    assert video["frames"] == expected.frames
    for name, boxes in expected.boxes.items():
        np.testing.assert_allclose(video["boxes"][name], boxes, atol=6e-5)
        assert video["mass"][name] == [[1.0] * boxes.shape[1]] * len(boxes)


@pytest.mark.parametrize("command", [["predict", "{clip}", "--weights"], ["evaluate"], ["explain"]])
def test_what_is_no_weights_is_told_what_to_take(clip, tmp_path, command, capsys):
    words = [word.format(clip=clip) for word in command]
    (tmp_path / "last.ckpt").write_bytes(b"PK" * 99)
    assert main([*words, str(tmp_path / "last.ckpt")]) == 1
    assert capsys.readouterr().err == (
        f"interlace: {tmp_path}/last.ckpt is the state that a run goes on from, not its weights: "
        f"take {tmp_path}/best.safetensors\n"
    )


def test_a_folder_and_a_file_of_torch_are_no_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"its weights, {tmp_path}/best\.safetensors"):
        Predictor(tmp_path)
    (tmp_path / "a.pth").write_bytes(b"PK" * 99)
    with pytest.raises(ValueError, match=r"`interlace convert .*a\.pth ours\.safetensors`"):
        Predictor(tmp_path / "a.pth")


def test_predict_without_weights_says_so(clip, capsys):
    assert main(["predict", str(clip)]) == 1
    assert capsys.readouterr().err.startswith("interlace: predict needs --weights")


def test_importing_the_package_loads_no_video_or_network_library():
    program = "import sys, interlace; assert not {'torchvision', 'av', 'torch'} & set(sys.modules)"
    assert "Predictor" in interlace.__all__
    subprocess.run([sys.executable, "-c", program], check=True)


def test_traces_of_the_middle_view_are_returned(predictor, clip):
    prediction, shown = predictor.look(clip)
    assert shown.frames == prediction.frames
    assert shown.video.shape == (4, 3, 40, 60)
    assert all(isinstance(trace, Trace) for trace in shown.traces.values())


@pytest.mark.data
def test_real_clips_are_predicted(predictor, data_dir):
    found = predictor(data_dir / "videos")
    assert len(found) >= 4
    assert not any(prediction.error for prediction in found)
    for prediction in found:
        assert float(prediction.scores.sum()) == pytest.approx(1, abs=1e-5)
        assert prediction.boxes["0"].shape == (4, 3, 4)
