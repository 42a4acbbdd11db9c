"""A video that is a folder of numbered pictures, as Something-Something v1 comes."""

from __future__ import annotations

import io
import re
from pathlib import Path

from torch import Tensor

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
    """The frames of a folder, in order; hidden files are left out."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    shown = (path for path in found if not path.name.startswith("."))
    return sorted(shown, key=lambda path: natural(path.name))


def folder_info(folder: Path) -> VideoInfo:
    """What is known of a folder of frames; decodes the first."""
    paths = _pictures(folder)
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


def read_folder(folder: Path, choose: Choose) -> Tensor:
    """Reads frames as `interlace.data.video.read_frames` does."""
    paths = _pictures(folder)
    indices = chosen(choose, len(paths), str(folder))
    wanted = sorted(set(indices)) or [0]
    pictures = ((index, _read(paths[index])[0]) for index in wanted)
    return collect(pictures, indices or [0], str(folder))[: len(indices)]


def _pictures(folder: Path) -> list[Path]:
    paths = list_pictures(folder)
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
