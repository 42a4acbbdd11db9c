"""Commands: functions whose arguments are options, see `interlace.commands.cli`.

What is slow to import is imported inside them, so that --help answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from interlace.evaluation.evaluation import Evaluation

Precision = Literal["bf16", "fp32"]
ProtocolName = Literal["central", "3x2", "11x2"]


def say(text: str, file: TextIO | None = None) -> None:
    """A line on standard output, or another file."""
    print(text, file=file or sys.stdout)


def at_least_one(**counts: int) -> None:
    """Raises ValueError, and names the option, if a count is below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def say_result(
    result: Evaluation, what: str, written: Sequence[Path], *, held_out: bool = True
) -> None:
    """One line on an evaluation, one on its regions, and where it is written."""
    kind = "held-out accuracy" if held_out else "accuracy"
    five = "" if result.top5 is None else f" (top-5 {result.top5:.1%})"
    say(f"{kind} {result.top1:.1%}{five} on {result.count:,} {what}")
    if (found := result.regions) is not None:
        say(f"regions: Dist {found.dist:.3f} of the frame, recall {found.recall:.1%} of the digits")
    for path in written:
        say(str(path))
