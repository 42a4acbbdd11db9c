"""Videos whose every frame says which one it is, in blocks that survive lossy coding."""

from fractions import Fraction

import av
import numpy as np
import torch

BITS = 10  # of the number, as five blocks by two
CODECS = {"mp4": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "gif": "gif"}


def numbered(index, size=(80, 48)):
    """Frame `index`: its bits as white and black blocks; uint8 (H, W, 3), size is (W, H).

    A red bar on top tells up from down and the order of the channels.
    """
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 4, :, 0] = 255
    rows = np.linspace(height // 4, height, 3).astype(int)
    columns = np.linspace(0, width, 6).astype(int)
    for bit in range(BITS):
        row, column = divmod(bit, 5)
        if index >> bit & 1:
            block = slice(rows[row], rows[row + 1]), slice(columns[column], columns[column + 1])
            picture[block] = 255
    return picture


def numbers(frames):
    """Which frames they are, (N, 3, H, W) -> list; fails where a block is neither 0 nor 1."""
    assert frames.dtype == torch.uint8
    _, channels, height, width = frames.shape
    assert channels == 3
    assert frames.permute(0, 2, 3, 1).is_contiguous()
    bar = frames[:, :, 1 : height // 4 - 1, 2:-2].double().mean((0, 2, 3)).tolist()
    assert bar[0] > 200, bar
    assert max(bar[1:]) < 60, bar
    rows = np.linspace(height // 4, height, 3).astype(int)
    columns = np.linspace(0, width, 6).astype(int)
    found = torch.zeros(len(frames), dtype=torch.int64)
    for bit in range(BITS):
        row, column = divmod(bit, 5)
        block = frames[:, 1, rows[row] + 2 : rows[row + 1] - 2]
        value = block[:, :, columns[column] + 2 : columns[column + 1] - 2].double().mean((1, 2))
        assert ((value < 64) | (value > 192)).all(), value
        found += (value > 128) << bit
    return found.tolist()


def write(
    path,
    frames=30,
    *,
    size=(80, 48),
    codec=None,
    pix_fmt=None,
    gop=12,
    b_frames=2,
    pts=None,
    container_options=None,
    sound=False,
    prepare=None,
    pictures=None,
):
    """Writes a numbered video; `pts` are times in 1/100 s where frames do not come at 25 a second.

    `prepare` is called with the stream before it is written; `pictures` take the place of numbers.
    """
    codec = codec or CODECS[path.suffix[1:]]
    options = {"g": str(gop)}
    if codec == "libx264":
        # sc_threshold: no key frames but those asked for
        options |= {"bf": str(b_frames), "sc_threshold": "0", "preset": "ultrafast", "crf": "12"}
    elif codec == "libvpx-vp9":
        options |= {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "5", "crf": "20"}
    elif codec == "mpeg4":
        options |= {"bf": str(b_frames), "qscale": "2", "sc_threshold": "1000000000"}
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt or ("rgb8" if codec == "gif" else "yuv420p")
        stream.codec_context.thread_count = 1
        if pts:
            stream.codec_context.time_base = Fraction(1, 100)
        if prepare:
            prepare(stream)
        audio = container.add_stream("aac", rate=8000) if sound else None
        if audio:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            silence.sample_rate = 8000
            container.mux(audio.encode(silence))
        for index in range(frames):
            picture = numbered(index, size) if pictures is None else pictures[index]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if pts:
                frame.pts, frame.time_base = pts[index], Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio:
            container.mux(audio.encode())
    return path


def write_picture(path, picture):
    """Writes uint8 (H, W, 3) as png or jpg."""
    jpeg = path.suffix == ".jpg"
    context = av.CodecContext.create("mjpeg" if jpeg else "png", "w")
    context.height, context.width = picture.shape[:2]
    context.pix_fmt = "yuvj444p" if jpeg else "rgb24"
    context.time_base = Fraction(1, 25)
    if jpeg:
        context.options = {"qscale": "2"}
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    path.write_bytes(b"".join(bytes(packet) for packet in context.encode(frame)))
    return path


def cut(path, share, name=None):
    """Keeps the first part of a file, under another name."""
    target = path.with_name(name or f"cut_{path.name}")
    content = path.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target
