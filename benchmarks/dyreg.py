"""What a DyReg block costs: time and peak memory of a forward pass and of a train step.

    python benchmarks/dyreg.py                  # about 3 minutes on two cores
    python benchmarks/dyreg.py --quick          # 1 minute, fewer repetitions

On maps (B, T, C, H, W) of three sizes, with 9 nodes that are as wide as the map, and beside the
same block as it would be written at first ("plain"), and without the faster ways of `graph/fast`
("not fast"). The rows "plain / fast" say what these bring: of the whole block, and of remapping
through the norm alone. Units, CPU time and peak memory are those of graph.py.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from measure import DEVICE, forward_of, in_turn, not_fast, peak_bytes, table, train_of
from torch import Tensor, nn

from interlace import DyReg
from interlace.graph.block import GraphBlock
from interlace.graph.boxes import offset_boxes
from interlace.graph.fast.remap import add_remapped, remap_suits
from interlace.graph.kernels import RegionKernel
from interlace.graph.readout import ToMap, ZeroStartNorm
from interlace.graph.regions.dynamic import DynamicRegions
from interlace.record import environment, write_json

N, K = 9, 3
SIZES = {  # (B, T, C, H, W), width of the regions' memory
    "C 32, 16 x 16": ((8, 10, 32, 16, 16), 32),
    "C 128, 28 x 28": ((2, 16, 128, 28, 28), 128),
    "C 256, 14 x 14": ((2, 16, 256, 14, 14), 128),
}


class PlainDyReg(nn.Module):
    """The equations one by one: dense kernels, [v_j | v_i] for all N x N pairs, a projected map."""

    def __init__(self, channels: int, region_width: int):
        super().__init__()
        self.find = nn.Sequential(
            nn.Conv2d(channels, 32, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(16),
            nn.Conv2d(32, 32, 3, stride=2),
            nn.ReLU(),
        )
        self.refine = nn.Sequential(
            nn.Conv2d(32, 16, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 32, 3, padding=1),
            nn.ReLU(),
        )
        self.last = nn.Conv2d(32, 16, 3, padding=1)
        self.views = nn.ModuleList(nn.Linear(16 * 7 * 7, region_width) for _ in range(N))
        self.view_norm = nn.LayerNorm(region_width)
        self.memory = nn.GRU(region_width, region_width)
        self.offsets = nn.Linear(region_width, 4)
        nn.init.normal_(self.offsets.weight, std=0.01)
        self.project = nn.Conv2d(channels, channels, 1)
        self.where = nn.Linear(16 * 16, channels)
        self.norm = nn.LayerNorm(channels)
        self.time, self.final = nn.GRU(channels, channels), nn.GRU(channels, channels)
        self.send = nn.ModuleList(
            (nn.Linear(2 * channels, channels), nn.Linear(channels, channels))
        )
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.space_norm, self.map_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        frames = features.flatten(0, 1)
        clips, (height, width) = features.shape[:2], features.shape[-2:]
        found = self.find(frames)
        seen = self.last(self.refine(found) + found).relu().flatten(1)
        views = self.view_norm(torch.stack([view(seen) for view in self.views], dim=1))
        z = self.over_time(self.memory, views.unflatten(0, clips))  # (B, T, N, P)
        middle = torch.full((N, 2), 0.5, device=z.device)
        kernel = self.kernel(offset_boxes(self.offsets(z).float(), middle), height, width)
        projected = self.project(frames).unflatten(0, clips)
        nodes = torch.einsum("btnhw,btchw->btnc", kernel, projected)
        picture = nn.functional.adaptive_avg_pool2d(kernel.flatten(0, 1), 16)
        nodes = self.norm(nodes + self.where(picture.flatten(2)).unflatten(0, clips))
        for _ in range(K):
            nodes = self.space(self.over_time(self.time, nodes))
        nodes = self.over_time(self.final, nodes)
        out = torch.einsum("btnhw,btnc->btchw", kernel, nodes)
        return features + self.map_norm(out.movedim(2, -1)).movedim(-1, 2)

    def kernel(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """(B, T, N, 4) -> (B, T, N, H, W)."""
        x, y, half_x, half_y = boxes[..., None, None].unbind(3)
        rows = (torch.arange(height, device=boxes.device)[:, None] + 0.5) / height
        cols = (torch.arange(width, device=boxes.device) + 0.5) / width
        kernel = (half_y - (y - rows).abs()).relu() * (half_x - (x - cols).abs()).relu()
        return kernel / (kernel.sum((-2, -1), keepdim=True) + 1e-6)

    def over_time(self, cell: nn.GRU, nodes: Tensor) -> Tensor:
        batch, _, count, _ = nodes.shape
        sequences = nodes.transpose(0, 1).flatten(1, 2)  # (T, B * N, D)
        return cell(sequences)[0].unflatten(1, (batch, count)).transpose(0, 1)

    def space(self, nodes: Tensor) -> Tensor:
        receiver = nodes[:, :, :, None].expand(-1, -1, -1, N, -1)
        sender = nodes[:, :, None].expand(-1, -1, N, -1, -1)
        messages = torch.cat((sender, receiver), dim=-1)  # (B, T, N, N, 2 D)
        for layer in self.send:
            messages = layer(messages).relu()
        weights = (self.query(nodes) @ self.key(nodes).transpose(-1, -2)).softmax(-1)
        return self.space_norm(nodes + (weights[..., None] * messages).sum(3))


def dyreg(channels: int, region_width: int) -> GraphBlock:
    """A block that all gradients flow through."""
    regions = DynamicRegions.of(channels, N, width=region_width)
    block = DyReg(channels, width=channels, regions=regions, rounds=K)
    nn.init.ones_(block.branch.weight)
    nn.init.normal_(block.regions.offsets.gamma, std=0.1)
    return block


def steps() -> dict[str, Callable[[], None]]:
    """Every case of forward and train step by its name."""
    calls = {}
    for size, (shape, region_width) in SIZES.items():
        features = torch.randn(shape, device=DEVICE)
        for form, make in (("plain", PlainDyReg), ("block", dyreg)):
            block = make(shape[2], region_width).to(DEVICE)
            for bf16 in (False, True):
                name = f"{size}, {form}, {'bf16' if bf16 else 'fp32'}"
                calls[f"{name}, forward"] = forward_of(block, features, bf16)
                calls[f"{name}, train step"] = train_of(block, block, features, bf16)
                if form == "block":
                    for what in ("forward", "train step"):
                        name = f"{size}, not fast, {'bf16' if bf16 else 'fp32'}, {what}"
                        calls[name] = not_fast(calls[name.replace("not fast", form)])
    return calls


def remapping() -> dict[str, Callable[[], None]]:
    """Nodes onto the features through the norm alone, in both memory orders, both ways."""
    calls = {}
    for size, (shape, _) in SIZES.items():
        channels = shape[2]
        norm = ZeroStartNorm(channels).to(DEVICE)
        nn.init.ones_(norm.weight)
        kernel = RegionKernel(*(torch.rand(*shape[:2], N, k, device=DEVICE) for k in shape[3:]))
        for last in (False, True):
            order = torch.channels_last if last else torch.contiguous_format
            maps = torch.randn(shape, device=DEVICE).flatten(0, 1).contiguous(memory_format=order)
            features = maps.unflatten(0, shape[:2])
            graph = OnlyRemap(features, kernel, norm)
            nodes = torch.randn(*shape[:2], N, channels, device=DEVICE)
            for bf16 in (False, True):
                name = f"{size}, {'last' if last else 'first'}, {'bf16' if bf16 else 'fp32'}"
                call = train_of(graph, norm, nodes, bf16)
                calls[f"{name}, fast"], calls[f"{name}, plain"] = call, not_fast(call)
    return calls


class OnlyRemap(nn.Module):
    """The end of a block."""

    def __init__(self, features: Tensor, kernel: RegionKernel, norm: ZeroStartNorm):
        super().__init__()
        self.features, self.kernel, self.norm, self.readout = features, kernel, norm, ToMap()

    def forward(self, nodes: Tensor) -> Tensor:
        if remap_suits(self.features, self.readout, self.norm):
            return add_remapped(self.features, nodes, self.kernel, self.norm)
        return self.features + self.norm(self.readout(nodes, None, self.kernel)[0])


def with_ratios(rows: dict[str, dict[str, float]], *columns: str) -> dict[str, dict[str, float]]:
    """Adds to each row of the block its columns as parts of the plain form's."""
    for name, row in rows.items():
        plain = rows.get(name.replace(", block,", ", plain,"))
        for column in columns if plain else ():
            row[f"{column} of plain"] = row[column] / plain[column]
    return rows


