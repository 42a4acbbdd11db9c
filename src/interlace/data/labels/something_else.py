"""Something-Else: where the hands and objects are in videos of Something-Something v2."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from interlace.data.clips.sampling import Crop


@dataclass(frozen=True, eq=False)
class Objects:
    """Boxes of all objects of a video.

    Args:
        names: of each of the M objects: "hand", or the number of a "something", "0000".
        corners: float32 (F, M, 4), left, top, right and bottom in pixels of the video's own
            frames; four times NaN where the object is not in the frame.
    """

    names: tuple[str, ...]
    corners: Tensor

    def boxes(self, frames: Tensor, height: int, width: int) -> Tensor:
        """Boxes in some frames, for `interlace.evaluation.region_metrics.RegionMeter`.

        Args:
            frames: int64 (T,), indices from 0; those that nobody looked at have no objects.
            height, width: of the video's own frames, in pixels.

        Returns:
            float32 (T, M, 4).

        Convention:
            (cx, cy, rx, ry), fractions of the frame; four times NaN where there is no object.
        """
        known = frames < len(self.corners)
        corners = self.corners[frames.clamp(max=len(self.corners) - 1)]  # (T, M, 4)
        corners = corners.masked_fill(~known[:, None, None], torch.nan)
        return _boxes(corners / torch.tensor([width, height] * 2))


def crop_boxes(boxes: Tensor, part: Crop, height: int, width: int) -> Tensor:
    """The same boxes as fractions of a part of the frame; those outside are not there any more.

    Args:
        boxes: (..., 4), fractions of a frame.
        part: of that frame, e.g. of a `View`.
        height, width: of the frame that was cropped, in pixels.

    Returns:
        (..., 4), clipped to the part.
    """
    size = torch.tensor([width, height, width, height])
    center, extent = boxes.split(2, dim=-1)
    corners = torch.cat([center - extent, center + extent], -1) * size
    corners = corners - torch.tensor([part.left, part.top] * 2)
    corners = corners / torch.tensor([part.width, part.height] * 2)
    clipped = corners.clamp(0, 1)
    inside = (clipped[..., 2:] > clipped[..., :2]).all(-1, keepdim=True)
    return _boxes(clipped.masked_fill(~inside, torch.nan))


def read_objects(
    path: str | os.PathLike[str], *, videos: Collection[str] | None = None
) -> dict[str, Objects]:
    """Reads one of the files of boxes.

    Args:
        path: a JSON file: per video a list of frames, each with a name and labels.
        videos: which to keep, by their number; None: all.

    Raises:
        ValueError: it is no such file.
    """
    try:
        said = json.loads(Path(path).read_text(encoding="utf-8"))
        wanted = said.keys() if videos is None else said.keys() & set(videos)
        return {video: _objects(said[video]) for video in said if video in wanted}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no file of Something-Else boxes ({error!r}); copy it again"
        ) from error


def _objects(frames: Iterable[dict[str, Any]]) -> Objects:
    seen: dict[int, list[tuple[str, list[float]]]] = {}
    for frame in frames:
        number = int(PurePosixPath(frame["name"]).stem) - 1  # pictures count from 1
        seen[number] = [_object(label) for label in frame["labels"]]
    tracks: list[tuple[str, dict[int, list[float]]]] = []  # of each object: frame -> corners
    for number in sorted(seen):
        for name, corners in seen[number]:
            known = [track for own, track in tracks if own == name and number not in track]
            if known:  # two hands: each is the one that was nearer
                track = min(known, key=lambda track: math.dist(track[max(track)], corners))
            else:
                track = {}
                tracks.append((name, track))
            track[number] = corners
    out = torch.full((max(seen, default=0) + 1, len(tracks), 4), torch.nan)
    for j, (_, track) in enumerate(tracks):
        out[list(track), j] = torch.tensor(list(track.values()))
    return Objects(tuple(name for name, _ in tracks), out)


def _object(label: dict[str, Any]) -> tuple[str, list[float]]:
    """Name and corners; early files say the category beside these, and have no number."""
    said = label["box2d"] | label
    name = said["standard_category" if "standard_category" in said else "category"]
    return str(name), [float(label["box2d"][key]) for key in ("x1", "y1", "x2", "y2")]


def _boxes(corners: Tensor) -> Tensor:
    """(..., 4) left, top, right, bottom -> center and half-extents."""
    low, high = corners.split(2, dim=-1)
    return torch.cat([(low + high) / 2, (high - low) / 2], -1)
