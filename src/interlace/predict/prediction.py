"""What a model says of a video: classes, probabilities, and where its nodes looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from interlace.data.clips.sampling import Crop
from interlace.graph.trace import Trace

Area = tuple[float, float, float, float]  # a part of the frame, as a box


@dataclass(frozen=True)
class Prediction:
    """What a model says of a video.

    Attributes:
        name: path of the video, or "array", or "stream".
        classes: (C) names.
        scores: (C,) probabilities, averaged over the views; empty where there is an error.
        frames: numbers, from 0, of the T frames that the boxes are of.
        boxes: by the name of the graph, (T, N, 4) where its nodes looked: (cx, cy, rx, ry) as
            fractions of the whole frame, of which the model saw `area`.
        mass: by the name of the graph, (T, N) in [0, 1], whether a node had anything to look at: of
            one below a half the box says little; 1 where nodes are never silent.
        area: (cx, cy, rx, ry), the part of the frame that the model was shown with these boxes.
        error: why the video cannot be read; empty of a good one.
    """

    name: str
    classes: Sequence[str] = field(repr=False)
    scores: Tensor = field(default_factory=lambda: torch.zeros(0))
    frames: list[int] = field(default_factory=list)
    boxes: dict[str, Tensor] = field(default_factory=dict, repr=False)
    area: Area = (0.5, 0.5, 0.5, 0.5)
    error: str = ""
    mass: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str | None:
        """The most probable class; None where there is an error."""
        return None if self.error else self.top(1)[0][0]

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes with their scores, at most so many."""
        best = self.scores.topk(min(max(count, 1), len(self.scores)))
        return [
            (self.classes[index], score)
            for index, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def as_text(self, top: int = 5) -> str:
        """One line, such as "cat.mp4: sleeping 93.1 %, jumping 4 %"."""
        if self.error:
            return f"{self.name}: {self.error.removeprefix(self.name).strip()}"
        said = (f"{label} {round(100 * score, 1):g} %" for label, score in self.top(top))
        return f"{self.name}: {', '.join(said)}"

    def as_dict(self, top: int = 5) -> dict[str, Any]:
        """For JSON."""
        if self.error:
            return {"name": self.name, "error": self.error}
        return {
            "name": self.name,
            "labels": [{"label": label, "score": round(s, 6)} for label, s in self.top(top)],
            "frames": self.frames,
            "area": _rounded(torch.tensor(self.area)),
            "boxes": {name: _rounded(boxes) for name, boxes in self.boxes.items()},
            "mass": {name: _rounded(mass) for name, mass in self.mass.items()},
        }


class Shown(NamedTuple):
    """What a model was shown of a video at once, and what its graphs did with it.

    Attributes:
        video: uint8 (T, 3, H, W), whole frames, of which it saw `area`.
        frames: their numbers, from 0.
        area: (cx, cy, rx, ry) as fractions of the whole frame.
        traces: by the name of the graph; their boxes are fractions of the area.
    """

    video: Tensor
    frames: list[int]
    area: Area
    traces: dict[str, Trace]

    def prediction(self, name: str, classes: Sequence[str], scores: Tensor) -> Prediction:
        """What the model says of the video, and where in the whole frame its nodes looked."""
        frames = len(self.frames)
        boxes = {
            graph: whole_boxes(trace.boxes[0], self.area, frames)
            for graph, trace in self.traces.items()
        }
        mass = {
            graph: _held(trace.mass[0].float().cpu(), frames)
            for graph, trace in self.traces.items()
        }
        return Prediction(name, classes, scores, self.frames, boxes, self.area, mass=mass)


def area_of(part: Crop, height: int, width: int) -> Area:
    """A crop of frames of that size as a box (cx, cy, rx, ry), fractions of the whole frame.

    Example:
        >>> area_of(Crop(top=0, left=20, height=50, width=50), height=50, width=100)
        (0.45, 0.5, 0.25, 0.5)
    """
    top, left, high, wide = part
    cx, cy = (left + wide / 2) / width, (top + high / 2) / height
    return cx, cy, wide / 2 / width, high / 2 / height


def whole_boxes(boxes: Tensor, area: Area, frames: int) -> Tensor:
    """Boxes (T', N, 4) in fractions of an area -> (frames, N, 4), in fractions of the whole frame.

    A network that strides in time has boxes for fewer frames: they hold until the next.
    """
    boxes = boxes.float().cpu()
    cx, cy, rx, ry = area
    size = torch.tensor([2 * rx, 2 * ry])
    centres = boxes[..., :2] * size + torch.tensor([cx - rx, cy - ry])
    placed = torch.cat((centres, boxes[..., 2:] * size), dim=-1)
    return _held(placed, frames)


def _held(values: Tensor, frames: int) -> Tensor:
    """(T', ...) -> (frames, ...): what is known of fewer frames holds until the next."""
    return values[torch.arange(frames) * len(values) // frames]


def _rounded(values: Tensor) -> list[Any]:
    """Numbers with four digits, a hundredth of a pixel."""
    return values.double().round(decimals=4).tolist()
