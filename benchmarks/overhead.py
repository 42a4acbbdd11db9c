"""What three DyReg blocks add to the time of TSM-ResNet-50 on real videos.

    python benchmarks/overhead.py --threads 1      # about 15 minutes on one core
    python benchmarks/overhead.py --quick          # 5 minutes, fewer repetitions

Two clips of 16 x 224 x 224 go through a ResNet-50 frame by frame, the same with temporal shifts
(the backbone), and that with a graph in each of its last three stages. They run in turn, and a
ratio is the median over turns of what two neighbours took, so that a machine that gets slower for
a while does not show. By operations, graphs cost 1.024 and shifts 1 (DyReg-GNN, table 12).
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from measure import DEVICE, forward_of, turns
from torch import Tensor, nn

from interlace.graph.block import GraphBlock
from interlace.models.registry import create_model
from interlace.record import environment, write_json

VIDEO = (2, 16, 3, 224, 224)  # (B, T, 3, H0, W0)
FRAMES, BACKBONE, GRAPHS = "c2d_r50", "tsm_r50", "tsm_r50_dyreg_r3_4_5"
NAMES = (FRAMES, BACKBONE, GRAPHS)
RATIOS = {"graphs": (GRAPHS, BACKBONE), "shift": (BACKBONE, FRAMES)}  # of what, by what


def build(name: str) -> nn.Module:
    """A model whose graphs, if any, let all gradients flow through."""
    model = create_model(name, num_classes=174).to(DEVICE)
    for block in model.modules():
        if isinstance(block, GraphBlock):
            nn.init.ones_(block.branch.weight)
            nn.init.normal_(block.regions.offsets.gamma, std=0.1)
    return model


def train_of(model: nn.Module, video: Tensor, bf16: bool) -> Callable[[], None]:
    """A step without the optimiser's."""

    def train() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            logits = model(video)
        logits.float().logsumexp(-1).sum().backward()
        model.zero_grad(set_to_none=True)

    return train


def compared(calls: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    """Medians in milliseconds, and of the paired ratios with the middle half of these."""
    for call in calls.values():
        call()
    times = turns(calls, repetitions)
    row = {f"{name} ms": statistics.median(t for t, _ in own) for name, own in times.items()}
    for clock, kind in enumerate(("", ", cpu time")):
        for name, (of, by) in RATIOS.items():
            pairs = zip(times[of], times[by], strict=True)
            quarters = statistics.quantiles([a[clock] / b[clock] for a, b in pairs])
            for which, value in zip((" from", "", " to"), quarters, strict=True):
                row[f"{name}{kind}{which}"] = value
    return row


def show(title: str, row: dict[str, float]) -> None:
    print(f"\n{title}: " + ", ".join(f"{row[f'{name} ms']:.0f} ms {name}" for name in NAMES))
    for name in RATIOS:
        for kind in ("", ", cpu time"):
            low, middle, high = (row[f"{name}{kind}{which}"] for which in (" from", "", " to"))
            print(f"  {name + kind:18} x {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, help="default: results/overhead_<device>.json beside this"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repetitions", type=int, default=15, help="a third of it in training")
    parser.add_argument("--quick", action="store_true", help="6 repetitions")
    parser.add_argument("--no-train", action="store_true", help="forward passes only")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    repetitions = 6 if args.quick else args.repetitions
    if repetitions < 6:
        parser.error("quarters of ratios need at least 6 repetitions")

    result = {"environment": environment(), "load_before": os.getloadavg()[0], "video": VIDEO}
    models = {name: build(name) for name in NAMES}
    video = torch.rand(VIDEO, device=DEVICE)
    result["steps"] = rows = {}
    for train in (False,) if args.no_train else (False, True):
        for model in models.values():
            model.train(train)
        for bf16 in (False, True):
            make = train_of if train else forward_of
            calls = {name: make(model, video, bf16=bf16) for name, model in models.items()}
            name = f"{'bf16' if bf16 else 'fp32'}, {'train step' if train else 'forward'}"
            rows[name] = compared(calls, repetitions // 3 if train else repetitions)
            show(name, rows[name])
    result["load_after"] = os.getloadavg()[0]
    where = args.out or Path(__file__).parent / "results" / f"overhead_{DEVICE.type}.json"
    print("\nwritten:", write_json(where, result))


if __name__ == "__main__":
    main()
