"""Lists of videos: which there are, what they show, and everything that can be wrong with that."""

import hashlib
import random

import pytest

from interlace.data.clips import (
    ClipList,
    Item,
    open_clips,
    open_unlabelled,
    read_list,
    split_clips,
    write_list,
)
from interlace.data.clips.clip_list import check_classes
from interlace.data.clips.opening import given_splits


@pytest.fixture
def folder(tmp_path):
    """Empty files: lists of videos never open one."""
    return tmp_path / "clips"


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def labels(folder, text, name="labels.csv"):
    path = folder.parent / name
    path.write_text(text)
    return path


# --- folders of classes ---------------------------------------------------------------------------


def test_classes_are_folders_sorted_as_people_count(folder):
    put(folder, "class 10/b.mp4", "class 2/a.webm", "class 2/deep/c.avi", "class 2/notes.txt")
    put(folder, "class 10/frames/1.jpg", "class 10/frames/2.jpg", ".cache/x.mp4", "readme.txt")
    clips = open_clips(folder)
    assert clips.classes == ("class 2", "class 10")
    assert clips.items == (
        Item("class 2/a.webm", 0),
        Item("class 2/deep/c.avi", 0),
        Item("class 10/b.mp4", 1),
        Item("class 10/frames", 1),
    )
    assert clips.path(2) == folder / "class 10/b.mp4"
    assert (len(clips), clips.counts()) == (4, [2, 2])
    assert clips.select([3, 0]).items == (clips.items[3], clips.items[0])


def test_given_splits_share_classes_and_root(folder):
    put(folder, "train/left/1.mp4", "train/right/2.mp4", "val/right/3.mp4", "test/left/4.mp4")
    assert given_splits(folder) == {"test": "test", "train": "train", "validation": "val"}
    held_out = open_clips(folder, split="validation")
    assert held_out.classes == open_clips(folder, split="train").classes == ("left", "right")
    assert held_out.items == (Item("val/right/3.mp4", 1),)
    assert held_out.path(0).exists()
    with pytest.raises(ValueError, match="splits test, train, validation; say which"):
        open_clips(folder)
    put(folder, "val/up/5.mp4")
    with pytest.raises(ValueError, match=r"val/up is a folder of none of the 2 classes"):
        open_clips(folder, split="validation")


def test_folders_are_splits_only_where_all_are(folder):
    put(folder, "train/1.mp4", "plane/2.mp4")
    assert given_splits(folder) == {}
    assert open_clips(folder).classes == ("plane", "train")
    with pytest.raises(ValueError, match="has no splits, and test was asked for"):
        open_clips(folder, split="test")


def test_the_classes_of_a_model_give_the_numbers(folder):
    put(folder, "b/1.mp4")
    clips = open_clips(folder, classes=["a", "b", "c"])
    assert clips.items == (Item("b/1.mp4", 1),)
    assert clips.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a/1.mp4", "2.mp4"], "2.mp4 is in no folder of a class; put"),
        (["a/1.mp4", "b/notes.txt", "c/.x.mp4"], r"2 folders \(b, c\) have no videos"),
        (["a/notes.txt"], "holds no videos"),
        (["1.mp4"], "has no folders; put the videos of each class into a folder"),
        ([], "is no folder"),
    ],
)
def test_folders_that_are_no_classes(folder, names, says):
    put(folder, *names)
    with pytest.raises(ValueError, match=says):
        open_clips(folder)


def test_videos_without_labels(folder):
    put(folder, "x/1.mp4", "2.webm")
    clips = open_unlabelled(folder)
    assert clips.items == (Item("2.webm", -1), Item("x/1.mp4", -1))
    one = open_unlabelled(folder / "2.webm")
    assert (one.path(0), one.classes) == (folder / "2.webm", ())


