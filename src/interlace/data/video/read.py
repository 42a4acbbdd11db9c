"""Videos as tensors: a file, a folder of frames or an array, and exactly the frames asked for.

Frame i is the i-th that a player shows, however it is reached, and every call opens and closes
what it needs: nothing stays in memory or open, and workers may be forked at any time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
import torch
from torch import Tensor

from interlace.data.video.excerpt import Excerpt
from interlace.data.video.file import check_file, file_info, read_span
from interlace.data.video.folder import check_folder, folder_info, read_folder
from interlace.data.video.indices import Choose, chosen
from interlace.data.video.info import VideoError, VideoInfo
from interlace.data.video.memory import FileInMemory, in_memory

__all__ = [
    "Source",
    "VideoError",
    "VideoInfo",
    "check_video",
    "read_frames",
    "read_moments",
    "video_info",
]

Source = str | os.PathLike[str] | Excerpt | np.ndarray | Tensor | bytes | BinaryIO | Sequence[Any]


def video_info(source: Source) -> VideoInfo:
    """How many frames a video has, how large they are, and what else is known of it.

    Args:
        source: path of a video file (mp4, webm, avi, mkv, mov, gif, ...: what PyAV reads) or of a
            folder of pictures, whose names sort as people count, or an `Excerpt` of one; or uint8
            (T, H, W, 3) or (T, 3, H, W), as `read_frames` returns; a list of PIL's pictures; or
            what stands in a video file: bytes, or an open file.

    Raises:
        VideoError: it is missing, empty, truncated, or no video.

    Example:
        >>> video_info(np.zeros((5, 48, 64, 3), np.uint8)).frames
        5
    """
    held = _held(source)
    if isinstance(held, np.ndarray | Tensor):
        frames, height, width, _ = held.shape
        return VideoInfo("array", frames, width, height)
    span = source.span if isinstance(source, Excerpt) else None
    info = folder_info(held, span) if _is_folder(held) else file_info(held, span)
    return info if span is None else replace(info, name=str(source))


def check_video(source: Source) -> VideoInfo:
    """As `video_info`, after decoding every frame.

    Raises:
        VideoError: also where a frame in the middle is missing or damaged.
    """
    held = _held(source)
    if isinstance(held, np.ndarray | Tensor):
        return video_info(held)
    whole = check_folder(held) if _is_folder(held) else check_file(held)
    return video_info(source) if isinstance(source, Excerpt) else whole


def read_frames(source: Source, indices: Choose | None = None) -> Tensor:
    """Reads the frames asked for, exactly.

    Rotation that the file asks for is applied; the aspect of its pixels is not.

    Args:
        source: as in `video_info`.
        indices: from 0, in any order, with repeats; or a function that gives them from the frame
            count, so that the file is looked through once; None: all frames.

    Returns:
        uint8 (N, 3, H, W), red first; in memory channels last, as decoders give them.

    Raises:
        VideoError: the video cannot be read, or has no such frame.

    Example:
        >>> clip = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
        >>> read_frames(clip, [4, 0, 0])[:, 0, 0, 0].tolist()
        [4, 0, 0]
        >>> read_frames(clip, lambda frames: range(0, frames, 2)).shape
        torch.Size([3, 3, 1, 1])
    """
    return _read(source, range if indices is None else indices, by_time=False)[0]


def read_moments(source: Source, choose: Choose) -> tuple[Tensor, Tensor]:
    """Reads frames by time: k of n is what is shown at the k-th of n moments equally far apart.

    Where the rate does not vary, as in most videos, that is frame k. A phone's video may have half
    of its frames in a tenth of its time.

    Args:
        source: as in `video_info`.
        choose: which moments, from 0, of as many as the video has frames; as in `read_frames`.

    Returns:
        uint8 (N, 3, H, W), as `read_frames` gives them, and which frames these are, int64 (N,).
    """
    frames, numbers = _read(source, choose, by_time=True)
    return frames, torch.tensor(numbers, dtype=torch.int64)


def _read(source: Source, choose: Choose, *, by_time: bool) -> tuple[Tensor, list[int]]:
    held = _held(source)
    if isinstance(held, np.ndarray | Tensor):
        numbers = chosen(choose, len(held), "the array")
        frames = torch.as_tensor(held[np.array(numbers, np.int64)])
        return frames.contiguous().permute(0, 3, 1, 2), numbers
    span = source.span if isinstance(source, Excerpt) else None
    if _is_folder(held):
        return read_folder(held, choose, span=span)
    return read_span(held, choose, span=span, by_time=by_time)


def _is_folder(held: Path | FileInMemory) -> TypeGuard[Path]:
    return isinstance(held, Path) and held.is_dir()


def _held(source: Source) -> np.ndarray | Tensor | FileInMemory | Path:
    """Frames (T, H, W, 3), a file in memory, or a path that exists, of an excerpt the whole's."""
    if isinstance(source, Excerpt):
        return _held(source.path)
    held = in_memory(source)
    if held is not None:
        return held
    if not isinstance(source, str | os.PathLike):
        raise VideoError(f"{type(source).__name__} is no video; give a path, frames or bytes")
    path = Path(source).expanduser()
    if not path.exists():
        raise VideoError(f"{path} does not exist; check the name, or where it was downloaded to")
    if not path.is_dir() and not path.is_file():
        raise VideoError(f"{path} is neither a file nor a folder; name one of them")
    return path
