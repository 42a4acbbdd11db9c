"""Videos that are in memory: arrays of frames, lists of pictures, and what stands in a file."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from interlace.data.video.indices import check_size
from interlace.data.video.info import VideoError

Frames = np.ndarray | Tensor


@dataclass(frozen=True)
class FileInMemory:
    """What stands in a video file, with as much of the face of a path as reading needs.

    Args:
        name: for people.
        content: all of it.
    """

    name: str
    content: bytes = field(repr=False)

    def open(self, mode: str = "rb") -> BinaryIO:
        """To be read from its start."""
        return io.BytesIO(self.content)

    def __str__(self) -> str:
        return self.name


def in_memory(source: Any) -> Frames | FileInMemory | None:
    """A source that is no path: frames (T, H, W, 3), or a file; None: it is a path.

    Raises:
        VideoError: it is a picture, or pictures of several sizes, or an array that is no video.
    """
    if isinstance(source, Frames):
        return _channels_last(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return FileInMemory("bytes", bytes(source))
    if hasattr(source, "read"):
        return _read(source)
    if is_picture(source):
        raise VideoError("one picture is no video; give a list of its frames")
    return _stacked(source) if is_pictures(source) else None


def memory_name(source: Any) -> str | None:
    """What it is called, for people; None: it is a path."""
    if isinstance(source, Frames):
        return "array"
    if isinstance(source, bytes | bytearray | memoryview):
        return "bytes"
    if hasattr(source, "read"):
        return str(getattr(source, "name", "file"))
    if is_picture(source):
        return "picture"
    return "pictures" if is_pictures(source) else None


def is_picture(source: Any) -> bool:
    """Whether it is a picture of PIL's, which need not be there."""
    return hasattr(source, "convert") and hasattr(source, "getbands")


def is_pictures(source: Any) -> bool:
    """Whether it is a list of pictures of PIL's."""
    return isinstance(source, list | tuple) and bool(source) and all(map(is_picture, source))


def _channels_last(frames: Frames) -> Frames:
    shape = tuple(frames.shape)
    uint8 = str(frames.dtype).removeprefix("torch.") == "uint8"
    if not uint8 or len(shape) != 4 or 3 not in (shape[3], shape[1]):
        raise VideoError(
            f"an array must be uint8 (T, H, W, 3), or (T, 3, H, W), got {frames.dtype} {shape}; "
            "scale to 0..255, with three channels"
        )
    if not shape[0]:
        raise VideoError("the array has no frames; give it at least one")
    if shape[3] == 3:
        return frames
    return frames.permute(0, 2, 3, 1) if isinstance(frames, Tensor) else np.moveaxis(frames, 1, 3)


def _read(file: Any) -> FileInMemory:
    """All of a file that is open, from its start where one may go back."""
    name = str(memory_name(file))
    if getattr(file, "seekable", bool)():
        file.seek(0)
    content = file.read()
    if not isinstance(content, bytes):
        raise VideoError(f"{name} is open as text; open it with open(name, 'rb')")
    return FileInMemory(name, content)


def _stacked(pictures: Any) -> np.ndarray:
    arrays = [np.asarray(picture.convert("RGB")) for picture in pictures]
    for index, array in enumerate(arrays):
        check_size(array.shape[:2], arrays[0].shape[:2], index, "the pictures")
    return np.stack(arrays)  # (T, H, W, 3)
