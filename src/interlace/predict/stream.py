"""Frames in as they come, and what a model says of all so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from interlace.data.clips.sampling import spread_crops
from interlace.data.clips.transforms import crop, resize_short_side
from interlace.data.video.read import read_frames
from interlace.models.insertion.probe import FRAMES, sees_clips
from interlace.predict.prediction import Prediction, Shown, area_of

if TYPE_CHECKING:
    from interlace.predict.predictor import Predictor


class Stream:
    """Frames go in as they come, and what the model says of all so far comes out.

    Made by `Predictor.stream`. What it carries does not grow with the frames.

    Args:
        predictor: of a model whose frames do not depend on later ones.
    """

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self._state: Any = None
        self._seen = 0
        shape, frames = predictor.clips, FRAMES[sees_clips(predictor.model)]
        empty = torch.zeros(frames, 3, shape.size, shape.size, dtype=torch.uint8)
        _, _, state = predictor.run(empty, return_state=True, return_trace=False)
        if state is None:
            raise ValueError(
                f"{predictor.name} sees later frames of a clip, or whole clips only, so it cannot "
                "follow a stream: take a causal model, such as c2d_r18 or tsm_r18_causal, alone or "
                "with graphs (`interlace list` shows all)"
            )

    def push(self, frames: np.ndarray | Tensor) -> Prediction:
        """What the model says of all frames so far.

        Args:
            frames: uint8 (T, H, W, 3), or one, (H, W, 3); as far apart in time as those that the
                model was trained on. Its boxes are of these frames.
        """
        shape, predictor = self._predictor.clips, self._predictor
        video = read_frames(frames[None] if frames.ndim == 3 else frames)
        video = resize_short_side(video, shape.short_side)
        height, width = video.shape[2:]
        (central,) = spread_crops(height, width, shape.size)
        logits, traces, self._state = predictor.run(
            crop(video, central), self._state, return_state=True, return_trace=True
        )
        numbers = list(range(self._seen, self._seen + len(video)))
        self._seen += len(video)
        shown = Shown(video, numbers, area_of(central, height, width), traces)
        return shown.prediction("stream", predictor.classes, logits.softmax(-1))
