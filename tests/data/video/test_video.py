import gc
import io
import os
import sys
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from interlace.data.video import VideoError, check_video, read_frames, video_info
from interlace.data.video import file as video_file
from interlace.data.video import folder as video_folder
from interlace.data.video.file import read_file
from interlace.data.video.sources import find_videos
from videos import cut, numbered, numbers, write, write_picture

# times in 1/100 s: frames that last 0.01 s, and frames that last 0.3 s
UNEVEN = np.random.default_rng(0).integers(1, 30, 40).cumsum().tolist()
FILES = {
    "mp4": ("a.mp4", {}),
    "no b-frames": ("a.mp4", {"b_frames": 0}),
    "deep b-frames": ("a.mp4", {"b_frames": 7}),
    "one group": ("a.mp4", {"gop": 500}),
    "key frames only": ("a.mp4", {"gop": 1}),
    "uneven": ("a.mp4", {"pts": UNEVEN}),
    "odd": ("a.mp4", {"size": (81, 47), "pix_fmt": "yuv444p"}),
    "odd with halved colour": ("a.webm", {"size": (83, 45)}),
    "fragments": ("a.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "sound": ("a.mp4", {"sound": True}),
    "webm": ("a.webm", {}),
    "uneven webm": ("a.webm", {"pts": UNEVEN}),
    "mkv": ("a.mkv", {"pts": UNEVEN}),
    "avi": ("a.avi", {"b_frames": 0}),
    "avi with b-frames": ("a.avi", {}),
    "avi with h264": ("a.avi", {"codec": "libx264"}),
    "transport stream": ("a.ts", {"codec": "libx264"}),
    "gif": ("a.gif", {}),
    "odd gif": ("a.gif", {"size": (81, 47)}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    written = {}
    for name, (path, options) in FILES.items():
        (folder / name).mkdir()
        written[name] = write(folder / name / path, 40, **options)
    return written


@pytest.mark.parametrize("name", FILES)
def test_every_frame_is_the_one_asked_for_and_the_same_by_every_way(files, name):
    path = files[name]
    every = read_frames(path)
    assert numbers(every) == list(range(40))
    width, height = FILES[name][1].get("size", (80, 48))
    assert every.shape == (40, 3, height, width)
    for chosen in ([39], [0], [20, 3, 3, 39, 0, 11, 12, 13], [17, 16], list(range(39, -1, -3))):
        for seek in (None, True, False):
            assert torch.equal(read_file(path, chosen, seek=seek), every[chosen])
    assert torch.equal(read_frames(path, lambda frames: range(frames - 3, frames)), every[-3:])
    assert torch.equal(read_frames(path, torch.tensor([5, 1])), every[[5, 1]])
    assert read_frames(path, []).shape == (0, 3, height, width)

    info = video_info(path)
    assert (info.frames, info.width, info.height) == (40, width, height)
    assert info.pixel_aspect == 1
    assert check_video(path) == info
    if "uneven" not in name and name != "mkv":
        assert info.rate == pytest.approx(25, rel=0.01)


def test_what_a_file_says_of_itself(files):
    codecs = {"mp4": "h264", "webm": "vp9", "avi": "mpeg4", "gif": "gif"}
    for name, codec in codecs.items():
        assert video_info(files[name]).codec.removeprefix("lib").startswith(codec)
    seconds = (UNEVEN[-1] - UNEVEN[0]) / 100
    assert video_info(files["uneven"]).rate == pytest.approx(39 / seconds, rel=0.1)


def test_frames_come_as_the_decoder_gives_them(files):
    """Compared with PyAV used as its manual says."""
    with av.open(str(files["mp4"])) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.array_equal(read_frames(files["mp4"]).permute(0, 2, 3, 1).numpy(), expected)


def count_decoded(monkeypatch):
    """Frames that the ways of `read_file` look at."""
    seen = []
    opened = video_file._opened

    class Counted:
        def __init__(self, container):
            self.container = container

        def __getattr__(self, name):
            return getattr(self.container, name)

        def decode(self, stream):
            for frame in self.container.decode(stream):
                seen.append(frame.pts)
                yield frame

    @video_file.contextmanager
    def counting(path):
        with opened(path) as (container, stream):
            yield Counted(container), stream

    monkeypatch.setattr(video_file, "_opened", counting)
    return seen


def test_long_files_are_sought_in_and_short_ones_are_not(tmp_path, monkeypatch):
    long = write(tmp_path / "long.mp4", 600)
    seen = count_decoded(monkeypatch)
    assert numbers(read_frames(long, [590, 5, 300])) == [590, 5, 300]
    assert len(seen) == (590 - 588 + 1) + (5 + 1) + 1
    seen.clear()
    assert numbers(read_frames(long, range(0, 600, 7))) == list(range(0, 600, 7))
    assert seen == sorted(seen)
    assert len(seen) == 596


def test_a_seek_that_leads_elsewhere_is_noticed(files, monkeypatch):
    """A table with a key frame that is none, and a frame that does not exist."""
    path = files["mp4"]
    expected = read_frames(path, [30])
    table = video_file._table(path)
    key = table.pts[29]
    assert key not in table.keys
    lied = replace(table, keys=sorted([*table.keys, key]))
    monkeypatch.setattr(video_file, "_table", lambda _: lied)
    assert torch.equal(read_file(path, [30], seek=True), expected)
    wrong = replace(table, pts=[pts + 1 for pts in table.pts])
    monkeypatch.setattr(video_file, "_table", lambda _: wrong)
    for seek in (True, False):
        assert torch.equal(read_file(path, [30], seek=seek), expected)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_and_mirroring_are_applied(tmp_path, suffix, rotation, mirrored):
    upright = numbered(0b0100110101, (96, 64))
    upright[:, :20] = (0, 0, 255)  # blue on the left
    # what is stored must be turned counter-clockwise, then mirrored, to be upright
    stored = np.rot90(upright[:, ::-1] if mirrored else upright, -rotation // 90).copy()

    def prepare(stream):
        stream.set_display_rotation(rotation, hflip=mirrored)

    size = stored.shape[1::-1]
    path = tmp_path / f"a.{suffix}"
    write(path, 3, size=size, prepare=prepare, pictures=[stored] * 3)
    info = video_info(path)
    assert (info.width, info.height) == (96, 64)
    difference = read_frames(path)[1].permute(1, 2, 0).numpy().astype(int) - upright
    assert abs(difference).mean() < 8


def two_streams(path, dispositions=(0, 0)):
    """The first of 80 x 48 pixels, and at half its rate another of 160 x 96."""
    with av.open(str(path), "w") as container:
        streams = []
        for rate, size, disposition in zip(
            (20, 10), ((80, 48), (160, 96)), dispositions, strict=True
        ):
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt, stream.disposition = "yuv420p", disposition
            streams.append((stream, size, 20 // rate))
        for index in range(20):
            for stream, size, every in streams:
                if index % every == 0:
                    picture = numbered(index // every, size)
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                    container.mux(stream.encode(frame))
        for stream, *_ in streams:
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_of_several_streams_the_largest_is_read(tmp_path, suffix):
    path = two_streams(tmp_path / f"a.{suffix}")
    info = video_info(path)
    assert (info.frames, info.width, info.height) == (10, 160, 96)
    assert check_video(path) == info
    assert numbers(read_frames(path)) == list(range(10))
    assert numbers(read_file(path, [7, 2], seek=True)) == [7, 2]


def test_of_several_streams_a_default_is_read(tmp_path):
    marked = two_streams(tmp_path / "a.mkv", dispositions=(1, 0))
    first = two_streams(tmp_path / "a.mp4")  # in which the first is one, where none is said to be
    for path in (marked, first):
        assert video_info(path).width == 80
        assert numbers(read_frames(path)) == list(range(20))


def test_one_frame(tmp_path):
    for name in ("a.mp4", "a.webm", "a.avi", "a.gif"):
        path = write(tmp_path / name, 1)
        assert video_info(path).frames == 1
        assert numbers(read_frames(path, [0, 0])) == [0, 0]
        with pytest.raises(VideoError, match=r"1 frames?, 0 to 0, and frame 1"):
            read_frames(path, [1])


def test_pixel_aspect_is_told(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(64, 51)

    path = write(tmp_path / "a.mp4", 2, prepare=prepare)
    assert video_info(path).pixel_aspect == pytest.approx(64 / 51)
    assert read_frames(path).shape == (2, 3, 48, 80)


def test_frames_that_are_cut_off_by_an_edit_list_do_not_count(tmp_path):
    """A packet copy from a group's middle: what precedes it is decoded and not shown."""
    path = write(tmp_path / "a.mp4", 40, gop=20)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mp4"), "w") as target:
        old = source.streams.video[0]
        new = target.add_stream_from_template(old)
        offset = 4 * 512
        for packet in source.demux(old):
            if packet.size:
                packet.pts -= offset
                packet.dts -= offset
                packet.stream = new
                target.mux(packet)
    info = video_info(tmp_path / "b.mp4")
    every = numbers(read_frames(tmp_path / "b.mp4"))
    assert every == list(range(40 - info.frames, 40))
    assert numbers(read_file(tmp_path / "b.mp4", [25, 2], seek=True)) == [every[25], every[2]]


@pytest.mark.parametrize("name", ["a:b.mp4", "50%d.mp4", "übung №1.mp4", "concat:x", "no_suffix"])
def test_any_name_of_a_file(files, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(files["mp4"].read_bytes())
    assert numbers(read_frames(str(path), [7])) == [7]


def test_a_wrong_suffix_of_a_video_does_no_harm(files, tmp_path):
    path = tmp_path / "a.webm"
    path.write_bytes(files["mp4"].read_bytes())
    assert numbers(read_frames(path, [7])) == [7]


# --- folders and arrays ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_folder_of_frames_in_the_order_people_count(tmp_path, suffix):
    for index in range(12):
        write_picture(tmp_path / f"frame{index}.{suffix}", numbered(index, (81, 47)))
    (tmp_path / "._frame3.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "notes.txt").write_text("not a frame")
    info = video_info(tmp_path)
    assert (info.frames, info.width, info.height, info.rate) == (12, 81, 47, None)
    assert info.codec == {"png": "png", "jpg": "mjpeg"}[suffix]
    assert check_video(tmp_path) == info
    assert numbers(read_frames(tmp_path)) == list(range(12))
    assert numbers(read_frames(tmp_path, [11, 2, 10, 2])) == [11, 2, 10, 2]
    assert read_frames(tmp_path, []).shape == (0, 3, 47, 81)
    if suffix == "png":
        assert np.array_equal(read_frames(tmp_path)[5].permute(1, 2, 0), numbered(5, (81, 47)))


def test_names_that_differ_in_more_than_their_number_are_other_sequences(tmp_path):
    for index in range(4):
        write_picture(tmp_path / f"img_{index}.jpg", numbered(index))
        write_picture(tmp_path / f"flow_x_{index}.jpg", numbered(9))
    write_picture(tmp_path / "thumbnail.jpg", numbered(9))
    assert video_info(tmp_path).frames == 4
    assert numbers(read_frames(tmp_path)) == [0, 1, 2, 3]
    write_picture(tmp_path / "frame_0.jpg", numbered(9))
    for call in (video_info, check_video, read_frames):
        with pytest.raises(VideoError, match=r"holds 4 sequences of pictures.*: flow_x_\*\.jpg, f"):
            call(tmp_path)


@pytest.mark.parametrize(
    ("names", "sequences"),
    [
        (["0001.jpg", "0002.JPG", "0010.jpeg"], 1),
        (["12-00-59.png", "12-01-00.png"], 1),
        (["frame_0001_0.033.png", "frame_0002_0.066.png"], 1),
        (["cam1_0001.png", "cam1_0002.png", "cam2_0001.png"], 2),
        (["0001_rgb.png", "0001_depth.png"], 2),
        (["cat.png", "dog.png"], 2),
    ],
)
def test_sequences_by_their_names(tmp_path, names, sequences):
    for name in names:
        (tmp_path / name).touch()
    assert len(video_folder.list_sequences(tmp_path)) == sequences


@pytest.mark.parametrize("suffix", ["bmp", "webp", "tif", "tiff", "png"])
def test_pictures_of_other_kinds_are_frames(tmp_path, suffix):
    for index in range(3):
        picture = Image.fromarray(numbered(index, (81, 47)))
        picture.save(
            tmp_path / f"{index}.{suffix}", **({"lossless": True} if suffix == "webp" else {})
        )
    info = video_info(tmp_path)
    assert (info.frames, info.width, info.height) == (3, 81, 47)
    expected = torch.tensor(np.stack([numbered(index, (81, 47)) for index in range(3)]))
    assert torch.equal(read_frames(tmp_path).permute(0, 2, 3, 1), expected)
    assert find_videos(tmp_path) == ["."]
    for share in (0.9, 0.4, 0):
        cut(tmp_path / f"0.{suffix}", share, f"1.{suffix}")
        with pytest.raises(VideoError, match=rf"{tmp_path}/1.{suffix} .* again"):
            read_frames(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_a_picture_is_turned_as_a_camera_says(tmp_path, suffix, orientation, turns):
    upright = numbered(0b0100110101, (96, 64))
    upright[:, :20] = (0, 0, 255)
    said = Image.Exif()
    said[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if suffix == "tif" else {"exif": said}
    picture = Image.fromarray(np.rot90(upright, turns).copy())  # to be turned clockwise
    picture.save(tmp_path / f"0.{suffix}", **options)
    difference = read_frames(tmp_path)[0].permute(1, 2, 0).numpy().astype(int) - upright
    assert abs(difference).mean() < 8


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    with pytest.raises(VideoError, match=rf"{tmp_path} holds no frames; put pictures"):
        video_info(tmp_path)
    for index in range(3):
        write_picture(tmp_path / f"{index}.jpg", numbered(index))
    with pytest.raises(VideoError, match=r"3 frames, 0 to 2, and frame 3"):
        read_frames(tmp_path, [3])
    write_picture(tmp_path / "2.jpg", numbered(2, (64, 48)))
    with pytest.raises(VideoError, match=r"frame 2 of .* has 64x48 pixels, .* 80x48"):
        read_frames(tmp_path)
    with pytest.raises(VideoError, match=r"frame 2 of .* has 64x48 pixels, .* 80x48"):
        check_video(tmp_path)
    assert numbers(read_frames(tmp_path, [0, 1])) == [0, 1]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("share", [0, 0.2, 0.7])
def test_a_truncated_picture_is_named(tmp_path, suffix, share):
    write_picture(tmp_path / f"0.{suffix}", numbered(0))
    cut(write_picture(tmp_path / f"1.{suffix}", numbered(1)), share, f"1.{suffix}")
    with pytest.raises(VideoError, match=rf"{tmp_path}/1.{suffix} .* again"):
        read_frames(tmp_path)
    with pytest.raises(VideoError, match=rf"{tmp_path}/1.{suffix} .* again"):
        check_video(tmp_path)


def test_arrays():
    clip = np.stack([numbered(index) for index in range(6)])
    clip.setflags(write=False)
    first = clip.transpose(0, 3, 1, 2)  # channels
    arrays = [clip, torch.tensor(clip), clip[:, ::-1, ::-1][:, ::-1, ::-1], first]
    for array in (*arrays, torch.tensor(first), torch.tensor(first.copy()), read_frames(clip)):
        info = video_info(array)
        assert (info.name, info.frames, info.width, info.height) == ("array", 6, 80, 48)
        assert numbers(read_frames(array, [4, 4, 1])) == [4, 4, 1]
        assert numbers(read_frames(array)) == list(range(6))
        assert check_video(array) == info
    with pytest.raises(VideoError, match="frame 6 was asked for"):
        read_frames(clip, [6])
    with pytest.raises(VideoError, match=r"uint8 \(T, H, W, 3\), or \(T, 3, H, W\), got float32"):
        read_frames(clip.astype(np.float32))
    with pytest.raises(VideoError, match=r"got torch.uint8 \(3, 6, 48, 80\)"):
        video_info(torch.tensor(clip).permute(3, 0, 1, 2))
    with pytest.raises(VideoError, match="no frames"):
        video_info(clip[:0])


def test_channels_are_last_where_they_may_be_either():
    clip = torch.randint(256, (4, 3, 5, 3), dtype=torch.uint8)
    assert torch.equal(read_frames(clip), clip.permute(0, 3, 1, 2))


@pytest.mark.parametrize("name", ["mp4", "webm", "avi", "gif", "transport stream"])
def test_a_file_in_memory_is_the_file(files, name):
    path = files[name]
    content, expected = path.read_bytes(), replace(video_info(path), name="bytes")
    for held in (content, bytearray(content), memoryview(content)):
        assert video_info(held) == expected
    assert check_video(content) == expected
    assert torch.equal(read_frames(content, [39, 0, 7]), read_frames(path, [39, 0, 7]))
    with path.open("rb") as file:
        for _ in range(2):  # from its start, wherever it was read to
            assert video_info(file) == replace(expected, name=str(path))
            assert torch.equal(read_frames(file, [5]), read_frames(path, [5]))
    assert numbers(read_frames(io.BytesIO(content), [3])) == [3]


def test_what_is_wrong_with_a_file_in_memory_is_said(files):
    content = files["mp4"].read_bytes()
    with pytest.raises(VideoError, match="bytes is truncated: "):
        read_frames(content[:-100])
    with pytest.raises(VideoError, match="bytes is empty"):
        read_frames(b"")
    with pytest.raises(VideoError, match="bytes cannot be read as a video"):
        read_frames(b"no video" * 99)
    with (
        files["mp4"].open(encoding="latin-1") as file,
        pytest.raises(VideoError, match=r"a\.mp4 is open as text; open it with .*'rb'"),
    ):
        read_frames(file)
    with pytest.raises(VideoError, match="int is no video; give a path, frames or bytes"):
        read_frames(5)


def test_pictures_of_pil_are_frames():
    pictures = [Image.fromarray(numbered(index)) for index in range(4)]
    assert numbers(read_frames(pictures, [3, 0])) == [3, 0]
    assert numbers(read_frames(tuple(pictures))) == [0, 1, 2, 3]
    assert video_info(pictures).frames == 4
    grey = [picture.convert("L") for picture in pictures]
    assert torch.equal(read_frames(grey)[:, 0], read_frames(grey)[:, 2])
    with pytest.raises(VideoError, match="frame 2 of the pictures has 20x48 pixels"):
        read_frames([*pictures[:2], pictures[2].resize((20, 48))])
    with pytest.raises(VideoError, match="one picture is no video; give a list of its frames"):
        read_frames(pictures[0])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.jpg", "it is one picture: name the folder of all frames, or a video file"),
        ("last.ckpt", "it holds a model: give that as the weights, and here a video"),
        ("a.bin", "if it is one, copy or download it again"),
    ],
)
def test_what_is_named_in_place_of_a_video_is_told_what_to_do(tmp_path, name, says):
    write_picture(tmp_path / "a.jpg", numbered(1)).rename(tmp_path / name)
    with pytest.raises(VideoError, match=rf"{name} cannot be read as a video .*; {says}"):
        read_frames(tmp_path / name)


# --- what cannot be read --------------------------------------------------------------------------


def audio_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def no_frames(path):
    """An mp4 with its header, and nothing of its pictures."""
    write(path, 3, container_options={"movflags": "frag_keyframe+empty_moov"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moof") - 4])


def html(path):
    path.write_text("<html>Too many requests</html>" * 50)


def playlist(path):
    path.write_text("#EXTM3U\n#EXTINF:1,\nb.ts\n")


BROKEN = {
    "missing": ("a.mp4", lambda path: None, "does not exist; check"),
    "empty": ("a.mp4", lambda path: path.write_bytes(b""), "is empty; copy"),
    "a web page": ("a.mp4", html, "cannot be read as a video .*again"),
    "text": ("a.txt", html, "cannot be read as a video"),
    "a playlist": ("a.mp4", playlist, "cannot be read"),
    "a picture": ("a.png", lambda path: write_picture(path, numbered(3)), "cannot be read as a v"),
    "noise": ("a.webm", lambda p: p.write_bytes(np.random.default_rng(0).bytes(9999)), "be read"),
    "only sound": ("a.mp4", audio_only, "holds no video, only audio"),
    "no frames": ("a.mp4", no_frames, "holds no frames"),
}


@pytest.mark.parametrize(("name", "make", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_video_is_named(tmp_path, name, make, message):
    make(tmp_path / name)
    for call in (video_info, check_video, lambda p: read_frames(p, [0]), read_frames):
        with pytest.raises(VideoError, match=message) as caught:
            call(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert ";" in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["mp4", "fragments", "webm", "mkv", "avi", "gif"])
def test_a_truncated_file_is_named(files, tmp_path, name, share):
    path = tmp_path / files[name].name
    path.write_bytes(files[name].read_bytes())
    path = cut(path, share)
    for call in (video_info, check_video, lambda p: read_frames(p, [0])):
        with pytest.raises(VideoError, match=rf"{path} is truncated: .*again"):
            call(path)


def test_a_file_that_may_not_be_read_is_named(files, tmp_path, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    write_picture(tmp_path / "0.png", numbered(0))
    monkeypatch.setattr(video_file, "check_whole", deny)
    monkeypatch.setattr(video_folder, "check_whole", deny)
    for path in (files["mp4"], tmp_path):
        with pytest.raises(VideoError, match=rf"{path}.* cannot be read as .* .Permission denied"):
            read_frames(path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="neither a file nor a folder"):
        read_frames(tmp_path / "pipe.mp4")


def test_junk_after_the_end_does_no_harm(files, tmp_path):
    for name in ("mp4", "webm", "avi", "gif"):
        path = tmp_path / files[name].name
        path.write_bytes(files[name].read_bytes() + bytes(100))
        assert numbers(read_frames(path, [39])) == [39]


def test_a_damaged_frame_is_named_and_others_are_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 80, 3), np.uint8)
    path = write(tmp_path / "a.mp4", 40, gop=10, pictures=noise)
    expected = read_frames(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(range(40))
    path.write_bytes(content)
    message = rf"frame \d+ of {path} (is damaged|cannot be decoded)"
    for call in (check_video, read_frames):
        with pytest.raises(VideoError, match=message):
            call(path)
    assert torch.equal(read_frames(path, [3, 2]), expected[[3, 2]])
    assert torch.equal(read_file(path, [38], seek=True), expected[[38]])


@pytest.mark.parametrize("name", ["mp4", "webm", "avi", "gif"])
@pytest.mark.parametrize("index", [40, 10**9, -1])
def test_frames_beyond_the_end(files, name, index):
    with pytest.raises(VideoError, match=rf"40 frames, 0 to 39, and frame {index} was asked for"):
        read_frames(files[name], [3, index])


def test_indices_must_be_whole_numbers(files):
    with pytest.raises(ValueError, match="whole numbers"):
        read_frames(files["mp4"], [0.5])
    with pytest.raises(ValueError, match="whole numbers"):
        read_frames(files["mp4"], lambda frames: np.linspace(0, frames - 1, 4))


def test_without_pyav_the_message_says_how_to_install_it(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "interlace\[video\]"'):
        read_frames(files["mp4"])


# --- memory, processes, real clips ----------------------------------------------------------------


def resident():
    """Megabytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_reading_many_videos_keeps_nothing(tmp_path):
    """Four frames are 0.7 MB, a decoder is more: 200 of either would be seen."""
    path = write(tmp_path / "a.mp4", 12, size=(320, 192))
    broken = cut(path, 0.9)
    before = 0.0
    for turn in range(230):
        if turn == 30:
            before = resident()
        read_file(path, [0, 3, 11, 3], seek=turn % 2 == 0)
        with pytest.raises(VideoError):
            read_frames(broken)
    assert resident() - before < 40


class Readings(torch.utils.data.Dataset):
    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return read_frames(self.path, [index, 39 - index])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["mp4", "webm", "avi", "gif", "folder"])
def test_reading_leaves_no_threads_and_little_garbage(files, tmp_path, name):
    path = files.get(name, tmp_path)
    write_picture(tmp_path / "0.jpg", numbered(0, (640, 480)))
    read_frames(path, [0])
    gc.collect()
    gc.disable()
    try:
        threads, before = len(os.listdir("/proc/self/task")), len(gc.get_objects())
        for _ in range(10):
            read_frames(path, [0])
            video_info(path)
        assert len(os.listdir("/proc/self/task")) == threads
        assert len(gc.get_objects()) - before < 300
        alive = [frame for frame in gc.get_objects() if type(frame) is av.VideoFrame]
        assert all(frame.width == 16 for frame in alive)
    finally:
        gc.enable()


def test_forked_workers_read_what_this_process_reads(files):
    readings = Readings(files["mp4"])
    here = [readings[index] for index in range(4)]
    loader = torch.utils.data.DataLoader(
        readings, batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=60
    )
    there = list(loader)
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "frames", "size", "rate", "codec"),
    [
        ("arm_wrestling.mp4", 280, (340, 256), 28, "h264"),
        ("cat.mp4", 87, (368, 480), 20, "h264"),
        ("apple.mp4", 50, (1296, 720), 10, "h264"),
        ("test.avi", 164, (320, 240), 25, "mpeg4"),
    ],
)
def test_real_clips(data_dir, name, frames, size, rate, codec):
    path = data_dir / "videos" / name
    info = check_video(path)
    assert (info.frames, (info.width, info.height), info.rate) == (frames, size, rate)
    assert info.codec == codec
    chosen = [frames - 1, 0, frames // 2, frames // 3]
    with av.open(str(path)) as container:
        expected = {
            index: torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
            for index, frame in enumerate(container.decode(video=0))
            if index in chosen
        }
    for seek in (True, False):
        read = read_file(path, chosen, seek=seek)
        assert all(torch.equal(read[k], expected[index]) for k, index in enumerate(chosen))
