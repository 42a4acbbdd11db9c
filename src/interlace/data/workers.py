"""Processes that read videos side by side."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import BaseContext


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fresh_processes(*modules: str) -> BaseContext:
    """How to start them: forked from a fresh one that has imported all, without our threads.

    Args:
        modules: what the fresh one imports, where the system can fork.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(list(modules))
    return context
