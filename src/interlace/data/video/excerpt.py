"""A stretch of a video, from one time or frame to another, which is a video of its own."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from interlace.data.video.info import VideoError

Unit = Literal["seconds", "frames"]

_ROUNDED = 5e-4  # seconds, as times are written with three digits
_BEYOND: dict[Unit, float] = {
    "seconds": 1.0,
    "frames": 1,
}  # that an end may lie behind the video's, as many do


class Span(NamedTuple):
    """From where to where.

    Args:
        start: in seconds, or number of the first frame, from 0.
        end: in seconds, or number of the first frame that does not belong to it.
        unit: of both.
    """

    start: float
    end: float
    unit: Unit

    def __str__(self) -> str:
        """For people.

        Example:
            >>> str(Span(1.5, 3, "seconds")), str(Span(0, 8, "frames"))
            ('1.5 to 3 s', 'frames 0 to 8')
        """
        if self.unit == "frames":
            return f"frames {self.start:g} to {self.end:g}"
        return f"{self.start:.6g} to {self.end:.6g} s"

    def within(self, name: str, frames: int, times: Sequence[float] | None) -> range:
        """Which frames of a video these are.

        Args:
            name: of the video, for errors.
            frames: how many it has.
            times: when each is shown, in seconds from the first; None where nothing tells.

        Raises:
            VideoError: the video ends before.
        """
        if self.unit == "frames":
            length, shown = float(frames), f"has {frames} frames"
            first, last = int(self.start), min(int(self.end), frames)
        elif times is None:
            raise VideoError(
                f"nothing tells how long the frames of {name} last, of which {self} are asked for; "
                "say which frames it is, with the columns start_frame and end_frame"
            )
        else:
            length = times[-1] + (times[-1] / (frames - 1) if frames > 1 else 0.0)
            shown = f"is {length:.3g} s long"
            first = max(0, bisect_right(times, self.start + _ROUNDED) - 1)
            last = max(first + 1, bisect_left(times, self.end - _ROUNDED))
        if self.start >= length or self.end > length + _BEYOND[self.unit]:
            units = (
                "; if these are numbers of frames, call the columns start_frame and end_frame"
                if self.unit == "seconds"
                else "; correct the line"
            )
            raise VideoError(f"{name} {shown}, and {self} are asked for{units}")
        return range(first, last)


@dataclass(frozen=True)
class Excerpt:
    """A video that is a stretch of another; its frames count from 0.

    Args:
        path: of the whole video, a file or a folder of frames.
        span: of it.
    """

    path: Path
    span: Span

    def __str__(self) -> str:
        return f"{self.path} ({self.span})"


def moments(times: Sequence[float]) -> list[int]:
    """Which frame is shown at each of as many moments, equally far apart, as there are frames.

    Args:
        times: when each frame is shown, ascending.

    Returns:
        0, 1, 2, ... where frames are equally far apart, too, up to the length of one.

    Example:
        >>> moments([0, 0.04, 0.08, 0.12, 0.16, 1.0])
        [2, 4, 4, 4, 4, 5]
    """
    count = len(times)
    shown = np.asarray(times, float) - times[0]
    apart = shown[-1] / max(count - 1, 1)
    even = np.arange(count) * apart
    if np.abs(shown - even).max() <= apart:
        return list(range(count))
    return (np.searchsorted(shown, even + apart / 2, side="right") - 1).tolist()
