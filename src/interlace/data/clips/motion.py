"""Made-up clips whose classes differ only by motion: a small data set of real files to try on.

Two shapes move to the left, to the right, together or apart. In every class a frame by itself, of
whatever time, is drawn from the same distribution, so it tells nothing; left and right, together
and apart, are each other played backwards, so a bag of frames does not tell them apart either.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from interlace.data.video.info import need_av

Motion = Literal["left", "right", "together", "apart"]
MOTIONS: tuple[Motion, ...] = ("left", "right", "together", "apart")
TRAVEL = 0.1  # of the width, from the middle of a shape's path to its ends
CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9"}


def motion_clip(
    motion: Motion, *, seed: int, frames: int = 24, width: int = 160, height: int = 120
) -> np.ndarray:
    """One clip, the same for the same seed.

    Args:
        motion: its class.
        seed: of places, shapes, colours and noise.
        frames: T.
        width, height: in pixels.

    Returns:
        uint8 (T, height, width, 3).

    Example:
        >>> motion_clip("left", seed=0, frames=8).shape
        (8, 120, 160, 3)
    """
    random = np.random.default_rng((seed, MOTIONS.index(motion)))
    x = paths(motion, random, frames) * width  # (T, 2)
    y = random.uniform(0.25, 0.75, 2) * height + random.normal(0, 0.01 * height, (frames, 2))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    clip = np.broadcast_to(_background(random, rows, columns), (frames, height, width, 3)).copy()
    for k in range(2):
        size = random.uniform(0.07, 0.11) * height
        kind, colour = int(random.integers(3)), random.uniform(120, 255, 3)
        for t in range(frames):
            clip[t][_inside(kind, columns - x[t, k], rows - y[t, k], size)] = colour
    clip += random.normal(0, 12, clip.shape)
    return clip.clip(0, 255).astype(np.uint8)


def paths(motion: Motion, random: np.random.Generator, frames: int) -> np.ndarray:
    """Where the two shapes are, as fractions of the width; (T, 2).

    The middle between the shapes and half their distance are each a place of the clip and a
    number between -TRAVEL and TRAVEL. One of these numbers runs through time, the other is drawn
    once, from the same numbers; the class says which runs, and which way.
    """
    runs = np.linspace(-TRAVEL, TRAVEL, frames)
    once = np.full(frames, random.choice(runs))
    runs = -runs if motion in ("left", "together") else runs
    middle, half = (runs, once) if motion in ("left", "right") else (once, runs)
    half = half + random.uniform(0.15, 0.19)
    middle = middle + random.uniform(0.45, 0.55)
    return np.stack((middle - half, middle + half), axis=1)


def _background(random: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A dark colour with soft waves, (H, W, 3)."""
    waves = np.zeros((*rows.shape, 1), np.float32)
    for _ in range(3):
        along, down, phase = random.uniform((-0.15, -0.15, 0), (0.15, 0.15, 6.28))
        waves[..., 0] += 10 * np.sin(along * columns + down * rows + phase)
    return random.uniform(30, 80, 3).astype(np.float32) + waves


def _inside(kind: int, x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """Where a disc, a square or a triangle about the origin is, (H, W)."""
    if kind == 0:
        return x**2 + y**2 < size**2
    if kind == 1:
        return (abs(x) < 0.9 * size) & (abs(y) < 0.9 * size)
    return (y < 0.8 * size) & (y > 2 * abs(x) - 1.1 * size)


def write_motion_clips(
    folder: str | os.PathLike[str], *, per_class: int = 60, seed: int = 0, frames: int = 24
) -> list[Path]:
    """Writes clips into a folder for each class, half of them mp4 (H.264), half webm (VP9).

    Args:
        folder: made if it is not there.
        per_class: how many clips of each.
        seed: another one makes others.
        frames: of a clip, 12 a second.

    Returns:
        The files.

    Raises:
        ImportError: PyAV is not installed.
    """
    if per_class < 1 or frames < 2:
        raise ValueError(f"a class needs 1 clip of 2 frames, got {per_class} of {frames}")
    written = []
    for motion in MOTIONS:
        inside = Path(folder) / motion
        inside.mkdir(parents=True, exist_ok=True)
        for k in range(per_class):
            path = inside / f"{motion}_{k:03d}{'.mp4' if k % 2 else '.webm'}"
            write_clip(path, motion_clip(motion, seed=seed * 1_000_003 + k, frames=frames))
            written.append(path)
    return written


def write_clip(path: Path, clip: np.ndarray, *, rate: int = 12) -> None:
    """Encodes uint8 (T, H, W, 3) as a file, by its suffix H.264 or VP9."""
    av = need_av()
    codec = CODECS[path.suffix]
    options = {"crf": "23", "preset": "veryfast"}
    if codec == "libvpx-vp9":
        options = {"crf": "33", "b": "0", "deadline": "realtime", "cpu-used": "8"}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(rate), options=options)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
