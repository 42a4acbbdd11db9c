"""How many synchronous-digit videos a second, against a plain NumPy loop in the same run.

    python benchmarks/data.py                      # under a minute
    python benchmarks/data.py --digits path/to/mnist --out data.json

Every way is timed several times, in turn with the others, so that a busy machine slows all alike;
the median counts, the best is what a quiet machine would give.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import turns

from interlace.data.digits import render
from interlace.data.digits.images import Digits, load_digits
from interlace.data.digits.syncmnist import MultiSyncMNIST, SyncMNIST
from interlace.record import environment, write_json

BATCH = 512
LOOP_VIDEOS = 16  # the plain loop is timed on fewer


def numpy_video(digits: Digits, rng: np.random.Generator) -> np.ndarray:
    """One video of 3SyncMNIST as one would write it first: (10, 64, 64) uint8."""
    images, labels = digits.images.numpy(), digits.labels.numpy()
    classes = rng.choice(10, 3, replace=False)
    chosen = [images[rng.choice(np.flatnonzero(labels == c))] for c in classes]
    place = rng.integers(0, 73, (3, 2))
    source = (np.arange(64) + 0.5) * 100 / 64 - 0.5
    low = np.clip(np.floor(source).astype(int), 0, 98)
    weight = (source - low).astype(np.float32)

    frames = []
    for t in range(10):
        if t > 0:
            step = rng.integers(-10, 10, (3, 2))
            step[:2] = np.clip(step[0], -place[:2].min(0), 72 - place[:2].max(0))
            place = np.clip(place + step, 0, 72)
        canvas = np.zeros((100, 100), np.uint8)
        for image, (x, y) in zip(chosen, place, strict=True):
            below = canvas[y : y + 28, x : x + 28]
            canvas[y : y + 28, x : x + 28] = np.where(image >= 10, image, below)
        rows = canvas[low] * (1 - weight)[:, None] + canvas[low + 1] * weight[:, None]
        both = rows[:, low] * (1 - weight) + rows[:, low + 1] * weight
        frames.append(np.rint(both).astype(np.uint8))
    return np.stack(frames)


def numpy_loop(digits: Digits) -> Callable[[], int]:
    rng = np.random.default_rng(0)

    def make() -> int:
        return len([numpy_video(digits, rng) for _ in range(LOOP_VIDEOS)])

    return make


def batches(
    videos: SyncMNIST | MultiSyncMNIST, *, device: str, threads: int, numba: bool = True
) -> Callable[[], int]:
    """Makes the next batch at every call and returns its size."""
    first = 0

    def make() -> int:
        nonlocal first
        torch.set_num_threads(threads)
        found = render._numba_renderer
        if not numba:
            render._numba_renderer = lambda: None
        try:
            videos.batch(range(first, first + BATCH), device=device)
        finally:
            render._numba_renderer = found
        first += BATCH
        return BATCH

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", default="embedded", help='"embedded", "mnist" or a folder')
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/data_cpu.json")
    arguments = parser.parse_args()

    digits = load_digits(arguments.digits, train=True)
    three, five = SyncMNIST(digits), SyncMNIST(digits, num_digits=5)
    multi = MultiSyncMNIST(digits)
    cores = os.cpu_count() or 1
    ways = {
        "3SyncMNIST, NumPy loop": numpy_loop(digits),
        "3SyncMNIST, CPU, 1 thread": batches(three, device="cpu", threads=1),
        f"3SyncMNIST, CPU, {cores} threads": batches(three, device="cpu", threads=cores),
        "3SyncMNIST, CPU, 1 thread, no numba": batches(three, device="cpu", threads=1, numba=False),
        "5SyncMNIST, CPU, 1 thread": batches(five, device="cpu", threads=1),
        "5MultiSyncMNIST, CPU, 1 thread": batches(multi, device="cpu", threads=1),
    }
    if torch.cuda.is_available():
        ways |= {
            "3SyncMNIST, GPU": batches(three, device="cuda", threads=1),
            "5SyncMNIST, GPU": batches(five, device="cuda", threads=1),
            "5MultiSyncMNIST, GPU": batches(multi, device="cuda", threads=1),
        }

    record = {"digits": digits.name, "batch": BATCH, "repeats": arguments.repeats}
    record |= environment()
    made = {name: make() for name, make in ways.items()}  # compiles, fills the caches
    rates = {
        name: [1e3 * made[name] / clock for clock, _ in times]
        for name, times in turns(ways, arguments.repeats).items()
    }

    plain = statistics.median(rates["3SyncMNIST, NumPy loop"])
    record["load_average"] = [round(load, 2) for load in os.getloadavg()]
    record["videos_per_second"] = {
        name: {
            "median": round(statistics.median(rate)),
            "best": round(max(rate)),
            "times_numpy_loop_of_3": round(statistics.median(rate) / plain, 1),
        }
        for name, rate in rates.items()
    }
    print(f"{record['hardware']}, commit {record['commit']}, load {record['load_average'][0]}")
    print(f"{'videos/s':40} {'median':>9} {'best':>9} {'x loop':>8}")
    for name, row in record["videos_per_second"].items():
        print(f"{name:40} {row['median']:9,} {row['best']:9,} {row['times_numpy_loop_of_3']:8.1f}")
    print(write_json(arguments.out, record))


if __name__ == "__main__":
    main()
