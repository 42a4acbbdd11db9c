"""Commands: functions whose arguments are options, see `interlace.commands.cli`.

What is slow to import is imported inside them, so that --help answers at once.
"""

from __future__ import annotations

import sys
from typing import Literal, TextIO

Precision = Literal["bf16", "fp32"]
ProtocolName = Literal["central", "3x2", "11x2"]


def say(text: str, file: TextIO | None = None) -> None:
    """A line on standard output, or another file."""
    print(text, file=file or sys.stdout)
