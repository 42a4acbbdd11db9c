"""What a model is shown of a video: how many frames, which, and how large."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from interlace.data.clips.sampling import (
    PROTOCOLS,
    Protocol,
    ProtocolName,
    Random,
    View,
    dense_frames,
    segment_frames,
    views,
)


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
        """What a model is shown of a video in a test, as `sampling.views`.

        Args:
            name: of the protocol.
            frames: that the video has.
            height, width: of a frame after its short side was resized to `short_side`.
        """
        protocol = self.protocol(name)
        shown = views(protocol, frames, height, width, count=self.num_frames)
        if self.sampling == "segments":
            return shown
        per_sampling = protocol.crops
        return [
            view._replace(
                frames=dense_frames(
                    frames,
                    self.num_frames,
                    step=self.step,
                    offset=protocol.offsets[k // per_sampling],
                )
            )
            for k, view in enumerate(shown)
        ]