# --- files of labels ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "a b/1.mp4 walk\n2.mp4 run\n\n"),
        ("tabs.txt", "a b/1.mp4\twalk\n2.mp4\trun\n"),
        ("no_header.csv", "a b/1.mp4,walk\n2.mp4,run\n"),
        ("header.csv", "label,path,length\nwalk,a b/1.mp4,7\nrun,2.mp4,8\n"),
        ("bom.csv", "\ufeffVideo;Class\na b/1;walk\n2;run\n"),
        ("quoted.tsv", 'file\tcategory\n"a b/1.mp4"\twalk\n2.mp4\trun\n'),
        ("windows.csv", "a b\\1.mp4,walk\r\n2.mp4,run\r\n"),
    ],
)
def test_formats_of_labels(folder, name, text):
    put(folder, "a b/1.mp4", "2.mp4")
    clips = open_clips(folder, labels=labels(folder, text, name))
    assert clips.classes == ("run", "walk")
    assert clips.items == (Item("a b/1.mp4", 1), Item("2.mp4", 0))


def test_numbers_are_indices_unless_they_are_names(folder):
    put(folder, "1.mp4", "2.mp4", "3.mp4")
    file = labels(folder, "1.mp4 2\n2.mp4 0\n3.mp4 1\n", "l.txt")
    assert open_clips(folder, labels=file).classes == ("0", "1", "2")
    named = open_clips(folder, labels=file, classes=["a", "b", "c"])
    assert [item.label for item in named.items] == [2, 0, 1]
    with pytest.raises(ValueError, match=r"1 labels that are none of the 2 .*: '2' of 1.mp4"):
        open_clips(folder, labels=file, classes=["a", "b"])
    years = labels(folder, "1.mp4 2012\n2.mp4 2013\n3.mp4 2012\n", "l.txt")
    named = open_clips(folder, labels=years, classes=["2012", "2013"])
    assert [item.label for item in named.items] == [0, 1, 0]
    years = labels(folder, "1.mp4 2012\n2.mp4 2013\n3.mp4 1\n", "l.txt")
    with pytest.raises(ValueError, match=r"none of the 2 classes \(2012, 2013\): '1' of 3.mp4"):
        open_clips(folder, labels=years, classes=["2012", "2013"])


def test_a_column_tells_splits_apart(folder):
    put(folder, "1.mp4", "2.mp4", "3.mp4")
    file = labels(folder, "path,label,split\n1.mp4,a,train\n2.mp4,b,train\n3.mp4,a,val\n")
    assert open_clips(folder, labels=file, split="validation").items == (Item("3.mp4", 0),)
    assert open_clips(folder, labels=file, split="train").classes == ("a", "b")
    with pytest.raises(ValueError, match="splits train, validation; say which"):
        open_clips(folder, labels=file)
    with pytest.raises(ValueError, match="has only train, validation, and test was asked"):
        open_clips(folder, labels=file, split="test")
    plain = labels(folder, "1.mp4,a\n", "plain.csv")
    with pytest.raises(ValueError, match="has no splits, and test was asked for; add a column"):
        open_clips(folder, labels=plain, split="test")


def test_videos_of_a_list_that_are_missing(folder, caplog):
    put(folder, "1.mp4", "2.mp4", "2.webm")
    file = labels(folder, "1,a\n5.mp4,b\nx/6.mp4,a\n7.mp4,a\n8.mp4,c\n")
    with pytest.raises(
        ValueError, match=r"4 of 5 videos in .*csv are not below .*: 5.mp4, x/6.mp4, 7.mp4, \.\.\.;"
    ):
        open_clips(folder, labels=file)
    clips = open_clips(folder, labels=file, skip_missing=True)
    assert clips.items == (Item("1.mp4", 0),)
    assert clips.classes == ("a", "b", "c")
    assert "4 of 5 videos" in caplog.text
    with pytest.raises(ValueError, match="holds none of the videos"):
        open_clips(folder, labels=labels(folder, "9.mp4,a\n"), skip_missing=True)
    with pytest.raises(ValueError, match=r"2 in .* may be any of 2.mp4, 2.webm"):
        open_clips(folder, labels=labels(folder, "2,a\n"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.mp4,a\n2.mp4,b\n1,b\n", r"1 video \(1.mp4\) has several lines in .*; leave one"),
        ("path,label\n1.mp4,\n", r"labels.csv, line 2, must have a path and a label, got '1.mp4"),
        ("1.mp4,a\n\n2.mp4\n", "labels.csv, line 3, must have a path and a label"),
        ("path,label\n", "has a header and nothing below it"),
        ("\n\n", "labels.csv is empty"),
    ],
)
def test_wrong_files_of_labels(folder, text, says):
    put(folder, "1.mp4", "2.mp4")
    with pytest.raises(ValueError, match=says):
        open_clips(folder, labels=labels(folder, text))
    with pytest.raises(ValueError, match=r"no file of labels none\.csv"):
        open_clips(folder, labels="none.csv")


