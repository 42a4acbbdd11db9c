"""Decoded frames as pictures, turned as the file asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interlace.data.video.info import need_av

# degrees against the clock -> the matrix that turns so
_TURNS = {90: (0, -1, 1, 0), -90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), -180: (-1, 0, 0, -1)}


class Upright:
    """Decoded frames of one video as uint8 (H, W, 3), red first, turned as the file asks for.

    PyAV's own `to_ndarray` leaves threads behind, and frames that were asked for their side data
    live until garbage is collected. Forked workers hang on such threads, and memory grows.
    """

    def __init__(self) -> None:
        self._reformatter = need_av().video.reformatter.VideoReformatter()
        self._matrix: tuple[int, int, int, int] | None = None

    def __call__(self, frame: Any) -> Tensor:
        array = self._reformat(frame, format="rgb24").to_ndarray()
        picture = torch.from_numpy(np.ascontiguousarray(array))
        a, b, c, d = self.matrix(frame)
        if abs(b) > abs(a):  # rows become columns
            picture, a, d = picture.transpose(0, 1), c, b
        flips = [axis for axis, sign in ((0, d), (1, a)) if sign < 0]
        return picture.flip(flips) if flips else picture

    def matrix(self, frame: Any) -> tuple[int, int, int, int]:
        """(a, b, c, d) of the first frame: x' = a x + c y and y' = b x + d y, y downwards."""
        if self._matrix is None:
            self._matrix = 1, 0, 0, 1
            small = self._reformat(frame, width=16, height=16, format="gray")
            try:
                data = small.side_data.get("DISPLAYMATRIX")
            except ValueError:  # PyAV does not know all that FFmpeg tells, such as Exif of pictures
                data, self._matrix = None, _TURNS.get(small.rotation, self._matrix)
            if data is not None:
                values = np.frombuffer(bytes(data), np.int32)
                a, b, c, d = (int(values[k]) for k in (0, 1, 3, 4))
                if a * d != b * c:
                    self._matrix = a, b, c, d
        return self._matrix

    def _reformat(self, frame: Any, **options: Any) -> Any:
        try:
            return self._reformatter.reformat(frame, threads=1, **options)
        except TypeError:  # older ones start no threads, and have no such option
            return self._reformatter.reformat(frame, **options)
