"""The frames of a video file, each exactly, by the cheapest way that is sure to find it.

Frame i is the i-th that is shown. Its timestamp (pts) says which that is, where the file has one
for every frame; then one may also seek. Otherwise frames are counted from the start.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any, TypeVar

from torch import Tensor

from interlace.data.video.excerpt import Span, moments
from interlace.data.video.folder import PICTURES
from interlace.data.video.indices import Choose, beyond, check_size, chosen, collect
from interlace.data.video.info import VideoError, VideoInfo, need_av
from interlace.data.video.memory import FileInMemory
from interlace.data.video.truncation import check_whole
from interlace.data.video.upright import Upright

_AGAIN = "copy or download it again, or write it anew with ffmpeg"
_PICTURE = "it is one picture: name the folder of all frames, or a video file"
_WEIGHTS = "it holds a model: give that as the weights, and here a video"
_OTHERS = {  # suffixes of what may be named by mistake -> what to do
    **dict.fromkeys(PICTURES, _PICTURE),
    **dict.fromkeys((".safetensors", ".ckpt", ".pt", ".pth", ".onnx"), _WEIGHTS),
}
# What is opened: no playlists, which name other files, and no pictures or texts
_FORMATS = (
    "mov,matroska,avi,gif,apng,mpegts,mpeg,mpegvideo,flv,asf,ogg,nut,mxf,ivf,h264,hevc,m4v,"
    "mp3,wav,flac,aac"  # to say that they are audio
)
_SEEKABLE = ("mov", "matroska")  # formats whose key frames are marked, and found by timestamp
File = Path | FileInMemory
Frames = Iterator[tuple[int, Any]]
Groups = Sequence[
    tuple[int | None, list[int]]
]  # a key frame to seek to, if any, and frames after it
Made = TypeVar("Made")
_DEFAULT, _COVER = 0x1, 0x400  # AV_DISPOSITION_DEFAULT, AV_DISPOSITION_ATTACHED_PIC
_TURNING_BACK = 4  # frames that could be decoded in the time of a seek


class _UnsureError(Exception):
    """Seeking did not lead where the timestamps say."""


@dataclass(frozen=True)
class _Table:
    """What the packets of a stream say, without decoding any.

    Args:
        pts: of the frames shown, ascending; None where packets do not tell them all apart.
        keys: timestamps that one may seek to, ascending.
        packets: how many are shown.
        tick: of a timestamp, in seconds.
        rate: frames a second, the mean where it varies; None where nothing tells it.
    """

    pts: list[int] | None
    keys: list[int]
    packets: int
    tick: Fraction | None
    rate: Fraction | None

    def times(self, count: int) -> list[float] | None:
        """When each frame is shown, in seconds from the first; None where nothing tells."""
        if self.pts is not None and self.tick is not None:
            return [float((pts - self.pts[0]) * self.tick) for pts in self.pts]
        return [float(k / self.rate) for k in range(count)] if self.rate else None


def file_info(path: File, span: Span | None = None) -> VideoInfo:
    """What is known of a file; decodes one frame, or all where nothing else tells their count."""
    with _naming(path):
        table = _table(path)
        count = _count(path, table)
        return _info(path, len(_within(path, table, count, span)))


def check_file(path: File) -> VideoInfo:
    """Decodes every frame, and raises a `VideoError` where one is missing, damaged or resized."""
    with _naming(path):
        table = _table(path)
        count = _count(path, table)

        def compare(frames: Frames) -> None:
            first: tuple[int, int] | None = None
            for index, frame in frames:
                first = first or (frame.height, frame.width)
                check_size((frame.height, frame.width), first, index, str(path))

        _surely(compare, path, table, _straight(range(count)))
        return _info(path, count)


def read_file(path: File, choose: Choose, *, seek: bool | None = None) -> Tensor:
    """Reads frames as `interlace.data.video.read_frames` does.

    Args:
        path: an existing file.
        choose: indices, or a function of the frame count that gives them.
        seek: whether to seek if the file allows it; None: where that decodes far fewer frames.
    """
    return read_span(path, choose, seek=seek)[0]


def read_span(
    path: File,
    choose: Choose,
    *,
    span: Span | None = None,
    by_time: bool = False,
    seek: bool | None = None,
) -> tuple[Tensor, list[int]]:
    """Reads frames of a stretch of a file, and says which they are, counted from its first.

    Args:
        path: an existing file.
        choose: indices, or a function of the frame count that gives them.
        span: the stretch; None: all of it.
        by_time: index k of n is what is shown at the k-th of n moments equally far apart.
        seek: whether to seek if the file allows it; None: where that decodes far fewer frames.
    """
    name = str(path) if span is None else f"{path} ({span})"
    with _naming(path):
        table = _table(path)
        sure = table.pts is not None or callable(choose) or span is not None or by_time
        count = _count(path, table) if sure else table.packets  # a count may cost as reading does
        within = _within(path, table, count, span)
        own = chosen(choose, len(within), name, at_most=sure)
        times = table.times(count) if by_time else None
        if times is not None:
            shown = moments(times[within.start : within.stop])
            own = [shown[index] for index in own]
        indices = [within.start + index for index in own]
        wanted = sorted(set(indices)) or [within.start]  # no frames have the size of the first
        groups = _groups(table, wanted)
        pays = _cost(table, groups) * 2 < wanted[-1] + 1 if seek is None else seek
        way: Groups = groups if groups and pays else _straight(wanted)

        def gather(frames: Frames) -> Tensor:
            upright = Upright()
            pictures = ((index, upright(frame)) for index, frame in frames)
            return collect(pictures, indices or wanted, str(path))

        return _surely(gather, path, table, way)[: len(indices)], own


def _within(path: File, table: _Table, count: int, span: Span | None) -> range:
    """The frames of a stretch."""
    return range(count) if span is None else span.within(str(path), count, table.times(count))


@contextmanager
def _naming(path: File) -> Iterator[None]:
    """Turns what FFmpeg says of a file into a `VideoError`, and finds truncated ones first."""
    av = need_av()
    try:
        check_whole(path)
        yield
    except (av.error.FFmpegError, OSError) as error:
        suffix = PurePath(str(path)).suffix.lower()
        mend = _OTHERS.get(suffix, f"if it is one, {_AGAIN}")
        raise VideoError(f"{path} cannot be read as a video ({error.strerror}); {mend}") from error


@contextmanager
def _opened(path: File) -> Iterator[tuple[Any, Any]]:
    """The container and its stream of pictures: of several, the one that ffmpeg takes."""
    av = need_av()
    with av.open(
        f"file:{path}" if isinstance(path, Path) else path.open(),
        metadata_errors="ignore",
        options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
    ) as container:
        streams = [s for s in container.streams.video if not int(s.disposition) & _COVER]
        if streams:
            stream = max(streams, key=_pixels)  # the first of equal ones
            stream.codec_context.thread_count = 1  # workers are what runs side by side
            yield container, stream
            return
        kinds = sorted({stream.type for stream in container.streams}) or ["empty"]
        raise VideoError(f"{path} holds no video, only {', '.join(kinds)}; take it off the list")


def _pixels(stream: Any) -> int:
    """By which ffmpeg chooses among streams: of a frame, and five million more for a default."""
    return stream.width * stream.height + 5_000_000 * bool(int(stream.disposition) & _DEFAULT)


def _table(path: File) -> _Table:
    pts: list[int | None] = []
    keys: set[int] = set()
    with _opened(path) as (container, stream):
        tick, rate = stream.time_base, stream.average_rate or stream.guessed_rate
        formats = container.format.name.split(",")
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_keyframe and packet.pts is not None:
                keys.add(packet.pts)  # also of packets that are decoded and not shown
            if not packet.is_discard:
                pts.append(packet.pts)
    if not pts:
        raise VideoError(f"{path} holds no frames; {_AGAIN}")
    known = sorted(p for p in pts if p is not None)
    told = len(set(known)) == len(pts) and "avi" not in formats  # avi has no pts, only guesses
    seekable = told and any(name in formats for name in _SEEKABLE)
    found = sorted(keys) if seekable else []
    return _Table(known if told else None, found, len(pts), tick, rate)


def _count(path: File, table: _Table) -> int:
    if table.pts is not None:
        return len(table.pts)
    with _opened(path) as (container, stream):
        count = sum(1 for _ in container.decode(stream))
    if not count:
        raise VideoError(f"{path} holds no frames that can be decoded; {_AGAIN}")
    return count


def _info(path: File, count: int) -> VideoInfo:
    with _opened(path) as (container, stream):
        frame = next(container.decode(stream), None)
        if frame is None:
            raise VideoError(f"{path} holds no frames that can be decoded; {_AGAIN}")
        height, width, _ = Upright()(frame).shape
        rate = stream.average_rate or stream.guessed_rate
        aspect = stream.sample_aspect_ratio
        return VideoInfo(
            name=str(path),
            frames=count,
            width=width,
            height=height,
            rate=float(rate) if rate else None,
            codec=stream.codec_context.name,
            pixel_aspect=float(aspect) if aspect else 1.0,
        )


# --- the way to a frame ---------------------------------------------------------------------------


def _surely(use: Callable[[Frames], Made], path: File, table: _Table, groups: Groups) -> Made:
    """What is made of the wanted frames, by the first way that is sure to find them."""
    try:
        return use(_frames(path, table, groups))
    except _UnsureError:  # then by timestamps, straight through, or by counting alone
        straight = _straight(index for _, group in groups for index in group)
        left = replace(table, pts=None) if groups == straight else table
        return _surely(use, path, left, straight)


def _frames(path: File, table: _Table, groups: Groups) -> Frames:
    """(index, frame) of all that are wanted, ascending; known by timestamp, or else counted.

    Unsure where a frame has no timestamp of the table, or does not follow its key frame.
    """
    numbers = {pts: index for index, pts in enumerate(table.pts or ())}
    with _opened(path) as (container, stream):
        for key, group in groups:
            if key is not None:
                container.seek(key, stream=stream)
            left, seen = set(group), 0
            for seen, frame in enumerate(container.decode(stream), 1):
                index = numbers.get(frame.pts) if numbers else seen - 1
                if index is None:
                    if key is None or frame.pts is None or frame.pts >= key:
                        raise _UnsureError
                elif index in left:
                    if frame.is_corrupt and key is not None:
                        raise _UnsureError
                    if frame.is_corrupt:
                        raise VideoError(f"frame {index} of {path} is damaged; {_AGAIN}")
                    left.remove(index)
                    yield index, frame
                if not left or (key is not None and index is not None and index > group[-1]):
                    break
            if left and key is not None:
                raise _UnsureError
            if left and numbers:
                raise VideoError(f"frame {min(left)} of {path} cannot be decoded; {_AGAIN}")
            if left:
                raise beyond(group[-1], seen, str(path))


def _straight(wanted: Iterable[int]) -> Groups:
    """Straight through, up to the last wanted frame."""
    return [(None, list(wanted))]


def _groups(table: _Table, wanted: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Wanted frames by the key frame they follow; nothing where one follows none."""
    if table.pts is None or not table.keys or table.pts[wanted[0]] < table.keys[0]:
        return []
    pts, keys = table.pts, table.keys
    grouped = groupby(wanted, key=lambda index: keys[bisect_right(keys, pts[index]) - 1])
    return [(key, list(group)) for key, group in grouped]


def _cost(table: _Table, groups: Iterable[tuple[int, list[int]]]) -> int:
    """Frames decoded when seeking."""
    pts = table.pts or []
    return sum(group[-1] + 1 - bisect_left(pts, key) + _TURNING_BACK for key, group in groups)
