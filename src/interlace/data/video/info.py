"""What is known of a video before its frames are read, and the one error of all that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType


class VideoError(ValueError):
    """A video that cannot be read; the message names it and says what to do."""


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video.

    Args:
        name: path of the file or folder, or "array".
        frames: how many there are; the last is number frames - 1.
        width: of a frame as it is read, in pixels, after rotation.
        height: likewise.
        rate: frames a second, the mean where it varies; None where nothing tells it.
        codec: "h264", "vp9", "png", ...; "raw" for an array.
        pixel_aspect: width of a pixel over its height; it is reported, and never applied.
    """

    name: str
    frames: int
    width: int
    height: int
    rate: float | None = None
    codec: str = "raw"
    pixel_aspect: float = 1.0


def need_av() -> ModuleType:
    """PyAV, or how to install it."""
    try:
        import av
    except ImportError as error:
        raise ModuleNotFoundError(
            f'video files need PyAV ({error}); run: pip install "interlace[video]"'
        ) from error
    return av
