import hashlib
import os
import shutil

import pytest

from interlace.commands.cli import main
from interlace.data.clips import scan as scanning
from interlace.data.clips.manifest import Entry, fingerprint, read_manifest, write_manifest
from interlace.data.clips.scan import scan
from interlace.data.video.read import VideoError
from interlace.data.video.sources import find_videos
from videos import cut, numbered, write, write_picture


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good and broken videos, and what is none."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("class b", "class a", "frames/10", "frames/9", ".hidden"):
        (root / name).mkdir(parents=True)
    write(root / "class a" / "10.webm", 12)
    write(root / "class a" / "9.mp4", 15)
    write(root / "class b" / "x.avi", 5, size=(64, 32))
    cut(write(root / ".hidden" / "y.mp4", 9), 0.5).rename(root / "class b" / "truncated.mp4")
    (root / "class b" / "empty.mp4").touch()
    (root / "class b" / "page.webm").write_text("<html>not found</html>" * 20)
    (root / "class b" / "notes.txt").write_text("no video")
    for name in ("9", "10"):
        for index in range(3):
            write_picture(root / "frames" / name / f"{index}.jpg", numbered(index, (80, 40)))
    (root / "frames" / "10" / "1.jpg").write_bytes(b"")
    write_picture(root / "preview.png", numbered(0))  # beside folders: no frame of a video
    (root / "class a" / "back").symlink_to(root)
    return root


NAMES = [
    "class a/9.mp4",
    "class a/10.webm",
    "class b/empty.mp4",
    "class b/page.webm",
    "class b/truncated.mp4",
    "class b/x.avi",
    "frames/9",
    "frames/10",
]


def test_what_is_found(folder, tmp_path):
    assert find_videos(folder) == NAMES
    assert find_videos(folder / "frames" / "9") == ["."]
    assert find_videos(folder / "class a" / "9.mp4") == ["9.mp4"]
    with pytest.raises(VideoError, match="holds no videos: no files"):
        find_videos(tmp_path)
    with pytest.raises(VideoError, match="does not exist"):
        scan(tmp_path / "none")


@pytest.mark.parametrize("workers", [0, 2])
def test_every_video_is_decoded_and_broken_ones_are_listed(folder, workers):
    rows = scan(folder, workers=workers)
    assert [row.path for row in rows] == NAMES
    by_name = {row.path: row for row in rows}
    content = (folder / "class a" / "9.mp4").read_bytes()
    assert by_name["class a/9.mp4"] == Entry(
        "class a/9.mp4", 15, 25.0, 80, 48, "h264", sha256(content)
    )
    assert by_name["class a/10.webm"].frames == 12
    assert by_name["class b/x.avi"].frames == 5
    frames = by_name["frames/9"]
    assert (frames.frames, frames.rate, frames.width, frames.codec) == (3, 0, 80, "mjpeg")
    errors = {row.path: row.error for row in rows if row.error}
    assert {name: error.split(";")[0] for name, error in errors.items()} == {
        "class b/empty.mp4": "class b/empty.mp4 is empty",
        "class b/page.webm": "class b/page.webm cannot be read as a video (Invalid data found when "
        "processing input)",
        "class b/truncated.mp4": errors["class b/truncated.mp4"].split(";")[0],
        "frames/10": "frames/10/1.jpg is empty",
    }
    assert "truncated: it has" in errors["class b/truncated.mp4"]
    for name in errors:
        row = by_name[name]
        assert (row.frames, row.width, row.codec) == (0, 0, "")
        assert len(row.checksum) == 64


def kill_on(root, name):
    """In place of `scan_one`, in a worker: one video ends the process."""
    if name == "class a/10.webm":
        os._exit(1)
    return Entry(name, frames=1)


def test_a_video_that_kills_its_decoder_is_listed(folder, monkeypatch):
    monkeypatch.setattr(scanning, "scan_one", kill_on)
    rows = scan(folder, workers=1)
    assert [row.path for row in rows] == NAMES
    errors = [row for row in rows if row.error]
    assert [row.path for row in errors] == ["class a/10.webm"]
    assert "kills its decoder" in errors[0].error


def fail(_):
    raise RuntimeError("as in a script without a guard, which would start processes for ever")


