"""What three DyReg blocks add to the time of TSM-ResNet-50 on real videos.

    python benchmarks/overhead.py                  # about 10 minutes on one core
    python benchmarks/overhead.py --quick          # 4 minutes, fewer repetitions

Two clips of 16 x 224 x 224 go through the frames' ResNet-50, the same with temporal shifts (the
backbone), and that with graphs where the released model has them (the model). They run in turn,
and a ratio is the median over turns of what two neighbours took, so that a machine that gets slower
for a while does not show. The operations of the graphs are 1.024 of the backbone's.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from measure import DEVICE, forward_of, table, timed
from torch import Tensor, nn

from interlace import DyReg, insert
from interlace.graph.block import GraphBlock
from interlace.models.interlaced import Interlaced
from interlace.models.probe import feed
from interlace.models.resnet import resnet50_trunk
from interlace.models.shift import add_shift
from interlace.record import environment, write_json

VIDEO = (2, 16, 3, 224, 224)  # (B, T, 3, H0, W0)
PLACES = ("layer2.2.conv2", "layer3.4.conv2", "layer4.1.conv2")  # 128, 256, 512 channels
REGION_WIDTH = 128  # as in the released model
RATIOS = {  # name: (of what, by what)
    "graphs": ("model", "backbone"),
    "shift": ("backbone", "frames"),
}


class Frames(nn.Module):
    """A network over frames, for video."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, video: Tensor) -> Tensor:
        return feed(self.network, video, clips=False)


def backbone() -> Interlaced:
    return add_shift(resnet50_trunk())


def model() -> Interlaced:
    """With graphs that all gradients flow through."""
    graph = functools.partial(DyReg, region_width=REGION_WIDTH)
    built = insert(backbone(), {place: graph for place in PLACES})
    for block in built.graphs.values():
        if isinstance(block, GraphBlock):
            nn.init.ones_(block.branch.weight)
            nn.init.normal_(block.regions.offsets.gamma, std=0.1)
    return built


def train_of(network: nn.Module, video: Tensor, bf16: bool) -> Callable[[], None]:
    """A step without the optimiser's."""

    def train() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            out = network(video)
        out.float().mean().backward()
        network.zero_grad(set_to_none=True)

    return train


def steps(networks: dict[str, nn.Module], train: bool, bf16: bool) -> dict[str, Callable]:
    video = torch.randn(VIDEO, device=DEVICE)
    for network in networks.values():
        network.train(train)
    make = train_of if train else forward_of
    return {name: make(network, video, bf16=bf16) for name, network in networks.items()}


def compared(calls: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    """Medians in milliseconds and of paired ratios, with the middle half of these."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repetitions):
        for name, call in calls.items():
            times[name].append(timed(call))
    row = {f"{name} ms": statistics.median(t for t, _ in own) for name, own in times.items()}
    for kind, clock in (("", 0), (" cpu", 1)):
        for name, (of, by) in RATIOS.items():
            pairs = zip(times[of], times[by], strict=True)
            low, middle, high = statistics.quantiles([a[clock] / b[clock] for a, b in pairs])
            row |= {f"{name}{kind}": middle, f"{name}{kind} low": low, f"{name}{kind} high": high}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, help="default: results/overhead_<device>.json beside this"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="5 repetitions")
    parser.add_argument("--no-train", action="store_true", help="forward passes only")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    result = {"environment": environment(), "load_before": os.getloadavg()[0]}
    networks = {"frames": Frames(resnet50_trunk()), "backbone": backbone(), "model": model()}
    for network in networks.values():
        network.to(DEVICE)
    rows = {}
    for train in (False, True)[: 1 if args.no_train else 2]:
        for bf16 in (False, True):
            name = f"{'bf16' if bf16 else 'fp32'}, {'train step' if train else 'forward'}"
            rows[name] = compared(
                steps(networks, train, bf16), 5 if args.quick else args.repetitions
            )
            table(name, {"": rows[name]})
    result |= {"video": VIDEO, "places": PLACES, "steps": rows}
    result["load_after"] = os.getloadavg()[0]
    where = args.out or Path(__file__).parent / "results" / f"overhead_{DEVICE.type}.json"
    print("\nwritten:", write_json(where, result))


if __name__ == "__main__":
    main()
