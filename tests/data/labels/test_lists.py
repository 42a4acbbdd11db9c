"""Lists and tables as other toolkits wrote them: the right training, or a sentence."""

import logging

import pytest

from interlace.data.clips import (
    ClipList,
    ClipShape,
    Item,
    TrainingClips,
    open_clips,
    read_list,
    split_clips,
    write_list,
)
from interlace.data.clips.dataset import read_views
from interlace.data.clips.manifest import clips_fingerprint, fingerprint, without_broken
from interlace.data.clips.scan import scan
from interlace.data.labels.class_names import read_classes
from interlace.data.labels.labels import split_of
from interlace.data.video import Excerpt, Span, read_frames
from videos import numbered, numbers, write, write_picture


@pytest.fixture
def root(tmp_path):
    return tmp_path / "clips"


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def frames(root, **folders):
    """Folders of that many pictures, which nobody opens."""
    for name, count in folders.items():
        put(root, *(f"{name}/img_{k:05d}.jpg" for k in range(1, count + 1)))
    return root


def opened(root, text, name="list.txt", **more):
    path = root.parent / name
    path.write_text(text)
    clips = open_clips(root, labels=path, **more)
    return [(item.name, clips.classes[item.label]) for item in clips.items]


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO)
    return caplog


# --- columns between path and label ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("left_0 8 0\nright 1 5 1\n", "'left_0 8 0' is read as path, frames, class"),
        ("left_0 0 8\nright 1 1 5\n", "'left_0 0 8' is read as path, class, frames"),
        ("left_0\t8\t0\nright 1\t5\t1\n", "is read as path, frames, class"),
        ("left_0 0 8 0\nright 1 0 5 1\n", "is read as path, first frame, frames, class"),
        ("0 8 left_0\n1 5 right 1\n", "is read as class, frames, path"),
        ("0 left_0\n1 right 1\n", "'0 left_0' is read as class, path"),
        ("left_0 train 0\nright 1 train 1\n", "'left_0 train 0' is read as path, split, class"),
        ('"left_0" 8 0\n"right 1" 5 1\n', "is read as path, frames, class"),
        ("# folder frames class\nleft_0 8 0\nright 1 5 1\n", "is read as path, frames, class"),
    ],
)
def test_what_fits_the_files_is_the_path(root, log, text, taken):
    frames(root, left_0=8, **{"right 1": 5})
    assert opened(root, text) == [("left_0", "0"), ("right 1", "1")]
    assert taken in log.text


def test_labels_of_several_words(root, log):
    frames(root, a=8, b=5)
    said = [("a", "opening the box"), ("b", "closing it")]
    assert opened(root, "a opening the box\nb closing it\n") == said
    assert "is read as path, class" in log.text
    assert opened(root, "a 8 opening the box\nb 5 closing it\n") == said
    assert opened(root, "a train opening the box\nb training closing it\n") == said
    assert opened(root, "a 8 train opening the box\nb 5 training closing it\n") == said
    assert opened(root, "a opening the box train\nb closing it training\n") == said
    assert opened(root, "a 8 train\nb 5 plane\n") == [("a", "train"), ("b", "plane")]
    assert opened(root, 'a "left"\nb "right"\n') == [("a", "left"), ("b", "right")]
    assert opened(root, "a left hand\nb right hand\n") == [("a", "left hand"), ("b", "right hand")]


def test_a_name_and_its_number(root, log):
    put(root, "a.mp4", "b.mp4", "c.mp4")
    text = "a.mp4 left 0\nb.mp4 right 1\nc.mp4 left 0\n"
    assert opened(root, text) == [("a.mp4", "left"), ("b.mp4", "right"), ("c.mp4", "left")]
    assert "path, class, its number" in log.text


