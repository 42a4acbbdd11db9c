"""Synthetic videos as files, for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from interlace.data.digits.datasets import VideoOptions, load_split
from interlace.data.digits.moving import Split, VideoBatch
from interlace.record import write_json


def write_videos(
    folder: Path,
    options: VideoOptions,
    *,
    split: Split,
    count: int,
    format: Literal["mp4", "gif", "npz"],
) -> Path:
    """Writes the first videos of a split, and labels.json with what is known about each.

    Args:
        folder: made if it is not there.
        options: which data set.
        split: "train", "validation" or "test".
        count: how many.
        format: mp4 or gif, enlarged and with the boxes of synchronous digits drawn bright; npz
            holds the arrays of a `VideoBatch`.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    videos = load_split(options, split)
    if count > len(videos):
        raise ValueError(
            f"count must be at most {split}_size, as there are only {len(videos)} videos, "
            f"got {count}: ask for a larger data.{split}_size"
        )
    batch = videos.batch(range(count))
    folder.mkdir(parents=True, exist_ok=True)
    labels = []
    for k in range(count):
        one = type(batch)(*(field[k] for field in batch))
        name = f"{split}_{k:05d}.{format}"
        if format == "npz":
            np.savez_compressed(folder / name, **{f: v.numpy() for f, v in one._asdict().items()})
        else:
            _draw(folder / name, one)
        labels.append(
            {
                "file": name,
                "label": int(one.label),
                "class": videos.class_name(int(one.label)),
                "digits": one.classes.tolist(),
                "synchronous": one.synchronous.tolist(),
                "boxes": one.boxes.tolist(),  # (T, D, 4) as (cx, cy, rx, ry) in [0, 1]
            }
        )
    write_json(folder / "labels.json", labels)
    return folder


def _draw(path: Path, one: VideoBatch) -> None:
    from interlace.visualize import draw_clip, save_gif, save_mp4

    bright, dim = (255, 160, 0), (110, 110, 110)
    colors = [bright if moves else dim for moves in one.synchronous.tolist()]
    frames = draw_clip(one.video, boxes=one.boxes, colors=colors)
    (save_gif if path.suffix == ".gif" else save_mp4)(path, frames)
