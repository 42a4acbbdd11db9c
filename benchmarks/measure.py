"""Time and peak memory of single calls, against each other and against one large product."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from interlace.commands.timing import seconds_of
from interlace.graph import fast

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def forward_of(run: Callable, value: Tensor, bf16: bool) -> Callable[[], None]:
    def forward() -> None:
        with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            run(value)

    return forward


def train_of(run: Callable, module: nn.Module, value: Tensor, bf16: bool) -> Callable[[], None]:
    """A step without the optimiser's; the input wants a gradient, as behind a backbone."""
    value = value.detach().requires_grad_()

    def train() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            out = run(value)
            out = out[0] if isinstance(out, tuple) else out
        out.float().sum().backward()
        module.zero_grad(set_to_none=True)
        value.grad = None

    return train


def not_fast(call: Callable[[], None]) -> Callable[[], None]:
    """Without the faster ways of `graph/fast`."""

    def plain() -> None:
        with fast.use(False):
            call()

    return plain


def product() -> Callable[[], None]:
    """The unit."""
    a, b = torch.randn(2, 4096, 4096, device=DEVICE)
    return lambda: torch.mm(a, b)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds on the clock, and of CPU time in all threads."""
    start = time.process_time()
    seconds = seconds_of(call, DEVICE.type)
    return 1e3 * seconds, 1e3 * (time.process_time() - start)


def turns(
    calls: Mapping[str, Callable[[], object]], repetitions: int
) -> dict[str, list[tuple[float, float]]]:
    """What `timed` says of every call, one after another and over again."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(repetitions):
        for name, call in calls.items():
            times[name].append(timed(call))
    return times


def in_turn(calls: dict[str, Callable[[], None]], repetitions: int) -> dict[str, dict[str, float]]:
    """Of every call the median in milliseconds and in units, the same of its CPU time, the best."""
    calls = {"unit": product(), **calls}
    for call in calls.values():
        call()
        call()
    result = {}
    for name, values in turns(calls, repetitions).items():
        clock, cpu = zip(*values, strict=True)
        result[name] = {
            "ms": statistics.median(clock),
            "best ms": min(clock),
            "cpu ms": statistics.median(cpu),
        }
    unit = result["unit"].copy()
    for row in result.values():
        row["units"] = row["ms"] / unit["ms"]
        row["cpu units"] = row["cpu ms"] / unit["cpu ms"]
    return result


def peak_bytes(step: Callable[[], None]) -> int:
    """What one call holds at once beyond what was held before."""
    step()
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True) as profile:
        step()
    with tempfile.TemporaryDirectory() as folder:
        profile.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(f"{folder}/trace.json").read_text())["traceEvents"]
    allocations = [event for event in events if event.get("name") == "[memory]"]
    held = peak = 0
    for event in sorted(allocations, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def table(title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    print(f"\n{title:48}" + "".join(f"{column:>12}" for column in columns))
    for name, row in rows.items():
        print(f"  {name:46}" + "".join(f"{row[c]:12.3f}" for c in columns if c in row))