def test_frames_of_files_are_counted(root, log):
    root.mkdir()
    write(root / "a.mp4", 8)
    write(root / "b.mp4", 5)
    assert opened(root, "a.mp4 8 0\nb.mp4 5 1\n") == [("a.mp4", "0"), ("b.mp4", "1")]
    with pytest.raises(ValueError, match=r"3 is not how many frames a.mp4 has, 8; write a table"):
        opened(root, "a.mp4 3 0\nb.mp4 5 1\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a 10 0\nb 5 1\n", "line 1, .*'a 10 0', and 10 is not how many frames a has, 8; write"),
        ("a 20 0\nb 5 1\n", "line 1, .*'a 20 0', and 20 is not how many frames a has, 8; write"),
        ("a 0.0 1.5 left\nb 0.0 1.5 right\n", "'a 0.0 1.5 left', and 0.0 is not how many frames"),
        ("a 1 4 0\nb 1 4 1\n", "nothing tells which of its 3 numbers is the class; write a table"),
        ("a 8 0 3\nb 5 1 2\n", "nothing tells which of its 3 numbers is the class"),
        ("a 8 0\nb 5 1 2\n", "different numbers of words"),
        ("x 8 0\ny 5 1\n", "none of the 2 videos of .*: its first line is 'x 8 0'; check the f"),
        ("a train x\nb pool x\n", "line 2, has 'pool' where others have 'train': if that is a spl"),
        ("name what\na x\nb y\n", "line 1, 'name what', is neither a video of .* nor a known head"),
        ("a left 0\nb left 1\n", "'a left 0', and 0 is not how many frames a has"),
        ("a 10 20 left\nb 15 30 right\n", "'a 10 20 left', and 10 is not how many frames a has"),
        ("# notes\n# alone\n", "list.txt is empty; write a line"),
    ],
)
def test_words_whose_meaning_nothing_tells(root, text, says):
    frames(root, a=8, b=5)
    with pytest.raises(ValueError, match=says):
        opened(root, text)


def test_separators_are_what_the_lines_have(root):
    put(root, "a.mp4", "b.mp4")
    said = [("a.mp4", "left"), ("b.mp4", "right")]
    assert opened(root, "a.mp4 left\nb.mp4 right\n", "slowfast.csv") == said
    assert opened(root, "a.mp4,left\nb.mp4,right\n", "commas.txt") == said
    assert opened(root, "a.mp4, left\nb.mp4, right\n", "commas.txt") == said
    assert opened(root, "path label\na.mp4 left\nb.mp4 right\n", "header.txt") == said
    assert opened(root, "path,label\na.mp4,left\nb.mp4,right\n", "header.txt") == said


def test_paths_alone_are_of_the_class_of_their_folder(root, log):
    put(root, "left/a.mp4", "right/b.mp4")
    said = [("left/a.mp4", "left"), ("right/b.mp4", "right")]
    assert opened(root, "left/a.mp4\nright/b.mp4\n") == said
    assert "path alone, its folder as the class" in log.text
    assert opened(root, "left/a.mp4\nright/b.mp4\n", "list.csv") == said
    put(root, "c.mp4")
    with pytest.raises(ValueError, match=r"line 1, must have a path and a label, got 'c\.mp4'"):
        opened(root, "c.mp4\n")


def test_paths_below_the_folder_above(root):
    put(root, "a.mp4", "b.mp4")
    for text in ("clips/a.mp4 x\nclips/b.mp4 y\n", "clips/a.mp4 8 x\nclips/b.mp4 8 y\n"):
        with pytest.raises(
            ValueError, match=f"they are below {root.parent}, so give that as the f"
        ):
            opened(root, text)


def test_long_lists(root):
    frames(root, a=8, **{"b 1": 5})
    text = "a 8 x\n" * 600 + "b 1 5 y\n" * 600
    with pytest.raises(ValueError, match=r"2 videos \(a, b 1\) have several lines"):
        opened(root, text)


def test_classes_that_differ_in_case_alone(root, log):
    put(root, "a.mp4", "b.mp4")
    opened(root, "a.mp4 Left\nb.mp4 left\n")
    assert "has the classes 'Left' and 'left'; if they are one, write them alike" in log.text


@pytest.mark.parametrize("text", ["a.mp4 left|up\nb.mp4 up\n", "a.mp4 0,3\nb.mp4 1\n"])
def test_several_labels_of_a_clip_are_doubted(root, log, text):
    put(root, "a.mp4", "b.mp4")
    name = text.split()[1]
    assert opened(root, text)[0] == ("a.mp4", name)
    assert f"look like several labels of a clip ({name}); each is learned as one class" in log.text


