"""A video that is a folder of numbered pictures, as Something-Something v1 comes."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from torch import Tensor

from interlace.data.video.excerpt import Excerpt, Span
from interlace.data.video.indices import Choose, check_size, chosen, collect
from interlace.data.video.info import VideoError, VideoInfo, need_av
from interlace.data.video.truncation import check_whole
from interlace.data.video.upright import Upright

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_FORMATS = "jpeg_pipe,png_pipe,bmp_pipe,webp_pipe,tiff_pipe"


def natural(name: str) -> tuple[list[str | int], str]:
    """A key to sort by in which frame9 comes before frame10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() else part for part in parts], name


def list_pictures(folder: Path) -> list[Path]:
    """All pictures of a folder, in order; hidden files are left out."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    shown = (path for path in found if not path.name.startswith("."))
    return sorted(shown, key=lambda path: natural(path.name))


def has_pictures(folder: Path) -> bool:
    """Whether a folder has a picture right in it."""
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries)
        return any(n.lower().endswith(PICTURES) and not n.startswith(".") for n in names)


def list_frames(folder: Path) -> list[Path]:
    """The pictures of a folder that are the frames of its video, in order.

    Pictures whose names differ in more than their number are of different sequences. Of several,
    as img_00001.jpg and flow_x_00001.jpg, the one that is called as frames are is taken.

    Raises:
        VideoError: several sequences may be meant.
    """
    sequences = list_sequences(folder)
    if len(sequences) < 2:
        return [path for paths in sequences.values() for path in paths]
    plain = [name for name in sequences if _is_plain(name)]
    if len(plain) != 1:
        named = ", ".join(list(sequences)[:3]) + (", ..." if len(sequences) > 3 else "")
        raise VideoError(
            f"{folder} holds {len(sequences):,} sequences of pictures, not one video: {named}; put "
            "each into a folder of its own, or name the frames img_00001.jpg, img_00002.jpg, ..."
        )
    return sequences[plain[0]]


def list_sequences(folder: Path) -> dict[str, list[Path]]:
    """The pictures of a folder by their name without its number, "img_*.jpg"."""
    found: dict[str, list[Path]] = {}
    for path in list_pictures(folder):
        found.setdefault(without_number(path.name), []).append(path)
    return found


_NUMBER = re.compile(r"\d+(?:[-_.: ]\d+){2,}|\d+")  # or a time, as 12-00-05 and 0001_0.033
_PLAIN = ("img", "image", "frame", "frames", "rgb", "color", "colour")  # without flow, masks, depth


def without_number(name: str) -> str:
    """What pictures of one sequence share.

    Example:
        >>> [without_number(name) for name in ("flow_x_00012.jpg", "cam2_7.PNG", "a.jpeg")]
        ['flow_x_*.jpg', 'cam2_*.png', 'a.jpg']
    """
    stem, _, suffix = name.lower().rpartition(".")
    suffix = {"jpeg": "jpg", "tiff": "tif"}.get(suffix, suffix)
    numbers = list(_NUMBER.finditer(stem))
    if numbers:
        stem = f"{stem[: numbers[-1].start()]}*{stem[numbers[-1].end() :]}"
    return f"{stem}.{suffix}"


def _is_plain(sequence: str) -> bool:
    """Whether a sequence is called as frames are called."""
    stem = sequence.rpartition(".")[0]
    words = re.findall(r"[^\W_]+", stem.replace("*", " "))
    return "*" in stem and (not words or (len(words) == 1 and words[0] in _PLAIN))


def folder_info(folder: Path, span: Span | None = None) -> VideoInfo:
    """What is known of a folder of frames; decodes the first."""
    paths = _within(folder, _pictures(folder), span)
    picture, codec = _read(paths[0])
    height, width, _ = picture.shape
    return VideoInfo(str(folder), len(paths), width, height, codec=codec)


def check_folder(folder: Path) -> VideoInfo:
    """Decodes every picture, and raises a `VideoError` where one is damaged or of another size."""
    info = folder_info(folder)
    for index, path in enumerate(_pictures(folder)):
        picture, _ = _read(path)
        check_size(picture.shape[:2], (info.height, info.width), index, str(folder))
    return info


def read_folder(
    folder: Path, choose: Choose, *, span: Span | None = None
) -> tuple[Tensor, list[int]]:
    """Reads frames of a stretch of a folder, and says which they are, counted from its first."""
    paths = _within(folder, _pictures(folder), span)
    indices = chosen(choose, len(paths), str(folder if span is None else Excerpt(folder, span)))
    wanted = sorted(set(indices)) or [0]
    pictures = ((index, _read(paths[index])[0]) for index in wanted)
    return collect(pictures, indices or [0], str(folder))[: len(indices)], indices


def _within(folder: Path, paths: list[Path], span: Span | None) -> list[Path]:
    if span is None:
        return paths
    within = span.within(str(folder), len(paths), None)
    return paths[within.start : within.stop]


def _pictures(folder: Path) -> list[Path]:
    paths = list_frames(folder)
    if not paths:
        raise VideoError(
            f"{folder} holds no frames; put pictures ({', '.join(PICTURES)}) right into it, or "
            "name a video file"
        )
    return paths


def _read(path: Path) -> tuple[Tensor, str]:
    """A picture as uint8 (H, W, 3), and its codec."""
    av = need_av()
    try:
        check_whole(path)
        with av.open(
            io.BytesIO(path.read_bytes()),
            metadata_errors="ignore",
            options={"format_whitelist": _FORMATS},
        ) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            frame = next(container.decode(stream))
            if not frame.is_corrupt:
                return Upright()(frame), stream.codec_context.name
            problem = "it is damaged"
    except (av.error.FFmpegError, OSError, IndexError, StopIteration) as error:
        problem = getattr(error, "strerror", None) or "there is nothing in it"
    raise VideoError(f"{path} cannot be read as a picture ({problem}); copy or download it again")
