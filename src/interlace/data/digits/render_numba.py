"""The renderer for CPUs, compiled with numba: `render` again, touching only what digits cover."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from interlace.data.digits.resize import HALF, ONE, WEIGHT_BITS, taps

PER_THREAD = 16  # videos that are worth a thread of their own


def render_numba(
    images: Tensor, which: Tensor, places: Tensor, *, canvas: int, frame: int
) -> Tensor:
    """`render` on the CPU, on as many threads as PyTorch uses.

    The threads are plain ones: numba's own parallel loops abort in a process that was forked, as
    data loaders do, or when two threads of a program call them.
    """
    videos, frames = places.shape[:2]
    low, high, weight = taps(canvas, frame).numpy()
    ink, who, where = images.numpy(), which.numpy(), places.numpy()
    video = np.zeros((videos, frames, frame, frame), np.uint8)  # torch.zeros is far slower here

    def work(part: slice) -> None:
        _render(ink, who[part], where[part], low, high, weight, canvas, video[part])

    threads = max(1, min(torch.get_num_threads(), videos // PER_THREAD))
    ends = [videos * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (slice(start, end) for start, end in pairwise(ends))))
    return torch.from_numpy(video)[:, :, None]


def _render_loops(
    images: NDArray[np.uint8],  # (M, S, S)
    which: NDArray[np.int64],  # (B, D)
    places: NDArray[np.int64],  # (B, T, D, 2)
    low: NDArray[np.int32],  # (frame,), and the next two: see `taps`
    high: NDArray[np.int32],
    weight: NDArray[np.int32],
    canvas: int,
    video: NDArray[np.uint8],  # (B, T, frame, frame), all 0, written to
) -> None:
    videos, frames, digits, _ = places.shape
    size = images.shape[-1]
    # the cells of the frame that a sprite touches, by its first pixel: [first, end)
    first = np.empty(canvas, np.int64)
    end = np.empty(canvas, np.int64)
    for start in range(canvas):
        first[start] = np.searchsorted(high, start)
        end[start] = np.searchsorted(low, start + size)

    picture = np.zeros((canvas, canvas), np.uint8)
    blend = np.zeros(canvas, np.int32)  # two rows of the picture, weighted
    for v in range(videos):
        for t in range(frames):
            for d in range(digits):
                sprite = images[which[v, d]]
                x, y = places[v, t, d]
                for r in range(size):
                    for c in range(size):
                        below, ink = picture[y + r, x + c], sprite[r, c]
                        picture[y + r, x + c] = ink if ink > 0 else below
            for d in range(digits):
                x, y = places[v, t, d]
                left, right = first[x], end[x]
                if left >= right:  # the frame is so small that no cell sees the sprite
                    continue
                for row in range(first[y], end[y]):
                    upper, lower, down = low[row], high[row], weight[row]
                    up = np.int32(ONE - down)  # numba widens: without the casts, half as fast
                    for c in range(low[left], high[right - 1] + 1):
                        blend[c] = np.int32(np.int32(picture[upper, c]) * up) + np.int32(
                            np.int32(picture[lower, c]) * down
                        )
                    for column in range(left, right):
                        across = weight[column]
                        value = (
                            np.int32(blend[low[column]] * np.int32(ONE - across))
                            + np.int32(blend[high[column]] * across)
                            + HALF
                        )
                        video[v, t, row, column] = np.int32(value) >> (2 * WEIGHT_BITS)
            for d in range(digits):
                x, y = places[v, t, d]
                picture[y : y + size, x : x + size] = 0


try:
    _render = njit(nogil=True, cache=True)(_render_loops)
except RuntimeError:  # no folder to keep the compiled program in: compile in every process
    _render = njit(nogil=True)(_render_loops)
