"""Draw digits on a black canvas and shrink it to a frame, for a batch of videos."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from interlace.data.digits.resize import resize

# canvas pixels drawn at a time: what a CPU's cache holds, and enough to fill a GPU at 1 GB or less
CPU_CHUNK, GPU_CHUNK = 1 << 20, 1 << 26

logger = logging.getLogger(__name__)


def render(images: Tensor, which: Tensor, places: Tensor, *, canvas: int, frame: int) -> Tensor:
    """Draw the images of each video in order, every later one over the earlier ones.

    With numba on a CPU, else in PyTorch; both give the same bytes.

    Args:
        images: uint8 (M, S, S) what can be drawn; a pixel of 0 lets through what lies below, any
            other covers it.
        which: int64 (B, D) the images on screen, in drawing order.
        places: int64 (B, T, D, 2) column and row of each image's upper left pixel, in
            [0, canvas - S].
        canvas: pixels a side of the square that is drawn on.
        frame: pixels a side of the result (see `resize`).

    Returns:
        uint8 (B, T, 1, frame, frame) on the device of the arguments.
    """
    fast = _numba_renderer() if images.device.type == "cpu" else None
    return (fast or render_torch)(images, which, places, canvas=canvas, frame=frame)


@cache
def _numba_renderer() -> Callable[..., Tensor] | None:
    try:
        from interlace.data.digits.render_numba import render_numba
    except ImportError as error:
        logger.warning(
            "without numba, videos are made 4 times slower (%s): pip install numba", error
        )
        return None
    return render_numba


def render_torch(
    images: Tensor, which: Tensor, places: Tensor, *, canvas: int, frame: int
) -> Tensor:
    """`render` in PyTorch, on any device, without waiting for it."""
    videos, frames = places.shape[:2]
    chunk = CPU_CHUNK if images.device.type == "cpu" else GPU_CHUNK
    step = max(1, chunk // (frames * canvas * canvas))
    video = images.new_empty(videos, frames, 1, frame, frame)
    for i in range(0, videos, step):
        picture = _draw(images, which[i : i + step], places[i : i + step], canvas)
        video[i : i + step] = resize(picture, frame).view(-1, frames, 1, frame, frame)
    return video


def _draw(images: Tensor, which: Tensor, places: Tensor, canvas: int) -> Tensor:
    """Full-size pictures, uint8 (B * T, canvas, canvas)."""
    videos, frames, digits = places.shape[:3]
    size = images.shape[-1]
    picture = images.new_zeros(videos * frames, canvas * canvas)
    corners = (places[..., 1] * canvas + places[..., 0]).flatten(0, 1)  # (B * T, D)
    side = torch.arange(size, device=images.device)
    pixels = (side[:, None] * canvas + side).flatten()  # (S * S,) where they lie from the corner
    for digit in range(digits):
        ink = images[which[:, digit]].flatten(1).repeat_interleave(frames, dim=0)  # (B * T, S * S)
        where = corners[:, digit, None] + pixels  # (B * T, S * S)
        picture.scatter_(1, where, torch.where(ink > 0, ink, picture.gather(1, where)))
    return picture.view(-1, canvas, canvas)