def test_files_of_labels_that_are_no_text(folder):
    put(folder, "1.mp4")
    path = labels(folder, "")
    path.write_bytes(b"1.mp4,\xff\xfe\n")
    with pytest.raises(ValueError, match=r"labels\.csv is no text in UTF-8"):
        open_clips(folder, labels=path)


# --- classes and models ---------------------------------------------------------------------------


def made(counts, root="clips"):
    items = [Item(f"{label}/{k}.mp4", label) for label, n in enumerate(counts) for k in range(n)]
    return ClipList(root, tuple(items), tuple("abcdefghij"[: len(counts)]))


def test_a_model_must_have_the_classes_of_its_videos():
    check_classes(made([1, 2]))
    with pytest.raises(ValueError, match=r"2 classes \(b, d\) have no videos among the 3 of clips"):
        check_classes(made([1, 0, 2, 0]))
    with pytest.raises(ValueError, match=r"1 video \(x.mp4\) has no label"):
        check_classes(ClipList("clips", (Item("x.mp4", -1),), ("a",)))


# --- splits ---------------------------------------------------------------------------------------


def test_every_class_is_split_by_the_same_share():
    clips = made([50, 10, 2, 1, 3])
    kept, held_out = split_clips(clips)
    assert held_out.counts() == [10, 2, 1, 0, 1]
    assert kept.counts() == [40, 8, 1, 1, 2]
    assert {*kept.items, *held_out.items} == {*clips.items}
    assert kept.classes == held_out.classes == clips.classes
    _, most = split_clips(clips, fraction=0.99)
    assert most.counts() == [49, 9, 1, 0, 2]


def test_a_split_depends_on_names_and_seed_alone():
    clips = made([30, 30])
    names = list(range(len(clips)))
    random.Random(0).shuffle(names)
    assert split_clips(clips.select(names)) == split_clips(clips)
    other = split_clips(clips, seed=1)[1].items
    same = split_clips(clips)[1].items
    assert len({*same} & {*other}) < len(same)
    fewer = split_clips(clips.select(range(1, len(clips))))[1].items
    assert len({*same} & {*fewer}) >= len(same) - 1  # one video less changes hardly anything
    hashes = {k: hashlib.sha256(b"0\0" + b"0/%d.mp4" % k).digest() for k in range(30)}
    first = sorted(sorted(hashes, key=hashes.__getitem__)[:6])
    assert [int(item.name[2:-4]) for item in same if item.label == 0] == first


def test_what_cannot_be_split():
    with pytest.raises(ValueError, match="no class of clips has two videos"):
        split_clips(made([1, 1]))
    with pytest.raises(ValueError, match="from 0 to below 1, got 1"):
        split_clips(made([4]), fraction=1)


def test_a_list_is_read_as_it_was_written(tmp_path):
    items = (Item("a, b/ü.mp4", 1), Item('quote".mp4', 0), Item("x.mp4", -1))
    clips = ClipList(tmp_path, items, ("left, then right", "10"))
    path = write_list(tmp_path / "run" / "split.csv", clips)
    assert read_list(path, root=tmp_path, classes=clips.classes) == clips
    assert path.read_text().splitlines()[:2] == ["path,label", '"a, b/ü.mp4",10']
    assert [p.name for p in path.parent.iterdir()] == ["split.csv"]
    with pytest.raises(ValueError, match=r"split.csv is no list .* such as \['a, b"):
        read_list(path, root=tmp_path, classes=["other"])
    path.write_text("name\n")
    with pytest.raises(ValueError, match="or another header"):
        read_list(path, root=tmp_path, classes=[])
