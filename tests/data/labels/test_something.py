"""Data sets with their own ways of saying what is what: Something-Something, -Else, Kinetics."""

import json

import pytest
import torch

from interlace.data.clips import Item, open_clips
from interlace.data.clips.sampling import Crop
from interlace.data.clips.transforms import mirrored_labels
from interlace.data.labels.something_else import crop_boxes, read_objects
from interlace.data.video import Span
from interlace.evaluation.region_metrics import RegionMeter

CLASSES = [
    "Pushing something from left to right",
    "Pushing something from right to left",
    "Putting something, something and something on the table",
]


def write(path, said):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    return path


@pytest.fixture
def v1(tmp_path):
    """Folders of frames, and tables with a semicolon."""
    root = tmp_path / "20bn-something-something-v1"
    for name in ("100218", "24413", "3"):
        write(root / name / "00001.jpg", "")
    write(tmp_path / "something-something-v1-labels.csv", "\n".join(CLASSES[::-1]) + "\n")
    write(
        tmp_path / "something-something-v1-train.csv",
        f"100218;{CLASSES[2]}\n24413;{CLASSES[0]}\n",
    )
    write(tmp_path / "something-something-v1-test.csv", "3\n")
    return root


def test_version_1(v1):
    clips = open_clips(v1, labels=v1.parent / "something-something-v1-train.csv")
    assert clips.classes == tuple(CLASSES[::-1])
    assert clips.items == (Item("100218", 0), Item("24413", 2))
    assert clips.path(0).is_dir()
    test = open_clips(v1, labels=v1.parent / "something-something-v1-test.csv")
    assert test.items == (Item("3", -1),)
    assert test.classes == clips.classes


@pytest.fixture
def v2(tmp_path):
    """Files, and JSON whose templates have brackets."""
    root = tmp_path / "20bn-something-something-v2"
    for name in ("78687", "42326", "1420"):
        write(root / f"{name}.webm", "")
    labels = {CLASSES[1]: "1", CLASSES[2]: "2", CLASSES[0]: "0"}
    write(tmp_path / "labels" / "labels.json", labels)
    first = {"id": "78687", "label": "pushing a cup from right to left"}
    train = [
        first | {"template": "Pushing [something] from right to left"},
        {
            "id": "42326",
            "template": "Putting [something], [something] and [something] on the table",
        },
    ]
    write(tmp_path / "labels" / "train.json", train)
    write(tmp_path / "labels" / "test.json", [{"id": "1420"}])
    write(tmp_path / "labels" / "test-answers.csv", f"1420;{CLASSES[0]}\n")
    return root


def test_version_2(v2):
    labels = v2.parent / "labels"
    clips = open_clips(v2, labels=labels / "train.json")
    assert clips.classes == tuple(CLASSES)
    assert clips.items == (Item("78687.webm", 1), Item("42326.webm", 2))
    assert mirrored_labels(clips.classes).tolist() == [1, 0, 2]
    assert open_clips(v2, labels=labels / "test.json").items == (Item("1420.webm", -1),)
    assert open_clips(v2, labels=labels / "test-answers.csv").items == (Item("1420.webm", 0),)


def test_labels_under_their_long_names(v2):
    labels = v2.parent / "labels"
    for name in ("train", "labels"):
        (labels / f"{name}.json").rename(labels / f"something-something-v2-{name}.json")
    clips = open_clips(v2, labels=labels / "something-something-v2-train.json")
    assert [item.label for item in clips.items] == [1, 2]


def test_a_part_of_it_under_another_name(v2, caplog):
    caplog.set_level("INFO")
    labels = v2.parent / "labels"
    (labels / "train.json").rename(labels / "mine.json")
    (labels / "mine.csv").write_text("path,label\n")  # no classes, whatever its name
    clips = open_clips(v2, labels=labels / "mine.json")
    assert clips.classes == (CLASSES[1], CLASSES[2])  # in the order of labels.json
    assert [item.label for item in clips.items] == [0, 1]
    (labels / "labels.json").unlink()
    assert open_clips(v2, labels=labels / "mine.json").classes == (CLASSES[1], CLASSES[2])
    assert "no labels.json beside it names the classes" in caplog.text


