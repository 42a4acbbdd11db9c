"""The film of a video at its own rate: the regions of a graph, also between the frames it saw.

Drawn with Pillow, as matplotlib takes a hundred times as long for the hundreds of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from interlace.visualize.canvas import Array, need, resized
from interlace.visualize.palette import DARK, along_outline, node_colour

SHORT_SIDE = (360, 480)  # pixels of the shorter side of a film, at least and at most
BAR = 14  # pixels of the line of time below it, and even
DIM, OUTSIDE = 0.85, 0.45  # of what the graph saw, and of the rest


def boxes_between(boxes: Array, numbers: Sequence[int], frames: Sequence[int]) -> Array:
    """Boxes of all frames of a video, from those of the frames that a graph saw.

    On the way from one to the next they move evenly; before the first and behind the last they
    hold. From a frame in which a node is silent to one in which it speaks, or back, it rests, and
    speaks in those nearer to the latter.

    Args:
        boxes: (T, N, 4), NaN where a node is silent.
        numbers: of these T frames, ascending; of a frame that is repeated the first counts.
        frames: (F) numbers of the frames that boxes are wanted for.

    Returns:
        (F, N, 4), NaN where a node is silent.
    """
    known, first = np.unique(np.asarray(numbers), return_index=True)
    boxes = boxes[first]
    at = np.interp(frames, known, np.arange(len(known)))
    before = np.floor(at).astype(int)
    after = np.minimum(before + 1, len(known) - 1)
    share = (at - before)[:, None, None]
    start, end = boxes[before], boxes[after]
    silent = np.isnan(np.where(share < 0.5, start, end))
    start, end = np.where(np.isnan(start), end, start), np.where(np.isnan(end), start, end)
    return np.where(silent, np.nan, (1 - share) * start + share * end)


def draw_film(
    frames: Iterable[Array],
    boxes: Array,
    *,
    area: Sequence[float],
    colours: Sequence[str] | None = None,
    seen: Sequence[float] = (),
    trail: int = 12,
    short_side: int | None = None,
) -> Iterator[Array]:
    """Frames with the regions of all nodes, the paths of their centres, and a line of time.

    Args:
        frames: uint8 (H, W, 3), F of them; the graph did not see what lies outside of the area.
        boxes: (F, N, 4), (cx, cy, rx, ry) in [0, 1] of the frame; NaN where a node is not drawn.
        area: (cx, cy, rx, ry) in [0, 1] of the frame.
        colours: (N), "#rrggbb"; None: those of `node_colour`.
        seen: places in [0, 1] of the film at which the graph saw a frame, marked below.
        trail: how many frames the path of a centre stays visible.
        short_side: of the film, in pixels; None: that of the video, within `SHORT_SIDE`.

    Returns:
        Frames, uint8 (H', W', 3), one after the other.
    """
    image, draw, rgb = need("PIL.Image"), need("PIL.ImageDraw"), need("PIL.ImageColor").getrgb
    dark, inks = rgb(DARK), [rgb(ink) for ink in colours or map(node_colour, range(boxes.shape[1]))]
    for t, frame in enumerate(frames):
        height, width = _film_size(frame.shape[0], frame.shape[1], short_side)
        picture = image.fromarray(_dimmed(resized(frame, height, width), area))
        pen = draw.Draw(picture, "RGBA")
        size = np.array([width, height])
        unit = min(height, width) / 360
        line = max(2, round(2 * unit))
        here = np.flatnonzero(np.isfinite(boxes[t]).all(axis=-1)).tolist()
        for n in here:
            for steps in _unbroken(boxes[max(0, t - trail) : t + 1, n, :2] * size):
                if len(steps) > 1 and np.ptp(steps, axis=0).max() > 1:
                    pen.line([tuple(step) for step in steps], fill=(*inks[n], 150), width=line)
        places = along_outline(boxes[t, here], least=0.02) * size  # (nodes, 16, 2)
        centres, halves = boxes[t, here, :2], boxes[t, here, 2:]
        # Pillow fills all of a rectangle, also what is outside
        low = np.rint((centres - halves).clip(-0.1, 1.1) * size).astype(int)
        high = np.rint((centres + halves).clip(-0.1, 1.1) * size).astype(int)
        for k, n in enumerate(here):
            x, y = centres[k] * size
            outer = (*(low[k] - 1).tolist(), *(high[k] + 1).tolist())
            pen.rectangle(outer, outline=(*dark, 170), width=line + 2)
            pen.rectangle((*low[k].tolist(), *high[k].tolist()), outline=inks[n], width=line)
            r = 3.2 * unit
            pen.ellipse((x - r, y - r, x + r, y + r), fill=inks[n], outline=dark)
        for k, n in enumerate(here):
            badge = _badge(n, inks[n], round(17 * unit))
            half = badge.width / 2
            # always the same place on the outline, so that numbers do not jump about
            x, y = places[k, n % places.shape[1]].clip(half, size - half)
            picture.paste(badge, (round(x - half), round(y - half)), badge)
        bar = np.full((BAR, width, 3), dark, np.uint8)
        for place in seen:
            column = round(place * (width - 3))
            bar[4:-4, column : column + 3] = 150
        head = round(t / max(len(boxes) - 1, 1) * (width - 3))
        bar[1:-1, head : head + 3] = 255
        yield np.concatenate([np.asarray(picture), bar])


def film_options(frames: int, fps: float, largest: int) -> dict[str, str]:
    """Options of x264 for a film of about so many bytes at most."""
    rate = round(8 * largest * fps / max(frames, 1))
    return {"crf": "24", "preset": "fast", "maxrate": str(rate), "bufsize": str(rate)}


def _unbroken(steps: Array) -> list[Array]:
    """Steps (T, 2), cut where they are NaN."""
    known = np.isfinite(steps[:, 0])
    cuts = np.flatnonzero(known[1:] != known[:-1]) + 1
    return [part for part in np.split(steps, cuts) if np.isfinite(part).all()]


def _film_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Even numbers of pixels, (H', W')."""
    wanted = short_side or int(np.clip(min(height, width), *SHORT_SIDE))
    scale = wanted / min(height, width)
    return round(height * scale / 2) * 2, round(width * scale / 2) * 2


def _dimmed(picture: Array, area: Sequence[float]) -> Array:
    """Darker, what lies outside of the area most."""
    out = picture * OUTSIDE
    inside = inside_of(area, *picture.shape[:2])
    out[inside] = picture[inside] * DIM
    return out.round().astype(np.uint8)


def inside_of(area: Sequence[float], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an area (cx, cy, rx, ry) of a frame."""
    cx, cy, rx, ry = area
    return (
        slice(max(0, round((cy - ry) * height)), round((cy + ry) * height)),
        slice(max(0, round((cx - rx) * width)), round((cx + rx) * width)),
    )


@cache
def _badge(node: int, ink: tuple[int, int, int], size: int) -> Any:
    """A disc in the node's ink with its number, drawn large and made small."""
    image, draw, font = need("PIL.Image"), need("PIL.ImageDraw"), need("PIL.ImageFont")
    large = 4 * size
    badge = image.new("RGBA", (large, large), (0, 0, 0, 0))
    pen = draw.Draw(badge)
    pen.ellipse((1, 1, large - 2, large - 2), fill=ink, outline=DARK, width=4)
    pen.text((large / 2, large / 2), str(node), fill=DARK, anchor="mm",
             font=font.load_default(0.62 * large), stroke_width=1)  # fmt: skip
    return badge.resize((size, size), image.Resampling.LANCZOS)