def test_workers_that_do_not_start(folder, monkeypatch):
    monkeypatch.setattr(scanning.torch, "set_num_threads", fail)
    with pytest.raises(OSError, match=r"__main__.*or scan with workers=0"):
        scan(folder, workers=1)
    with pytest.raises(ValueError, match="workers must be from 0"):
        scan(folder, workers=-1)


# --- manifests ------------------------------------------------------------------------------------

ROWS = [
    Entry("a, b/ü.mp4", 10, 29.97, 320, 240, "h264", "ab" * 32),
    Entry('quote".mp4', checksum="cd" * 32, error='quote".mp4 is empty; two\nlines'),
]


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    path = write_manifest(tmp_path / "new" / "m.csv", ROWS)
    assert read_manifest(path) == ROWS
    assert path.read_text().splitlines()[0] == (
        "path,frames,rate,width,height,codec,checksum,error"
    )
    assert [p.name for p in path.parent.iterdir()] == ["m.csv"]


HEADER = "path,frames,rate,width,height,codec,checksum,error\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must have the columns path, frames"),
        ("path,frames\na,1\n", "must have the columns"),
        (f"{HEADER}a,x,1,2,3,c,d,\n", "line 2: .*'x'"),
        (f"{HEADER}a,1,1,2,3,c,d,,\n", "line 2: 9 columns"),
        (f"{HEADER}a,1\n", "line 2: 2 columns"),
    ],
)
def test_what_is_no_manifest_is_named(tmp_path, content, message):
    (tmp_path / "m.csv").write_text(content)
    with pytest.raises(VideoError, match=rf"{tmp_path}/m.csv.*{message}.*interlace scan"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(VideoError, match=r"no manifest .*none.csv"):
        read_manifest(tmp_path / "none.csv")


def test_the_fingerprint_is_of_the_videos_alone():
    first = fingerprint(ROWS)
    assert len(first) == 64
    assert fingerprint(ROWS[::-1]) == first
    renamed = ROWS[1]._replace(error="said otherwise")
    assert fingerprint([ROWS[0], renamed]) == first
    for change in ({"path": "c.mp4"}, {"frames": 11}, {"checksum": "ee" * 32}):
        assert fingerprint([ROWS[0]._replace(**change), ROWS[1]]) != first
    assert fingerprint(ROWS[:1]) != first


def test_the_command(folder, tmp_path, capsys):
    out = tmp_path / "m.csv"
    assert main(["scan", str(folder), "--out", str(out), "--workers", "0"]) == 0
    rows = read_manifest(out)
    assert [row.path for row in rows] == NAMES
    said = capsys.readouterr().out
    assert "4 videos with 35 frames" in said
    assert "4 cannot be read" in said
    assert "class b/empty.mp4 is empty" in said
    assert fingerprint(rows) in said
    assert str(out) in said
    assert main(["scan", str(tmp_path / "none")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_the_same_file_twice(tmp_path, capsys):
    for name in ("left/a.mp4", "right/c.mp4", "left/d.mp4"):
        (tmp_path / "v" / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "v" / "train" / name, 5 if name == "left/d.mp4" else 4)
    for name in ("train/left/b.mp4", "val/left/e.mp4"):
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "v" / "train" / "left" / "a.mp4", tmp_path / "v" / name)
    for name in ("x", "y"):
        (tmp_path / "v" / "train" / "left" / f"{name}.mp4").touch()  # broken, not copies
    assert main(["scan", str(tmp_path / "v"), "--out", str(tmp_path / "m"), "--workers", "0"]) == 0
    said = capsys.readouterr().out.splitlines()
    four = "train/left/a.mp4 = train/left/b.mp4 = train/right/c.mp4 = ..."
    assert f"4 of 5 videos are the same as another (equal checksums): {four}" in said
    assert f"of these, 4 are of two classes, left and right: {four}" in said
    assert f"of these, 4 are in train and in validation: {four}" in said


@pytest.mark.data
def test_real_clips(data_dir):
    rows = {row.path: row for row in scan(data_dir / "videos", workers=0)}
    assert not any(row.error for row in rows.values())
    assert rows["test.avi"].frames == 164
    assert rows["cat.mp4"].checksum == sha256((data_dir / "videos" / "cat.mp4").read_bytes())
    known = {"apple.mp4": 10, "cat.mp4": 20, "test.avi": 25, "mmaction2__demo.mp4": 28}
    assert {path: rows[path].rate for path in known} == known
