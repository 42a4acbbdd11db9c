"""Which frames are photographs: those are drawn smoothly, small ones pixel by pixel."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

PHOTOGRAPH = 160  # pixels of the shorter side from which a frame is one


def is_photograph(frame: NDArray[Any]) -> bool:
    """Whether a frame (H, W, 3) is too large for anybody to look at its pixels one by one."""
    return min(frame.shape[:2]) >= PHOTOGRAPH
