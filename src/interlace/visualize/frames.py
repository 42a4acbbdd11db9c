"""Frames as people watch them: enlarged, with boxes, as a strip, a gif or an mp4."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interlace.files import writing
from interlace.visualize.canvas import Array, need, new_figure, new_panels, picture_axes, show_frame
from interlace.visualize.view import NODE_COLOURS, as_boxes, as_frames, as_objects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MATTERS, BYSTANDER = "#a3e635", "#94a3b8"  # boxes that decide the label, and the others


def draw_clip(
    video: Any,
    *,
    boxes: Any = None,
    colors: Sequence[str | tuple[int, int, int]] = NODE_COLOURS,
    scale: int | None = None,
) -> Array:
    """Enlarges a clip by whole pixels and outlines boxes on it.

    Args:
        video: uint8 (T, C, H, W), C 1 or 3.
        boxes: (T, D, 4) boxes to outline, the lines inside them.
        colors: "#rrggbb" or (r, g, b) in 0..255, which the boxes get in turn.
        scale: how many pixels wide a pixel becomes; default: the shorter side gets 256 or more.

    Returns:
        uint8 (T, H * scale, W * scale, 3).

    Convention:
        a box (cx, cy, rx, ry) covers the pixels from round((cx - rx) * W * scale) up to, not
        including, round((cx + rx) * W * scale); what lies outside of the frame is cut off.
    """
    frames = as_frames(video)
    time, height, width, _ = frames.shape
    scale = scale or frame_scale(height, width, 256)
    frames = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    if boxes is None:
        return frames
    boxes = as_boxes(boxes, time)
    image, draw = need("PIL.Image"), need("PIL.ImageDraw")
    line = max(1, min(frames.shape[1:3]) // 160)
    size = np.array([width * scale, height * scale])
    starts = np.rint((boxes[..., :2] - boxes[..., 2:]) * size).astype(int)
    ends = np.rint((boxes[..., :2] + boxes[..., 2:]) * size).astype(int)
    pictures = [image.fromarray(frame) for frame in frames]
    for picture, low, high in zip(pictures, starts, ends - 1, strict=True):
        pen = draw.Draw(picture)
        for n in np.flatnonzero((low <= high).all(axis=1)).tolist():
            corners = (*low[n].tolist(), *high[n].tolist())
            pen.rectangle(corners, outline=colors[n % len(colors)], width=line)
    return np.stack([np.asarray(picture) for picture in pictures])


def frames_figure(
    video: Any, *, boxes: Any = None, highlight: Any = None, numbers: Sequence[int] | None = None
) -> Figure:
    """The frames of a clip in a strip, ten in a row, with true boxes where given.

    Args:
        boxes: (T, D, 4).
        highlight: the boxes that matter, as indices or a mask (D,); drawn bold and green.
        numbers: what frames are called; None counts them from 0.
    """
    frames = as_frames(video)
    time, height, width, _ = frames.shape
    objects, matters = as_objects(boxes, highlight, time)
    # The strip keeps the page's width, so that its text is as large as in every other figure.
    figure, panels = new_panels(
        time, min(time, 10), ratio=height / width, widest=1.9, gaps=(0.05, 0.21), top=0.02, foot=0.2
    )
    for t, axes in enumerate(panels):
        show_frame(axes, frames[t])
        axes.set_xlabel(str(t if numbers is None else numbers[t]), fontsize=7, labelpad=2)
        for n in np.argsort(matters, kind="stable"):  # those that matter on top
            colour, line = (MATTERS, 1.1) if matters[n] else (BYSTANDER, 0.6)
            outline(axes, objects[t, n], colour, line)
    return figure


def outline(axes: Axes, box: Array, colour: str, line: float, **style: Any) -> None:
    """The outline of one box (cx, cy, rx, ry) on axes that span [0, 1]."""
    from matplotlib.patches import Rectangle

    cx, cy, rx, ry = box.astype(np.float64)
    corner = cx - rx, cy - ry
    axes.add_patch(Rectangle(corner, 2 * rx, 2 * ry, fill=False, ec=colour, lw=line, **style))


def save_gif(path: str | os.PathLike[str], frames: Any, *, fps: float = 5) -> Path:
    """Writes frames, uint8 (T, H, W, 3), as a gif that repeats for ever.

    Equal frames that follow each other become one that stays longer.
    """
    return _saved(path, gif_bytes(frames, fps=fps))


def gif_bytes(frames: Any, *, fps: float = 5) -> bytes:
    """The bytes of the gif that `save_gif` writes."""
    image = need("PIL.Image")
    pictures = []
    for frame in _drawn(frames, fps):
        picture = image.fromarray(frame)
        # MAXCOVERAGE keeps the colours of thin lines; dithering touches no colour that is kept.
        palette = picture.quantize(256, image.Quantize.MAXCOVERAGE)
        pictures.append(picture.quantize(palette=palette, dither=image.Dither.FLOYDSTEINBERG))
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=max(20, round(1000 / fps)),
        loop=0,
        disposal=1,
    )
    return stream.getvalue()


def save_mp4(path: str | os.PathLike[str], frames: Any, *, fps: float = 5) -> Path:
    """Writes frames, uint8 (T, H, W, 3), as H.264; an odd last row or column is doubled."""
    return _saved(path, encode_mp4(_drawn(frames, fps), fps))


def encode_mp4(
    frames: Iterable[Array], fps: float = 5, options: Mapping[str, str] | None = None
) -> bytes:
    """Frames, uint8 (H, W, 3) one after the other, as H.264 with options of x264.

    An odd last row or column is doubled.
    """
    av = need("av")
    file = io.BytesIO()
    with av.open(file, mode="w", format="mp4") as container:
        stream = container.add_stream("h264", rate=Fraction(fps).limit_denominator(1000))
        stream.pix_fmt = "yuv420p"
        stream.options = dict(options or {"crf": "18"})
        for k, frame in enumerate(frames):
            height, width, _ = frame.shape
            if not k:
                stream.height, stream.width = height + height % 2, width + width % 2
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file.getvalue()


def drawn_frames(pictures: Array, scale: int | None, draw: Callable[[Axes, int], None]) -> Array:
    """Frames of which `draw(axes, t)` draws each: uint8 (T, H * scale, W * scale, 3).

    Args:
        pictures: (T, H, W, 3), for their size.
        scale: how many pixels wide a pixel becomes; None: the shorter side gets 384 or more.
        draw: on axes that span all of the frame.
    """
    time, height, width, _ = pictures.shape
    scale = scale or frame_scale(height, width, 384)
    size = width * scale / 100, height * scale / 100  # inches
    drawn = []
    for t in range(time):
        figure = new_figure(*size)
        draw(picture_axes(figure, 0, 0, *size), t)
        figure.canvas.draw()
        drawn.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())  # type: ignore[attr-defined]
    return np.stack(drawn)


def frame_scale(height: int, width: int, least: int) -> int:
    """How many pixels wide a pixel becomes, so that the shorter side gets `least` or more."""
    return max(1, -(-least // min(height, width)))


def _saved(path: str | os.PathLike[str], encoded: bytes) -> Path:
    with writing(path) as file:
        file.write_bytes(encoded)
    return Path(path)


def _drawn(frames: Any, fps: float) -> Array:
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(
            f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}; "
            "use draw_clip or animate to make them"
        )
    if not 0 < fps <= 50:
        raise ValueError(f"fps must be above 0 and at most 50, got {fps}; 5 suits short clips")
    return frames
