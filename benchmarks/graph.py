"""What a graph costs: time, peak memory, and how both grow.

    python benchmarks/graph.py                  # about 5 minutes on two cores
    python benchmarks/graph.py --quick          # 1 minute, fewer repetitions, nothing compiled

Times are also given in units of one 4096 x 4096 product in float32 on the same machine. Everything
is timed in turn with everything else, so that a busy machine slows all alike; the median counts.
Where other programs want the same cores, the units of CPU time are nearer to the truth.
Peak memory is what one train step holds at once beyond weights and input, counted from the
allocations of the profiler (on a GPU, from the allocator), without the scratch space of libraries.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from measure import DEVICE, forward_of, in_turn, not_fast, peak_bytes, table, train_of
from torch import Tensor, nn

from interlace.graph.boxes import grid_boxes, neighbours
from interlace.graph.kernels import RegionKernel, area_kernel, pool, remap
from interlace.graph.recurrence import SCHEDULES, Recurrence
from interlace.graph.rstg import RSTG
from interlace.graph.space_stage import DotGather, Send, SpaceStage, Update
from interlace.graph.time_stage import TimeStage
from interlace.record import environment, write_json

B, T, D, K = 8, 10, 512, 3
SIZES = {"N 9": (3,), "N 14": (3, 2, 1)}  # what the authors' PyTorch program has; the paper


class PlainGraph(nn.Module):
    """The same graph as a textbook has it: [v_j | v_i] for all N x N pairs, and autograd."""

    def __init__(self, width: int):
        super().__init__()
        self.time, self.final = nn.LSTM(width, width), nn.LSTM(width, width)
        self.send = nn.ModuleList((nn.Linear(2 * width, width), nn.Linear(width, width)))
        self.update = nn.ModuleList((nn.Linear(2 * width, width), nn.Linear(width, width)))
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, nodes: Tensor) -> Tensor:
        for _ in range(K):
            nodes = self.space(self.over_time(self.time, nodes))
        return self.over_time(self.final, nodes)

    def over_time(self, cell: nn.LSTM, nodes: Tensor) -> Tensor:
        batch, _, count, _ = nodes.shape
        sequences = nodes.transpose(0, 1).flatten(1, 2)  # (T, B * N, D)
        return cell(sequences)[0].unflatten(1, (batch, count)).transpose(0, 1)

    def space(self, nodes: Tensor) -> Tensor:
        count = nodes.shape[2]
        receiver = nodes[:, :, :, None].expand(-1, -1, -1, count, -1)
        sender = nodes[:, :, None].expand(-1, -1, count, -1, -1)
        messages = torch.cat((sender, receiver), dim=-1)  # (B, T, N, N, 2 D)
        for layer in self.send:
            messages = layer(messages).relu()
        weights = (self.query(nodes) @ self.key(nodes).transpose(-1, -2)).softmax(-1)
        joined = torch.cat((nodes, (weights[..., None] * messages).sum(3)), dim=-1)
        for layer in self.update:
            joined = layer(joined).relu()
        return self.norm(joined)


def graph(scales: tuple[int, ...], adjacency: str) -> nn.Module:
    if adjacency == "plain":
        return PlainGraph(D).to(DEVICE)
    return RSTG(D, width=D, scales=scales, rounds=K, adjacency=adjacency).recurrence.to(DEVICE)


def sparse_graph(adjacency: Tensor) -> Recurrence:
    space = SpaceStage(Send(D), DotGather(D), Update(D), norm=nn.LayerNorm(D), adjacency=adjacency)
    stages = {"time": TimeStage(D), "space": space, "final": TimeStage(D)}
    return Recurrence(stages, SCHEDULES["all-temp"](K)).to(DEVICE)


def steps(compiled: bool) -> dict[str, Callable[[], None]]:
    """Every case of forward and train step by its name."""
    calls = {}
    for size, scales in SIZES.items():
        nodes = torch.randn(B, T, sum(s * s for s in scales), D, device=DEVICE)
        for adjacency in ("plain", "full", "sparse"):
            module = graph(scales, adjacency)
            for bf16 in (False, True):
                ways = {"eager": module}
                if compiled and adjacency != "plain":
                    ways["compiled"] = torch.compile(module)  # all but the LSTM
                for way, run in ways.items():
                    name = f"{size}, {adjacency}, {'bf16' if bf16 else 'fp32'}, {way}"
                    calls[f"{name}, forward"] = forward_of(run, nodes, bf16)
                    calls[f"{name}, train step"] = train_of(run, module, nodes, bf16)
    block = RSTG(D, width=D).to(DEVICE)
    features = torch.randn(B, T, D, 14, 14, device=DEVICE)
    for bf16 in (False, True):
        name = f"block on 14 x 14, sparse, {'bf16' if bf16 else 'fp32'}, eager"
        calls[f"{name}, forward"] = forward_of(block, features, bf16)
        calls[f"{name}, train step"] = train_of(block, block, features, bf16)
        for what in ("forward", "train step"):
            calls[f"{name}, {what}, not fast"] = not_fast(calls[f"{name}, {what}"])
    return calls


def plain_by_fast(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """What the faster ways bring: CPU time of the plain way, as a part of theirs."""
    end = ", not fast"
    return {
        name.removesuffix(end): row["cpu ms"] / rows[name.removesuffix(end)]["cpu ms"]
        for name, row in rows.items()
        if name.endswith(end)
    }


def memory(calls: dict[str, Callable[[], None]]) -> dict[str, dict[str, float]]:
    """Peak of each train step in MB, and as a part of the plain form's."""
    peaks = {name: peak_bytes(call) for name, call in calls.items() if "train" in name}
    result = {}
    for name, peak in peaks.items():
        result[name] = {"MB": peak / 1e6}
        size, _, rest = name.split(", ", 2)
        plain = peaks.get(f"{size}, plain, {rest}")
        if plain:
            result[name]["of_plain"] = peak / plain
    return result


