"""How fast clips are read and brought to a model, against the decoder alone in the same run.

    python benchmarks/clips.py                     # about five minutes on two cores

Made-up clips of 320 x 240 pixels, H.264, 48 frames, 16 of which are shown. Decoder, loader and
training steps are timed in turn, so that a busy machine slows all alike; the medians count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F

from interlace.commands.clip_speeds import NUM_CLASSES, measure
from interlace.commands.timing import learning
from interlace.data.clips.motion import MOTIONS, motion_clip, write_clip
from interlace.data.clips.opening import open_unlabelled
from interlace.data.clips.shape import ClipShape
from interlace.models.registry import create_model
from interlace.record import environment, write_json

FRAMES = 48


def write_clips(folder: Path, count: int) -> int:
    """Clips drawn at half their size, as real ones have no noise in single pixels; bytes of all."""
    for k in range(count):
        clip = torch.from_numpy(motion_clip(MOTIONS[k % len(MOTIONS)], seed=k, frames=FRAMES))
        clip = F.interpolate(clip.permute(0, 3, 1, 2), scale_factor=2, mode="bilinear")
        write_clip(folder / f"{k:03d}.mp4", clip.permute(0, 2, 3, 1).contiguous().numpy())
    return sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--model", default="tsm_r18_dyreg")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results/clips_cpu.json"
    )
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = create_model(arguments.model, num_classes=NUM_CLASSES).to(device)
    with tempfile.TemporaryDirectory() as folder:
        size = write_clips(Path(folder), arguments.clips)
        speeds = measure(
            open_unlabelled(folder),
            ClipShape(),
            learning(network, device, bf16=True),
            batch_size=arguments.batch_size,
            workers=arguments.workers,
            repeats=arguments.repeats,
            device=device,
        )
    record = {
        "clips": arguments.clips,
        "kilobytes_a_clip": round(size / arguments.clips / 1000),
        "frames_a_clip": FRAMES,
        "shape": asdict(ClipShape()),
        "model": arguments.model,
        "precision": "bf16",
        "batch_size": arguments.batch_size,
        "workers": arguments.workers,
        "repeats": arguments.repeats,
        **environment(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "clips_per_second": {
            name: round(getattr(speeds, name), 2) for name in ("decoder", "loader", "model")
        },
        "loader_of_decoder": round(speeds.share, 3),
    }
    print(f"{record['hardware']}, commit {record['commit']}, load {record['load_average'][0]}")
    for name, rate in record["clips_per_second"].items():
        print(f"{name:10} {rate:8.2f} clips/s")
    print(f"the loader delivers {speeds.share:.1%} of what the decoder alone does; {speeds.bound}")
    print(write_json(arguments.out, record))


if __name__ == "__main__":
    main()