def test_lists_of_hmdb51_are_named(root):
    put(root, "a.avi", "b.avi")
    with pytest.raises(ValueError, match="is a list of HMDB51, whose numbers say 1 for training"):
        opened(root, "a.avi 1\nb.avi 2\n", "jump_test_split1.txt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.avi x\nb.avi y\n", "2 of 2 videos .*: a.avi, b.avi; a.mp4 is there, so call it that"),
        ("/data/a.mp4 x\n/data/b.mp4 y\n", "a.mp4 is there, so call it that"),
        ("/c/d.mp4 x\n", "c/d.mp4 is there, so call it that"),
        ("c/a.mp4 x\n", "; a.mp4 is there, so call it that"),
        ("e.mp4 x\n", "e.mp4; check the folder"),
    ],
)
def test_videos_that_are_called_otherwise(root, text, says):
    put(root, "a.mp4", "b.mp4", "c/d.mp4")
    with pytest.raises(ValueError, match=says):
        opened(root, text)


def test_a_video_has_one_name(root):
    put(root, "a.mp4", "c/d.mp4")
    for text in (f"{root}/a.mp4 x\n./c//d.mp4 y\n", f"c/../a.mp4 x\n{root}/c/d y\n"):
        assert opened(root, text) == [("a.mp4", "x"), ("c/d.mp4", "y")]
    with pytest.raises(ValueError, match=r"1 video \(a.mp4\) has several lines"):
        opened(root, f"a.mp4 x\n{root}/a.mp4 y\n")


# --- columns of tables ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "path,label,crop\na.mp4,left,3\n",
            "has a column 'crop', not known, .* take it out, or re",
        ),
        ("path,label,x,y\na.mp4,left,3,4\n", "has columns 'x,y', not known"),
        ("path,label,label_id\na.mp4,l,0\nb.mp4,r,0\n", "'label' and 'label_id', which do not say"),
        ("path,behaviour\na.mp4,left\nb.mp4,right\n", "1, 'path,behaviour', is neither a video of"),
        ("clip,split\na.mp4,train\n", "none of them is the class; call it by a name .*label, cl"),
        ("what,which\na.mp4,left\nb.mp4,right\n", "1, 'what,which', is neither .*the path: path,"),
        ("a.mp4,0.0,1.5,left\nb.mp4,0.0,2.5,left\n", "1, 'a.mp4,0.0,1.5,left', is no header .*4 c"),
        ("what,a,b\na.mp4,0,left\n", "'what,a,b', is no header that is known, and has 3 columns"),
        (
            "path,label\na.mp4,opening, the box\n",
            "line 2, has 3 cells.* put cells with commas into",
        ),
        ("path,label,split\na.mp4,l,fold 1\n", "line 2, is marked 'fold 1', which is no split"),
        ("path,label,split\na.mp4,l,train\nb.mp4,l,\n", r"1 of 2 lines without a split \(line 3\)"),
        (
            "path,label\na.mp4,0.5\nb.mp4,1.5\n",
            "has the label 0.5, and numbers of classes are whole",
        ),
        ("path,label\na.mp4,-1\nb.mp4,0\n", "has the label -1, and numbers"),
        ("path,label,split,set\na.mp4,l,train,val\n", "has two columns of splits, 'split' and 'se"),
    ],
)
def test_columns_that_nothing_tells(root, text, says):
    put(root, "a.mp4", "b.mp4")
    with pytest.raises(ValueError, match=says):
        opened(root, text, "list.csv")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (",path,label\n0,a.mp4,left\n1,b.mp4,right\n", ""),
        ("Video Path,Class,\na.mp4,left,\nb.mp4,right,\n", ""),
        ("path,label,fps,Frames\na.mp4,left,25,8\nb.mp4,right,25,5\n", "fps, Frames not used"),
        ("id,file,label\n1,a.mp4,left\n2,b.mp4,right\n", "paths are in its column 'file', classes"),
        ("path,label,class_name\na.mp4,0,left\nb.mp4,1,right\n", "classes in 'class_name'; label "),
        ("left,a.mp4\nright,b.mp4\n", "'left,a.mp4' is read as class, path"),
        ("path,label\na.mp4,left\nb.mp4,right\n,\n", ""),
        ("sep=;\npath;label\na.mp4;left\nb.mp4;right\n", ""),
        ('path, label\n"a.mp4", "left"\n"b.mp4", "right"\n', ""),
        ("path,label,predicted,score left\na.mp4,left,x,1\nb.mp4,right,x,0\n", "predicted, score"),
        (
            "video_id,label,label_id,shape,format\na,left,0,8,jpg\nb,right,1,8,jpg\n",
            "format not used",
        ),
    ],
)
def test_columns_that_are_known(root, log, text, taken):
    put(root, "a.mp4", "b.mp4")
    assert opened(root, text, "list.csv") == [("a.mp4", "left"), ("b.mp4", "right")]
    assert taken in log.text


