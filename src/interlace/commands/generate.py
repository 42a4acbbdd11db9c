"""Videos of digits to look at, and clips of motions to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from interlace.commands import at_least_one, say


def generate_digits(
    data: Any,
    out: str = "runs/videos",
    split: Literal["train", "validation", "test"] = "test",
    count: int = 8,
    format: Literal["mp4", "gif", "npz"] = "mp4",
) -> None:
    """Write synthetic videos for people to look at, with labels and boxes.

    Args:
        data: which videos; `--data NAME` will do.
        out: folder; labels.json there names every video's label, digits and boxes.
        split: of the data set.
        count: how many, from the first.
        format: mp4 or gif, enlarged and with boxes drawn; npz, the arrays themselves.
    """
    import numpy as np

    from interlace.data.digits.datasets import load_split
    from interlace.record import write_json
    from interlace.visualize import draw_clip, save_gif, save_mp4

    at_least_one(count=count)
    videos = load_split(data, split)
    if count > len(videos):
        raise ValueError(
            f"there are only {len(videos)} videos, got {count=}: take a larger data.{split}_size"
        )
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    bright, dim = (255, 160, 0), (110, 110, 110)
    labels, batch = [], videos.batch(range(count))
    for k in range(count):
        one = type(batch)(*(field[k] for field in batch))
        name = f"{split}_{k:05d}.{format}"
        if format == "npz":
            np.savez_compressed(folder / name, **{f: v.numpy() for f, v in one._asdict().items()})
        else:
            colors = [bright if moves else dim for moves in one.synchronous.tolist()]
            frames = draw_clip(one.video, boxes=one.boxes, colors=colors)
            (save_gif if format == "gif" else save_mp4)(folder / name, frames)
        # boxes are (T, D, 4) as (cx, cy, rx, ry) in [0, 1]
        known = {key: value.tolist() for key, value in one._asdict().items() if key != "video"}
        known["digits"] = known.pop("classes")
        labels.append({"file": name, "class": videos.class_name(known["label"]), **known})
    write_json(folder / "labels.json", labels)
    say(f"{count} videos in {folder}")


def generate_motion(
    out: str = "runs/motion_clips", per_class: int = 60, seed: int = 0, frames: int = 24
) -> None:
    """Write a small data set of clips whose classes differ only by motion, to try training on.

    Two shapes move left, right, together or apart; no frame by itself tells which.

    Args:
        out: folder; a folder of mp4 and webm files for each class comes into it.
        per_class: how many clips of each.
        seed: another one makes others.
        frames: of a clip, 12 a second.
    """
    from interlace.data.clips.motion import write_motion_clips

    files = write_motion_clips(out, per_class=per_class, seed=seed, frames=frames)
    say(f"{len(files)} clips in {out}")