@pytest.mark.parametrize(
    ("name", "said", "says"),
    [
        ("labels.json", ["a"], r"2 labels that are none of the 1 classes \(a\): 'Pushing som"),
        ("labels.json", [5], r"labels\.json must number the classes from 0"),
        ("labels.json", {"a": "1"}, r"labels\.json must number the classes from 0"),
        ("labels.json", "{", r"labels\.json is not readable as JSON"),
        ("labels.json", {"a": "0"}, r"2 labels that are none of the 1 classes \(a\): 'Pushing som"),
        ("train.json", [{"id": "1", "template": "a", "start": 3}], "has 'start', which may change"),
        ("train.json", [{"name": "1"}], r"train\.json must be a list of"),
        ("train.json", {"a": 1}, r"train\.json must be a list of"),
        ("train.json", 5, r"train\.json must be a list of"),
    ],
)
def test_wrong_json(v2, name, said, says):
    write(v2.parent / "labels" / name, said)
    with pytest.raises(ValueError, match=says):
        open_clips(v2, labels=v2.parent / "labels" / "train.json")


def test_a_list_of_nothing(v2):
    path = write(v2.parent / "labels" / "some.json", [])
    with pytest.raises(ValueError, match=r"some\.json is empty; write an object for each video"):
        open_clips(v2, labels=path)


def test_classes_must_be_beside(v2):
    (v2.parent / "labels" / "labels.json").unlink()
    with pytest.raises(ValueError, match=r"no labels\.json beside .*train\.json"):
        open_clips(v2, labels=v2.parent / "labels" / "train.json")


# --- Kinetics -------------------------------------------------------------------------------------

KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
"tai chi, or so",-3B32lodo2M,59,69,validate,0
abseiling,_a_b,0,10,train,0
abseiling,gone,0,10,validate,0
yoga,dQw4w9WgXcQ,12,22,validate,1
"""


def test_kinetics_in_folders_or_flat(tmp_path, caplog):
    table = write(tmp_path / "k.csv", KINETICS)
    root = tmp_path / "videos"
    write(root / "tai_chi" / "-3B32lodo2M_000059_000069.mp4", "")
    write(root / "train" / "_a_b_000000_000010.mp4", "")
    write(root / "dQw4w9WgXcQ_000012_000022.mkv", "")
    clips = open_clips(root, labels=table, split="validation")
    assert clips.classes == ("abseiling", "tai chi, or so", "yoga")
    assert clips.items == (
        Item("tai_chi/-3B32lodo2M_000059_000069.mp4", 1),
        Item("dQw4w9WgXcQ_000012_000022.mkv", 2),
    )
    assert "1 of 3 videos in" in caplog.text
    assert "are left out: gone_000000_000010" in caplog.text
    write(root / "again" / "_a_b_000000_000010.mp4", "")
    with pytest.raises(ValueError, match=r"may be any of again/_a_b_.*mp4, train/_a_b"):
        open_clips(root, labels=table, split="train")


def test_stretches_of_whole_videos_of_kinetics(tmp_path):
    table = write(tmp_path / "k.csv", KINETICS)
    root = tmp_path / "videos"
    write(root / "-3B32lodo2M.mp4", "")
    write(root / "yoga" / "dQw4w9WgXcQ_000012_000022.mkv", "")
    assert open_clips(root, labels=table, split="validation").items == (
        Item("-3B32lodo2M.mp4", 1, Span(59, 69, "seconds")),
        Item("yoga/dQw4w9WgXcQ_000012_000022.mkv", 2),
    )
    write(table, "youtube_id,time_start,time_end,split,boxes\nx,1,11,test,3\n")
    with pytest.raises(ValueError, match="has a column 'boxes', which no table of Kinetics has"):
        open_clips(root, labels=table)


def test_kinetics_without_labels_and_with_wrong_lines(tmp_path):
    write(tmp_path / "v" / "x_000001_000011.mp4", "")
    table = write(tmp_path / "k.csv", "youtube_id,time_start,time_end,split\nx,1,11,test\n")
    assert open_clips(tmp_path / "v", labels=table).items == (Item("x_000001_000011.mp4", -1),)
    write(table, "label,youtube_id,time_start,time_end\na,x,1,y\n")
    with pytest.raises(ValueError, match=r"k\.csv, line 2, must have label, youtube_id"):
        open_clips(tmp_path / "v", labels=table)
    write(table, "label,youtube_id,time_start,time_end\na,x,11,1\n")
    with pytest.raises(ValueError, match=r"line 2, .* with a start before its end, got 'a,x,11,1'"):
        open_clips(tmp_path / "v", labels=table)
    write(table, "label,youtube_id,time_start,time_end\n")
    with pytest.raises(ValueError, match="has a header and nothing below it"):
        open_clips(tmp_path / "v", labels=table)


def test_columns_of_kinetics_in_capitals_and_lines_without_a_split(tmp_path):
    for name in ("x", "y"):
        write(tmp_path / "v" / f"{name}_000001_000011.mp4", "")
    table = write(tmp_path / "k.csv", "Label,YouTube_ID,Time Start,Time End\na,x,1,11\n")
    assert len(open_clips(tmp_path / "v", labels=table)) == 1
    write(table, "label,youtube_id,time_start,time_end,split\na,x,1,11,train\na,y,1,11,\n")
    for split in (None, "train"):
        with pytest.raises(ValueError, match=r"1 of 2 lines without a split \(line 3\), which"):
            open_clips(tmp_path / "v", labels=table, split=split)


# --- boxes ----------------------------------------------------------------------------------------


def label(category, x1, y1, x2, y2):
    box = {"x1": x1, "x2": x2, "y1": y1, "y2": y2}
    return {"box2d": box, "category": "a thing", "standard_category": category}


@pytest.fixture
def boxes(tmp_path):
    """Two hands that change places in the file, and a frame that nobody looked at."""
    frames = [
        {"name": "7/0001.jpg", "nr_instances": 3, "labels": [
            label("hand", 0, 0, 20, 20), label("hand", 80, 0, 100, 20),
            label("0000", 40, 20, 60, 40),
        ]},
        {"name": "7/0004.jpg", "nr_instances": 1, "labels": []},
        {"name": "7/0002.jpg", "nr_instances": 2, "labels": [
            label("hand", 70, 0, 90, 20), label("hand", 10, 0, 30, 20),
        ]},
    ]  # fmt: skip
    return write(tmp_path / "boxes.json", {"7": frames, "8": []})


def test_boxes_are_fractions_of_the_frame(boxes):
    objects = read_objects(boxes, videos=["7"])["7"]
    assert objects.names == ("hand", "hand", "0000")
    found = objects.boxes(torch.tensor([0, 1, 2, 3, 9]), height=40, width=100)
    nan = [float("nan")] * 4
    expected = torch.tensor(
        [
            [[0.1, 0.25, 0.1, 0.25], [0.9, 0.25, 0.1, 0.25], [0.5, 0.75, 0.1, 0.25]],
            [[0.2, 0.25, 0.1, 0.25], [0.8, 0.25, 0.1, 0.25], nan],
            [nan] * 3,
            [nan] * 3,
            [nan] * 3,
        ]
    )
    torch.testing.assert_close(found, expected, equal_nan=True)
    empty = read_objects(boxes)["8"]
    assert empty.boxes(torch.tensor([0, 5]), 40, 100).shape == (2, 0, 4)


def test_boxes_go_into_the_meter(boxes):
    objects = read_objects(boxes)["7"]
    truth = objects.boxes(torch.arange(4), height=40, width=100)[None]
    regions = truth[:, :2].nan_to_num(0.5)[:, [0, 1, 1, 1]]
    meter = RegionMeter()
    meter.add(regions, truth)
    result = meter.result()
    assert (result.frames, result.objects) == (2, 5)
    assert result.recall == 1
    # the object that is gone has its region in the middle, .3 and .25 from the nearer hand
    assert result.dist_p == pytest.approx((0 + (0.3**2 + 0.25**2) ** 0.5 / 3) / 2)


def test_boxes_of_a_crop():
    boxes = torch.tensor([[0.25, 0.5, 0.25, 0.5], [0.9, 0.5, 0.05, 0.1], [0.5, 0.5, 0.1, 0.1]])
    found = crop_boxes(boxes, Crop(0, 40, 100, 100), height=100, width=200)
    expected = [[0.3, 0.5, 0.3, 0.5], [float("nan")] * 4, [0.6, 0.5, 0.2, 0.1]]
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)


@pytest.mark.parametrize("said", [[], {"7": [{"name": "7/0001.jpg"}]}, "{", {"7": {"a": 1}}])
def test_files_that_hold_no_boxes(tmp_path, said):
    with pytest.raises(ValueError, match=r"x\.json is no file of Something-Else boxes"):
        read_objects(write(tmp_path / "x.json", said))


def test_early_files_say_the_category_beside_the_corners(tmp_path):
    box = {"x1": 0, "y1": 0, "x2": 4, "y2": 4, "category": "pillow"}
    path = write(tmp_path / "x.json", {"2": [{"name": "2/0001.jpg", "labels": [{"box2d": box}]}]})
    assert read_objects(path)["2"].names == ("pillow",)