def plain_by_fast(rows: dict[str, dict[str, float]], plain: str, fast: str) -> dict[str, float]:
    """CPU time of the plain way, as a part of the faster one's."""
    return {
        name: rows[name.replace(fast, plain)]["cpu ms"] / row["cpu ms"]
        for name, row in rows.items()
        if fast in name
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="default: results/dyreg_<device>.json beside this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="3 repetitions")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    result = {"environment": environment(), "load_before": os.getloadavg()[0]}
    calls = steps()
    memory = {
        name: {"MB": peak_bytes(call) / 1e6} for name, call in calls.items() if "step" in name
    }
    result["peak_memory"] = with_ratios(memory, "MB")
    table("peak memory of a train step", result["peak_memory"])
    times = in_turn(calls, 3 if args.quick else args.repetitions)
    result["steps"] = with_ratios(times, "ms", "cpu ms")
    table(f"{N} nodes, K {K}, eager", result["steps"])
    result["plain / fast, block"] = plain_by_fast(times, ", not fast,", ", block,")
    alone = in_turn(remapping(), 3 if args.quick else args.repetitions)
    result["plain / fast, remap"] = plain_by_fast(alone, ", plain", ", fast")
    for what in ("block", "remap"):
        for name, ratio in result[f"plain / fast, {what}"].items():
            print(f"plain / fast, {what}: {name}: {ratio:.2f}")
    result["load_after"] = os.getloadavg()[0]
    where = args.out or Path(__file__).parent / "results" / f"dyreg_{DEVICE.type}.json"
    print("\nwritten:", write_json(where, result))


if __name__ == "__main__":
    main()