def test_a_cell_holds_any_text(root):
    put(root, "a.mp4", "b.mp4")
    text = 'path,label\na.mp4, "left, or\nright"\nb.mp4,up\u2028down\n'
    assert opened(root, text, "list.csv") == [
        ("a.mp4", "left, or\nright"),
        ("b.mp4", "up\u2028down"),
    ]


# --- words of a split -----------------------------------------------------------------------------


def test_words_of_a_split():
    words = ["train", "Training", "train_set", "dev", "Val", "validate", "held-out", "testset"]
    found = ["train"] * 3 + ["validation"] * 4 + ["test"]
    assert [split_of(word) for word in words] == found
    assert split_of("fold 1") is None


def test_folders_of_splits(root):
    put(root, "train/left/a.mp4", "dev/left/b.mp4")
    assert open_clips(root, split="validation").items == (Item("dev/left/b.mp4", 0),)
    put(root, "more/left/c.mp4")
    with pytest.raises(
        ValueError, match="has the splits dev, train, and more beside them; put the"
    ):
        open_clips(root)
    put(root.parent / "two", "train/left/a.mp4", "training/left/b.mp4")
    with pytest.raises(ValueError, match="has train and training, which are the same split"):
        open_clips(root.parent / "two")


# --- numbers of classes ---------------------------------------------------------------------------


def test_numbers_from_one_are_classes_from_zero(root, log):
    put(root, "a.mp4", "b.mp4", "c.mp4")
    assert opened(root, "a.mp4 1\nb.mp4 3\nc.mp4 10\n") == [
        ("a.mp4", "1"),
        ("b.mp4", "3"),
        ("c.mp4", "10"),
    ]
    assert "3 numbers from 1 to 10, which become classes 0 to 2, called as they are" in log.text
    path = root.parent / "list.txt"
    clips = open_clips(root, labels=path)
    assert [item.label for item in clips.items] == [0, 1, 2]
    # another list with the same classes means the same by the same number
    path.write_text("a.mp4 3\n")
    assert open_clips(root, labels=path, classes=clips.classes).items == (Item("a.mp4", 1),)
    path.write_text("a.mp4 2\n")
    with pytest.raises(ValueError, match=r"none of the 3 classes \(1, 3, 10\): '2' of a.mp4"):
        open_clips(root, labels=path, classes=clips.classes)
    assert opened(root, "path,label\na.mp4,0.0\nb.mp4,1.0\n", "floats.csv") == [
        ("a.mp4", "0"),
        ("b.mp4", "1"),
    ]


