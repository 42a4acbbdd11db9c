"""What a clip's report adds for a graph whose regions are its own: pictures, films and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interlace.visualize.canvas import Array
from interlace.visualize.frames import encode_mp4, gif_bytes
from interlace.visualize.paths import paths_figure
from interlace.visualize.regions import regions_figure, sizes_figure
from interlace.visualize.view import ClipView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_GIF = 1_000_000  # bytes, of one in a page


def kernels_are_regions(view: ClipView) -> bool:
    """Whether kernels are products of a row and a column, as those of regions are.

    Maps of any form, as those of semantic nodes, are not; their boxes only tell mean and spread.
    """
    kernels = view.kernels.astype(np.float64)
    rows, columns = kernels.sum(axis=-1), kernels.sum(axis=-2)
    whole = np.maximum(rows.sum(axis=-1), 1e-12)[..., None, None]
    product = rows[..., :, None] * columns[..., None, :] / whole
    return bool(np.abs(kernels - product).sum(axis=(-2, -1)).max() < 0.02)


def has_regions(view: ClipView) -> bool:
    """Whether boxes are drawn as regions: those that are no cells of a grid, nor of any maps.

    Nodes that may be silent read maps, too, but look at one thing each.
    """
    return not any(view.names) and (may_be_silent(view) or kernels_are_regions(view))


def may_be_silent(view: ClipView) -> bool:
    """Whether nodes are bound to content: then they are never quite sure."""
    return bool((view.mass < 1).any())


def regions_move(view: ClipView) -> bool:
    """Whether a region changes within the clip."""
    own = (view.boxes[view.speaks[:, n], n] for n in view.speakers)
    return any(not np.allclose(boxes, boxes[:1], atol=1e-4) for boxes in own)


def region_pictures(view: ClipView) -> dict[str, Figure]:
    """The figures of a clip's regions, caption -> figure."""
    figures = {"Regions on the frames": regions_figure(view)}
    if regions_move(view):
        figures["Paths of the nodes"] = paths_figure(view)
        figures["Sizes of the regions"] = sizes_figure(view)
    return figures


def film_for_page(film: Array, *, photograph: bool = False) -> bytes:
    """A gif where that is below 1 MB, else an mp4, which of photographs is a tenth of a gif."""
    encoded = None if photograph else gif_if_small(film)
    return encode_mp4(film) if encoded is None else encoded


def gif_if_small(film: Array) -> bytes | None:
    """The gif of a film (T, H, W, 3), or None where it has 1 MB or more."""
    if 0.8 * len(gif_bytes(film[:1])) * len(film) > LARGEST_GIF and len(film) > 1:
        return None
    encoded = gif_bytes(film)
    return encoded if len(encoded) < LARGEST_GIF else None


def regions_in_words(view: ClipView) -> str:
    """How far regions go and how large they are."""
    if not has_regions(view):
        return (
            "Nodes read with maps of any form; the box of a node only tells the mean and the "
            "spread of its map."
        )
    boxes = view.spoken_boxes
    half = boxes[..., 2:]
    least, largest = np.nanmin(half), np.nanmax(half)
    low, high = (np.argwhere(half == size)[0] for size in (least, largest))
    sizes = (
        f"All half extents of the regions are {largest:.3f} of the frame."
        if largest - least < 1e-4
        else f"Half extents of the regions range from {least:.3f} of the frame "
        f"(node {low[1]}, frame {view.numbers[low[0]]}) to {largest:.3f} "
        f"(node {high[1]}, frame {view.numbers[high[0]]})."
    )
    if not kernels_are_regions(view):
        sizes = f"Their boxes are the middle and the spread of what a node reads. {sizes}"
    if view.num_frames == 1:
        return f"Regions are no cells of a grid. {sizes}"
    if not regions_move(view):
        return f"Regions are no cells of a grid, and the same in all frames. {sizes}"
    steps = np.hypot(*np.moveaxis(np.diff(boxes[..., :2], axis=0), -1, 0))  # (T - 1, N), with NaN
    if np.isnan(steps).all():
        return f"Regions are no cells of a grid; no node speaks in two frames on end. {sizes}"
    length = np.nansum(steps, axis=0)  # (N,)
    most = int(length.argmax())
    return (
        f"Regions move: from a frame to the next, a centre goes {np.nanmean(steps):.3f} of the "
        f"frame on average; that of node {most} goes farthest, {length[most]:.3f} over the clip. "
        f"{sizes}"
    )
