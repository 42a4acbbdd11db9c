"""What is looked at: one clip of a trace as plain arrays, its nodes' names, colours and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interlace.graph.trace import SPEAKS, Trace
from interlace.visualize.canvas import Array
from interlace.visualize.palette import node_colour

# Bright on a dimmed frame, told apart by the common kinds of colour blindness.
NODE_COLOURS = (
    "#38bdf8", "#fbbf24", "#f472b6", "#a78bfa", "#34d399",
    "#fb7185", "#a3e635", "#22d3ee", "#fb923c", "#e879f9",
)  # fmt: skip


@dataclass(frozen=True)
class ClipView:
    """One clip of a trace with its frames, checked, on the CPU: what pictures are drawn from.

    Attributes:
        frames: uint8 (T, H, W, 3); one black pixel each where no video was given.
        boxes: (T, N, 4) regions, (cx, cy, rx, ry) in [0, 1] of the frame.
        kernels: (T, N, H, W) what each node pooled, over the `area`.
        attention: (T, K, N, N) weight of the message to the receiver (second last axis) from the
            sender (last axis), averaged over heads.
        heads: how many heads were averaged.
        names: per node, "3×3 grid, row 1, column 0" for the cells of a grid, else "".
        colours: per node, one colour per grid, or one per node where the regions are no grid.
        objects: (T, D, 4) true boxes; D = 0 where none were given.
        matters: bool (D,) which of them matter.
        area: (cx, cy, rx, ry), the part of the frame that the graph saw.
        numbers: of the T frames, as pictures call them.
        mass: (T, N) in [0, 1]; below a half a node is silent in a frame, and not drawn there.
    """

    frames: Array
    boxes: Array
    kernels: Array
    attention: Array
    heads: int
    names: list[str]
    colours: list[str]
    objects: Array
    matters: Array
    area: tuple[float, float, float, float]
    numbers: list[int]
    mass: Array

    @property
    def ratio(self) -> float:
        """Height of a frame / its width."""
        return self.frames.shape[1] / self.frames.shape[2]

    @property
    def num_frames(self) -> int:
        return int(self.boxes.shape[0])

    @property
    def num_nodes(self) -> int:
        return int(self.boxes.shape[1])

    @property
    def num_rounds(self) -> int:
        return int(self.attention.shape[1])

    @property
    def speaks(self) -> Array:
        """bool (T, N), the nodes that are not silent in a frame."""
        return self.mass >= SPEAKS

    @property
    def speakers(self) -> list[int]:
        """The nodes that speak in any frame of the clip."""
        return np.flatnonzero(self.speaks.any(axis=0)).tolist()

    def in_frame(self, t: int, nodes: Sequence[int]) -> list[int]:
        """Those of the nodes that speak in a frame."""
        return [n for n in nodes if self.speaks[t, n]]

    @property
    def spoken_boxes(self) -> Array:
        """(T, N, 4), NaN where a node is silent."""
        return np.where(self.speaks[..., None], self.boxes, self.boxes.dtype.type(np.nan))

    @property
    def messages(self) -> Array:
        """(T, K, N, N) attention from nodes that speak to nodes that do, 0 elsewhere."""
        speaks = self.speaks[:, None]
        return self.attention * (speaks[..., :, None] & speaks[..., None, :])

    def describe(self, node: int) -> str:
        """The node's number and, for the cell of a grid, which."""
        return f"node {node} ({self.names[node]})" if self.names[node] else f"node {node}"