def test_numbers_from_one_of_a_model_with_names(root, log):
    put(root, "a.mp4", "b.mp4", "c.mp4")
    said = [("a.mp4", "x"), ("b.mp4", "y"), ("c.mp4", "z")]
    names = ["x", "y", "z"]
    assert opened(root, "a.mp4 0\nb.mp4 1\nc.mp4 2\n", classes=names) == said
    assert not log.text
    assert opened(root, "a.mp4 1\nb.mp4 2\nc.mp4 3\n", classes=names) == said
    assert "numbers that count from 1: 1 is 'x'" in log.text
    assert opened(root, "b.mp4 1\nc.mp4 2\n", classes=names) == said[1:]
    assert "numbers that count from 0: 1 is 'y'" in log.text


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("classInd.txt", "1 Apply Eye\n2 Band\n3 Cut\n"),
        ("classes.txt", "Apply Eye\nBand\nCut\n"),
        ("label_map_k3.txt", "Apply Eye\nBand\nCut\n"),
        ("categories.txt", "id,name\n0,Apply Eye\n1,Band\n2,Cut\n"),
        ("category.txt", "Apply Eye 0\nBand 1\nCut 2\n"),
        ("classes.txt", "# names\n0. Apply Eye\n1. Band\n2. Cut\n"),
        ("classes.txt", "# names\nApply Eye\nBand\nCut\n"),
        ("classes.txt", '1,"Apply Eye"\n2,"Band"\n3,"Cut"\n'),
    ],
)
def test_files_of_names(root, log, name, table):
    put(root, "Apply Eye/a.avi", "Band/b.avi", "Cut/c.avi")
    path = root.parent / name
    path.write_text(table)
    assert read_classes(path) == ["Apply Eye", "Band", "Cut"]
    named = [("Apply Eye/a.avi", "Apply Eye"), ("Cut/c.avi", "Cut")]
    from_one = opened(root, "Apply Eye/a.avi 1\nBand/b.avi 2\nCut/c.avi 3\n")
    assert [from_one[0], from_one[2]] == named
    assert f"{name} names its classes: 1 is 'Apply Eye'" in log.text
    assert opened(root, "Apply Eye/a.avi 0\nCut/c.avi 2\n") == named  # as TSN counts
    # the list of the test names folders
    classes = ["Apply Eye", "Band", "Cut"]
    assert opened(root, "Apply Eye/a.avi\nCut/c.avi\n", "test.txt", classes=classes) == named


def test_names_that_end_in_numbers(root):
    put(root, "a.mp4", "b.mp4")
    path = root.parent / "classes.txt"
    path.write_text("level 1\nlevel 2\n")
    assert read_classes(path) == ["level 1", "level 2"]
    assert opened(root, "a.mp4 0\nb.mp4 1\n") == [("a.mp4", "level 1"), ("b.mp4", "level 2")]


# --- several sequences of pictures in one folder --------------------------------------------------


def test_flow_beside_frames(root, log):
    frames(root, left_0=8)
    put(root, *(f"left_0/flow_{axis}_{k:05d}.jpg" for axis in "xy" for k in range(1, 8)))
    assert opened(root, "left_0 8 0\n") == [("left_0", "0")]
    assert "img_*.jpg are the frames; flow_x_*.jpg, flow_y_*.jpg are not used" in log.text


def test_sequences_right_in_the_folder_of_a_class(root):
    for name in ("a_1.jpg", "a_2.jpg", "b_1.jpg"):
        (root / "left").mkdir(parents=True, exist_ok=True)
        write_picture(root / "left" / name, numbered(0))
    with pytest.raises(
        ValueError, match="left holds pictures of no video; put those of each video"
    ):
        open_clips(root)


# --- stretches of videos --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (
            "path,start,end,label\na.mp4,0.0,1.5,left\na.mp4,90.5,92,right\nb.mp4,,,left\n",
            "seconds",
        ),
        ("path,t_start,t_end,label\na,0,1.5,left\na,1:30.5,0:01:32,right\nb,,,left\n", "seconds"),
        ("file,start_frame,end_frame,class\na,0,8,left\na,8,16,right\nb,,,left\n", "frames"),
    ],
)
def test_a_line_may_be_a_stretch_of_a_video(root, log, text, unit):
    put(root, "a.mp4", "b.mp4")
    opened(root, text, "list.csv")
    clips = open_clips(root, labels=root.parent / "list.csv")
    spans = {"seconds": [(0, 1.5), (90.5, 92)], "frames": [(0, 8), (8, 16)]}[unit]
    assert clips.items == (
        Item("a.mp4", 0, Span(*spans[0], unit)),
        Item("a.mp4", 1, Span(*spans[1], unit)),
        Item("b.mp4", 0),
    )
    assert clips.source(1) == Excerpt(root / "a.mp4", clips.items[1].span)
    assert clips.source(2) == root / "b.mp4"
    assert f"of its video, in {unit}" in log.text
    written = write_list(root.parent / "written.csv", clips)
    assert read_list(written, root=root, classes=clips.classes) == clips
    assert open_clips(root, labels=written) == clips


