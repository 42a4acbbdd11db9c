"""What a model is shown of a video: how many frames, which, and how large."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, NamedTuple

from torch import Tensor

from interlace.data.clips.sampling import (
    MIDDLE,
    Crop,
    Random,
    dense_frames,
    segment_frames,
    spread_crops,
    uniform_frames,
)


@dataclass(frozen=True)
class Protocol:
    """How many views of a video are averaged in a test.

    Args:
        crops: squares along the longer side.
        offsets: of uniform sampling; each is a temporal sampling of its own.
        size: of a crop, in pixels.
        short_side: of the frame that is cropped, in pixels.
    """

    crops: int
    offsets: tuple[Fraction, ...]
    size: int
    short_side: int = 256


_TWICE = (MIDDLE, Fraction(0))  # the middles and the starts of segments, as TSM's test code
PROTOCOLS: dict[str, Protocol] = {
    # DyReg, tables 2 and 8: a single 224 x 224 central crop
    "central": Protocol(1, (MIDDLE,), 224),
    # DyReg, section 4.2: "3 spatial crops of size 256 x 256 with 2 temporal samplings", after TSM
    "3x2": Protocol(3, _TWICE, 256),
    # RSTG, section 4.2: "11 square clips uniformly sampled on the width", 256 x 256, "2 samplings
    # along the time dimension"; which two it does not say
    "11x2": Protocol(11, _TWICE, 256),
}
ProtocolName = Literal["central", "3x2", "11x2"]


class View(NamedTuple):
    """What a model is shown of a video at once: frames, int64 (T,), and their crop."""

    frames: Tensor
    crop: Crop


@dataclass(frozen=True)
class ClipShape:
    """What a model is shown of a video. The defaults are those of DyReg, section 4.1.

    Args:
        num_frames: T.
        size: of the square a model sees, in pixels.
        short_side: that frames are resized to before, in pixels.
        sampling: "segments": frames from all of the video, one of each of T equal parts; "dense":
            neighbouring ones, `step` apart.
        step: from frame to frame, of "dense".
    """

    num_frames: int = 16
    size: int = 224
    short_side: int = 256
    sampling: Literal["segments", "dense"] = "segments"
    step: int = 2

    def __post_init__(self) -> None:
        if min(self.num_frames, self.size, self.step) < 1:
            raise ValueError(f"num_frames, size and step must be from 1, got {self}")
        if self.short_side < self.size:
            raise ValueError(
                f"short_side must be at least size, {self.size}, got {self.short_side}: the square "
                "is cut out of frames of that short side"
            )

    def training_frames(self, frames: int, *, random: Random) -> Tensor:
        """Which of `frames` frames to train on, drawn anew; int64 (num_frames,)."""
        if self.sampling == "dense":
            return dense_frames(frames, self.num_frames, step=self.step, random=random)
        return segment_frames(frames, self.num_frames, random=random)

    def test_frames(self, frames: int, offset: Fraction) -> Tensor:
        """Which of `frames` frames one sampling of a test shows; int64 (num_frames,)."""
        if self.sampling == "dense":
            return dense_frames(frames, self.num_frames, step=self.step, offset=offset)
        return uniform_frames(frames, self.num_frames, offset=offset)

    def protocol(self, name: ProtocolName) -> Protocol:
        """A named protocol for frames of this size: its squares grow and shrink with them.

        Example:
            >>> ClipShape().protocol("3x2") == PROTOCOLS["3x2"]
            True
            >>> ClipShape(size=112, short_side=128).protocol("3x2").size
            128
        """
        if name not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}")
        published = PROTOCOLS[name]
        side = self.short_side if published.size == published.short_side else self.size
        return replace(published, size=side, short_side=self.short_side)

    def views(self, name: ProtocolName, frames: int, height: int, width: int) -> list[View]:
        """All views of a video, whose predictions are averaged.

        Args:
            name: of the protocol, in `PROTOCOLS`.
            frames: that the video has.
            height, width: of a frame after its short side was resized to the protocol's.

        Returns:
            crops x samplings views, the crops of one sampling side by side.

        Example:
            >>> [len(ClipShape().views(name, 100, 256, 340)) for name in PROTOCOLS]
            [1, 6, 22]
        """
        protocol = self.protocol(name)
        crops = spread_crops(height, width, protocol.size, protocol.crops)
        sampled = [self.test_frames(frames, offset) for offset in protocol.offsets]
        return [View(chosen, crop) for chosen in sampled for crop in crops]
