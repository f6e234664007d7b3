"""How many CPUs there are to compute on."""

from __future__ import annotations

import os


def available_cpus() -> int:
    """How many CPUs this process may use.

    Fewer than the machine has where a container, a batch system or `taskset` says so.
    """
    if hasattr(os, "sched_getaffinity"):  # Not everywhere; cpu_count() ignores such limits.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