def as_array(values: Any) -> Array:
    """A NumPy array of a tensor on any device, an array or a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # NumPy has none
            values = values.float()
    return np.asarray(values)


def as_frames(video: Any) -> Array:
    """Checks a video, uint8 (T, C, H, W) with C 1 or 3, and returns RGB frames (T, H, W, 3)."""
    frames = as_array(video)
    if frames.ndim != 4 or frames.shape[1] not in (1, 3) or 0 in frames.shape:
        raise ValueError(
            f"video must be (T, C, H, W) with C 1 or 3, got {frames.shape}; "
            "take one clip of a batch with video[b]"
        )
    if frames.dtype != np.uint8:
        raise ValueError(
            f"video must be uint8 in 0..255, got {frames.dtype}; "
            "for values in [0, 1] use (video * 255).round().to(torch.uint8)"
        )
    frames = frames.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3)))


def as_boxes(boxes: Any, num_frames: int) -> Array:
    """Checks boxes (T, D, 4), (cx, cy, rx, ry) in [0, 1] of the frame."""
    boxes = as_array(boxes).astype(np.float64)
    if boxes.ndim != 3 or boxes.shape[-1] != 4 or boxes.shape[0] != num_frames:
        raise ValueError(
            f"boxes must be ({num_frames}, D, 4), one (cx, cy, rx, ry) per frame and object, "
            f"got {boxes.shape}; take one clip of a batch with boxes[b]"
        )
    if not np.isfinite(boxes).all():
        raise ValueError("boxes must be finite, got NaN or infinity; leave out absent objects")
    return boxes


def as_objects(boxes: Any, highlight: Any, num_frames: int) -> tuple[Array, Array]:
    """True boxes (T, D, 4) and which of them matter (D,), all checked; D = 0 where there are none.

    Args:
        boxes: (T, D, 4), or None.
        highlight: those that matter, as indices or as a mask (D,), or None.
    """
    if boxes is None and highlight is not None:
        raise ValueError("highlight names boxes, got no boxes; pass boxes=(T, D, 4) with it")
    boxes = np.zeros((num_frames, 0, 4)) if boxes is None else as_boxes(boxes, num_frames)
    matters = np.zeros(boxes.shape[1], dtype=bool)
    if highlight is not None and len(highlight):
        try:
            matters[as_array(highlight)] = True
        except IndexError as error:
            raise ValueError(
                f"highlight must name boxes 0 to {len(matters) - 1}, got {highlight}; "
                "give indices into the second axis of boxes, or one flag per box"
            ) from error
    return boxes, matters


def view_clip(
    trace: Trace,
    video: Any = None,
    *,
    clip: int = 0,
    boxes: Any = None,
    highlight: Any = None,
    area: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5),
    numbers: Sequence[int] | None = None,
) -> ClipView:
    """Takes one clip out of a trace, checked, with the frames that it is of.

    Args:
        trace: of a graph, as its model returned it.
        video: uint8 (T, C, H, W), the frames that the trace is of; None for pictures without.
        clip: which clip of the trace.
        boxes: (T, D, 4) true boxes of objects, where known.
        highlight: the boxes that matter, as those that decide a label: indices or a mask (D,).
        area: (cx, cy, rx, ry), the part that the graph saw, as fractions of the whole frame; the
            boxes of the trace are fractions of this part.
        numbers: of the frames, as pictures are to call them; None counts them from 0.
    """
    batch, time, nodes, _ = trace.boxes.shape
    if not 0 <= clip < batch:
        raise ValueError(
            f"clip must be 0 to {batch - 1}, got {clip}; the trace holds {batch} clip(s)"
        )
    frames = np.zeros((time, 1, 1, 3), np.uint8) if video is None else as_frames(video)
    if len(frames) != time:
        raise ValueError(
            f"the video has {len(frames)} frames and the trace {time}; "
            "pass the frames that the traced features stand for"
        )
    objects, matters = as_objects(boxes, highlight, time)
    kinds = "boxes", "kernels", "attention", "mass"
    found = {kind: as_array(getattr(trace, kind)[clip]) for kind in kinds}
    for kind, values in found.items():
        if not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"trace.{kind} must be finite, got NaN or infinity in clip {clip}, frame "
                f"{where[0]}; check the model's weights and its input"
            )
    boxes, kernels, attention, mass = found.values()
    names, colours = name_nodes(boxes)
    _, rounds, heads, _, _ = attention.shape
    mean = attention.mean(axis=2, dtype=np.float64) if rounds else np.zeros((time, 0, nodes, nodes))
    called = list(range(time) if numbers is None else numbers)
    if len(called) != time:
        raise ValueError(
            f"numbers must be one for each of the {time} frames of the trace, got {len(called)}"
        )
    boxes = on_whole_frame(boxes, area)
    return ClipView(
        frames, boxes, kernels, mean, heads, names, colours, objects, matters, area, called, mass
    )


def on_whole_frame(boxes: Array, area: Sequence[float]) -> Array:
    """Boxes (..., 4) that are fractions of an area (cx, cy, rx, ry), as fractions of the frame."""
    cx, cy, rx, ry = area
    size = np.array([2 * rx, 2 * ry])
    centres = boxes[..., :2] * size + (cx - rx, cy - ry)
    return np.concatenate([centres, boxes[..., 2:] * size], axis=-1)


def name_nodes(boxes: Array) -> tuple[list[str], list[str]]:
    """Names and colours of nodes from their boxes (T, N, 4).

    A box that rests at the cell of a square grid is named after it, rows and columns counted from
    0; grids of one size share a colour. Other boxes have no name and a colour each.
    """
    half = np.maximum(boxes[0, :, 2], 1e-3)  # a point is no cell
    size = np.maximum((0.5 / half).round(), 1)  # (N,), cells a row
    column, row = np.floor(boxes[0, :, :2].T * size)
    cells = np.stack([(column + 0.5) / size, (row + 0.5) / size, 0.5 / size, 0.5 / size], axis=-1)
    if not np.allclose(boxes, cells, atol=1e-4):
        return [""] * boxes.shape[1], [node_colour(n) for n in range(boxes.shape[1])]
    names = [
        f"{s:.0f}×{s:.0f} grid, row {r:.0f}, column {c:.0f}" if s > 1 else "whole frame"
        for s, r, c in zip(size, row, column, strict=True)
    ]
    _, grid = np.unique(-size, return_inverse=True)  # (N,), the finest first
    return names, [NODE_COLOURS[k % len(NODE_COLOURS)] for k in grid]


def spread_centres(boxes: Array, *, near: float = 0.06, radius: float = 0.06) -> Array:
    """Where nodes are drawn, (N, 2): at their centres, those that would cover each other apart.

    The middle cell of a 3×3 grid and the whole frame share a centre; nodes nearer than `near` to
    each other are put on a small circle around it.
    """
    centres = boxes[:, :2].copy()
    free = list(range(len(centres)))
    while free:
        first, *free = free
        group = [first] + [n for n in free if np.hypot(*(boxes[n] - boxes[first])[:2]) < near]
        free = [n for n in free if n not in group]
        if len(group) > 1:
            angles = np.pi * (0.75 + 2 * np.arange(len(group)) / len(group))
            circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            centres[group] = centres[group].mean(axis=0) + radius * circle
    return centres.clip(0.03, 0.97)
