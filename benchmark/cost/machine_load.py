"""How many cores other programs keep busy while a network is timed.

It is measured, and not read from the load average: that still counts a training which has just ended, and it counts
the threads of this process.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


class OtherPrograms:
    """The work of other programs on the cores that this process may use, from the creation of this object on."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), _busy_seconds(), _own_seconds()

    def cores(self) -> float | None:
        """How many cores they kept busy, on average; None where the system does not tell."""
        started, busy_before, own_before = self._start
        busy = _busy_seconds()
        if busy is None or busy_before is None:
            return None
        not_ours = (busy - busy_before) - (_own_seconds() - own_before)
        # The system counts in hundredths of a second, so that the difference may fall below zero.
        return round(max(not_ours, 0.0) / (time.perf_counter() - started), 2)


def _own_seconds() -> float:
    """CPU time that this process has spent."""
    spent = os.times()
    return spent.user + spent.system


def _busy_seconds() -> float | None:
    """CPU time spent since the system started, by all programs, on the cores that this process may use."""
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        # user, nice, system; idle and iowait are no work; irq, softirq, and steal: what the host gave to others.
        ticks = [sum(map(int, (*line[1:4], *line[6:9]))) for line in lines if line and line[0] in names]
    except (OSError, ValueError):
        return None
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if any(ticks) else None