def growth(repetitions: int) -> dict[str, dict[str, float]]:
    """Train steps of 2 clips as the number of frames, nodes and edges grows, one at a time."""
    calls = {}
    paper = sparse_graph(neighbours(grid_boxes((3, 2, 1))))
    for frames in (5, 10, 20, 40):
        nodes = torch.randn(2, frames, 14, D, device=DEVICE)
        calls[f"T {frames}, N 14, E 90"] = train_of(paper, paper, nodes, False)
    for side in (3, 4, 5, 6, 7):  # a ring has as many edges as nodes
        count = side * side
        ring = torch.eye(count, dtype=torch.bool).roll(1, 0)
        module = sparse_graph(ring)
        nodes = torch.randn(2, T, count, D, device=DEVICE)
        calls[f"T 10, N {count}, E {count}"] = train_of(module, module, nodes, False)
    nodes = torch.randn(2, T, 25, D, device=DEVICE)
    for hops in (2, 4, 8, 16):
        circle = sum(torch.eye(25).roll(hop + 1, 0) for hop in range(hops)) > 0
        module = sparse_graph(circle)
        calls[f"T 10, N 25, E {25 * hops}"] = train_of(module, module, nodes, False)
    return in_turn(calls, repetitions)


def thin_pool(features: Tensor, kernel: RegionKernel) -> Tensor:
    """Rows, then columns: the other way to pool."""
    rows, cols = kernel.rows.to(features.dtype), kernel.cols.to(features.dtype)
    strips = torch.einsum("btnh,btchw->btnwc", rows.expand(*features.shape[:2], -1, -1), features)
    return torch.einsum("btnw,btnwc->btnc", cols.expand(*features.shape[:2], -1, -1), strips)


def thin_remap(nodes: Tensor, kernel: RegionKernel) -> Tensor:
    """Columns, then rows."""
    rows, cols = (
        part.to(nodes.dtype).expand(*nodes.shape[:2], -1, -1) for part in (kernel.rows, kernel.cols)
    )
    strips = cols[..., None] * nodes[..., None, :]  # (B, T, N, W, C)
    return torch.einsum("btnh,btnwc->bthwc", rows, strips).permute(0, 1, 4, 2, 3)


def pooling(repetitions: int) -> dict[str, dict[str, float]]:
    """Pool and remap as one dense product a frame, as the package has them, or as two thin ones."""
    calls = {}
    for scales in SIZES.values():
        boxes = grid_boxes(scales, device=DEVICE)[None, None]
        for channels, side in ((32, 8), (128, 16), (512, 14), (512, 28)):
            kernel = area_kernel(boxes, (side, side))
            features = torch.randn(B, T, channels, side, side, device=DEVICE)
            nodes = torch.randn(B, T, boxes.shape[2], channels, device=DEVICE)
            size = f"N {boxes.shape[2]}, C {channels}, {side} x {side}"
            for form, down, up in (("dense", pool, remap), ("thin", thin_pool, thin_remap)):
                for what, run, value in (("pool", down, features), ("remap", up, nodes)):
                    calls[f"{what}, {size}, {form}"] = _both_ways(run, value, kernel)
    return in_turn(calls, repetitions)


def _both_ways(run: Callable, value: Tensor, kernel: RegionKernel) -> Callable[[], None]:
    value = value.detach().requires_grad_()

    def call() -> None:
        run(value, kernel).sum().backward()
        value.grad = None

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="default: results/graph_<device>.json beside this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="3 repetitions, nothing compiled")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    torch._dynamo.config.recompile_limit = 64  # for all the graphs compiled here
    repetitions = 3 if args.quick else args.repetitions

    result = {"environment": environment(), "load_before": os.getloadavg()[0]}
    result["peak_memory"] = memory(steps(compiled=False))
    table("peak memory of a train step", result["peak_memory"])
    result["steps"] = in_turn(steps(compiled=not args.quick), repetitions)
    table(f"B {B}, T {T}, D {D}, K {K}", result["steps"])
    result["plain / fast"] = plain_by_fast(result["steps"])
    for name, ratio in result["plain / fast"].items():
        print(f"plain / fast: {name}: {ratio:.2f}")
    result["growth"] = growth(repetitions)
    table("growth, train step in fp32", result["growth"])
    result["pooling"] = pooling(repetitions)
    table("pool and remap, forward and backward", result["pooling"])
    result["load_after"] = os.getloadavg()[0]
    where = args.out or Path(__file__).parent / "results" / f"graph_{DEVICE.type}.json"
    print("\nwritten:", write_json(where, result))


if __name__ == "__main__":
    main()
