"""Every number has a record: which code, on what, when."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import torch

import interlace
from interlace.files import writing


def environment() -> dict[str, Any]:
    """Commit, versions, hardware and date, for the JSON of a result."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "interlace": interlace.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "hardware": hardware(),
    }


def hardware() -> str:
    """The GPU, or the CPU's features and how many cores are used."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    name = found[1].strip() if found else platform.processor() or platform.machine()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {capability}"


def commit() -> str | None:
    """The commit of the checkout this package runs from, with a + if changed; None if installed."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + "+" if _git("status", "--porcelain", "--untracked-files=no", ".") else head
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    folder = Path(interlace.__file__).parent
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Writes whole or not at all: a full disk or a kill leaves what was there."""
    with writing(path) as file:
        file.write_text(json.dumps(value, indent=1) + "\n")
    return Path(path)
