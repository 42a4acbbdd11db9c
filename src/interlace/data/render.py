"""Draw digits on a black canvas and shrink it to a frame, for a batch of videos."""

from __future__ import annotations

import torch
from torch import Tensor

from interlace.data.resize import resize

CHUNK = 1 << 24  # canvas pixels drawn at a time: bounds the memory


def render(sprites: Tensor, places: Tensor, *, canvas: int, frame: int) -> Tensor:
    """Draw the sprites of each video in order, every later one over the earlier ones.

    Args:
        sprites: uint8 (B, D, S, S); a pixel of 0 lets through what lies below, any other covers it.
        places: int64 (B, T, D, 2) column and row of each sprite's upper left pixel, in
            [0, canvas - S].
        canvas: pixels a side of the square that is drawn on.
        frame: pixels a side of the result (see `resize`).

    Returns:
        uint8 (B, T, 1, frame, frame) on the device of the arguments.
    """
    videos, frames = places.shape[:2]
    step = max(1, CHUNK // (frames * canvas * canvas))
    parts = [
        resize(_draw(sprites[i : i + step], places[i : i + step], canvas), frame)
        for i in range(0, videos, step)
    ]
    video = torch.cat(parts) if parts else sprites.new_empty(0, frame, frame)
    return video.view(videos, frames, 1, frame, frame)


def _draw(sprites: Tensor, places: Tensor, canvas: int) -> Tensor:
    """Full-size pictures, uint8 (B * T, canvas, canvas)."""
    videos, frames, digits = places.shape[:3]
    size = sprites.shape[-1]
    picture = sprites.new_zeros(videos * frames, canvas * canvas)
    corners = (places[..., 1] * canvas + places[..., 0]).flatten(0, 1)  # (B * T, D)
    side = torch.arange(size, device=sprites.device)
    pixels = (side[:, None] * canvas + side).flatten()  # (S * S,) where they lie from the corner
    for digit in range(digits):
        ink = sprites[:, digit].reshape(videos, 1, -1).expand(-1, frames, -1).flatten(0, 1)
        where = corners[:, digit, None] + pixels  # (B * T, S * S)
        picture.scatter_(1, where, torch.where(ink > 0, ink, picture.gather(1, where)))
    return picture.view(-1, canvas, canvas)
