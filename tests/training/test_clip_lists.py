"""Which videos a run learns from and holds out, and what is said of those that it should not."""

import logging
import shutil

import pytest

from interlace.training.tasks.clip_lists import find_clips, run_clips
from interlace.training.tasks.clip_options import ClipDataOptions
from videos import write


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "clips"
    root.mkdir()
    for k, name in enumerate(("a", "b", "c", "d")):
        write(root / f"{name}.mp4", 4 + k)
    return root


def options(root, text=None, **others):
    if text is not None:
        (root.parent / "list.csv").write_text(text)
        others["labels"] = str(root.parent / "list.csv")
    return ClipDataOptions(path=str(root), workers=0, **others)


def names(clips):
    return [item.name for item in clips.items]


def test_what_is_marked_dev_is_held_out(root, caplog):
    caplog.set_level(logging.INFO)
    text = "path,label,split\na.mp4,x,train\nb.mp4,x,train\nc.mp4,x,dev\nd.mp4,x,test\n"
    train, held_out = find_clips(options(root, text))
    assert (names(train), names(held_out)) == (["a.mp4", "b.mp4"], ["c.mp4"])
    assert "marked test is left for `interlace evaluate" in caplog.text
    with pytest.raises(ValueError, match=r"list\.csv has test and nothing to train on; mark some"):
        find_clips(options(root, "path,label,split\na.mp4,x,test\nb.mp4,x,test\n"))


def test_the_same_file_twice_is_told(root, caplog, tmp_path):
    shutil.copy(root / "a.mp4", root / "e.mp4")
    shutil.copy(root / "a.mp4", root / "f.mp4")
    lines = ["a.mp4,x,train", "b.mp4,y,train", "e.mp4,y,train", "c.mp4,x,val", "f.mp4,x,val"]
    run_clips(options(root, "\n".join(["path,label,split", *lines])), tmp_path / "run")
    assert [record.message for record in caplog.records[-3:]] == [
        "3 of 5 videos are the same as another (equal checksums): a.mp4 = e.mp4 = f.mp4",
        "of these, 3 are of two classes, x and y: a.mp4 = e.mp4 = f.mp4",
        "of these, 3 are in train and in held out: a.mp4 = e.mp4 = f.mp4",
    ]
    caplog.clear()
    (root.parent / "more.csv").write_text("b.mp4,y\nd.mp4,y\n")
    more = options(root, "a.mp4,x\nb.mp4,y\n", held_out_labels=str(root.parent / "more.csv"))
    run_clips(more, tmp_path / "more")
    assert "of these, 2 are in train and in held out: b.mp4 = b.mp4" in caplog.text