def test_both_units_are_seconds_of_files_and_frames_of_folders(root):
    put(root, "a.mp4", "b/1.jpg")
    text = "path,start,end,start_frame,end_frame,label\n{},1,2,25,50,left\n"
    for name, span in (("a", Span(1, 2, "seconds")), ("b", Span(25, 50, "frames"))):
        opened(root, text.format(name), "list.csv")
        (item,) = open_clips(root, labels=root.parent / "list.csv").items
        assert item.span == span


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,start,label\na,1,x\n", "has a column 'start', and none that is called end; a stret"),
        ("path,end_frame,label\na,1,x\n", "a column 'end_frame', and none that is called start_f"),
        (
            "path,start,end,label\na,2,1,x\n",
            "line 2, says that its clip is from '2' and '1', which",
        ),
        ("path,start,end,label\na,1,,x\n", "'1' and '', which must be two seconds, or as 1:02.5"),
        ("path,start,end,label\na,-1,1,x\n", "'-1' and '1', which must be two"),
        ("path,start_frame,end_frame,label\na,0.5,1,x\n", "'0.5' and '1', .* whole numbers"),
        ("path,start,end,label\na,0,1,x\na,0,1,y\n", r"1 video \(a.mp4 \(0 to 1 s\)\) has several"),
        ("path,start,end\na,0,1\n", "none of them is the class"),
    ],
)
def test_stretches_that_are_none(root, text, says):
    put(root, "a.mp4")
    with pytest.raises(ValueError, match=says):
        opened(root, text, "list.csv")


def test_stretches_beyond_the_end_are_broken(root, caplog):
    root.mkdir()
    write(root / "a.mp4", 40)
    text = "path,start,end,label\na,0,1,left\na,0,40,left\na,2,3,left\n"
    opened(root, text, "list.csv")
    clips = open_clips(root, labels=root.parent / "list.csv")
    rows = scan(root, names=[item.name for item in clips.items], workers=0)
    assert len(rows) == 1
    assert without_broken(clips, rows, skip=True).items == clips.items[:1]
    assert "2 of 3 videos" in caplog.text
    assert "a.mp4 is 1.6 s long, and 0 to 40 s are asked for; if these are numbers" in caplog.text
    whole = clips.select([0])
    assert clips_fingerprint(whole, rows) != fingerprint(rows)


def test_stretches_of_one_video_are_held_out_together(root, caplog):
    put(root, *(f"{k}.mp4" for k in range(10)))
    lines = [f"{k},{s},{s + 1},{'xy'[s % 2]}" for k in range(10) for s in range(4)]
    opened(root, "\n".join(["path,start,end,label", *lines]), "list.csv")
    clips = open_clips(root, labels=root.parent / "list.csv")
    kept, held_out = split_clips(clips)
    assert held_out.counts() == [4, 4]
    assert not {item.name for item in kept.items} & {item.name for item in held_out.items}
    assert {*kept.items, *held_out.items} == {*clips.items}
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    one = clips.select([k for k, item in enumerate(clips.items) if item.name == "3.mp4"])
    kept, held_out = split_clips(one)
    assert (kept.counts(), held_out.counts()) == ([1, 1], [1, 1])
    assert "clips of one video of" in caplog.text


def test_a_stretch_is_what_a_model_is_shown(root):
    root.mkdir()
    write(root / "a.mp4", 40)
    clips = ClipList(root, (Item("a.mp4", 0, Span(10, 18, "frames")),), ("x",))
    shape = ClipShape(num_frames=4, size=48, short_side=48)
    video, index, _ = read_views(clips.source(0), shape, "central")
    assert numbers(video) == [11, 13, 15, 17]
    assert index.tolist() == [1, 3, 5, 7]
    seen = TrainingClips(clips, shape)[0, 0].video
    whole = read_frames(root / "a.mp4", range(10, 18))
    assert all(any((frame == w[:, :, left : left + 48]).all() for w in whole for left in range(33))
               for frame in seen)  # fmt: skip


# --- folders --------------------------------------------------------------------------------------


def test_folders_of_flow_are_no_videos(root):
    frames(root, **{"left/a/rgb": 3, "left/a/flow_x": 3})
    with pytest.raises(
        ValueError, match=r"left/a/flow_x in .* are called as optical flow, depth or"
    ):
        open_clips(root)
