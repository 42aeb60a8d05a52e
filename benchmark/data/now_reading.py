"""Which clip each loader process is reading, in shared memory that outlives a process that dies."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import RawArray

_PID, _CLIP, _SINCE, _FIELDS = 0, 1, 2, 3
_FREE = [0.0, -1.0, 0.0]
"""The fields of a process that reads nothing."""


class NowReading:
    """A row of fields for each process: its id, the clip that it reads, and since when."""

    def __init__(self, processes: int) -> None:
        # Without a lock, which a process could hold when it dies: each writes its own row, and one reads them all.
        self._fields = RawArray("d", _FREE * processes)
        self._processes = processes

    def clear(self) -> None:
        """Forgets all processes, before new ones join."""
        self._fields[:] = _FREE * self._processes

    def join(self, number: int) -> None:
        """Makes `reading` of this process write into row `number`."""
        global _row
        _row = self, number * _FIELDS
        self._fields[number * _FIELDS + _PID] = os.getpid()

    def pids(self) -> list[int]:
        """Of the processes that have joined."""
        return [int(pid) for pid in self._fields[_PID::_FIELDS] if pid]

    def note(self, row: int, clip: int) -> None:
        """Begins to read a clip, by its position in the split; -1 is none."""
        self._fields[row + _SINCE], self._fields[row + _CLIP] = time.monotonic(), clip

    def describe(self, name: Callable[[int], str], pids: set[int] | None = None) -> str:
        """A sentence on the clips being read, by these processes or by all, the longest first."""
        now, found = time.monotonic(), []
        for row in range(0, len(self._fields), _FIELDS):
            pid, clip, since = self._fields[row : row + _FIELDS]
            if clip >= 0 and (pids is None or int(pid) in pids):
                found.append((now - since, f"{name(int(clip))} for {now - since:.0f} s"))
        if not found:
            return "No clip was being read."
        return f"Being read: {'; '.join(text for _, text in sorted(found, reverse=True))}."


_row: tuple[NowReading, int] | None = None
"""Where this process notes what it reads, once it has joined."""


@contextlib.contextmanager
def reading(clip: int) -> Iterator[None]:
    """Notes that this process reads the clip at this position of its split."""
    if _row is None:
        yield
        return
    board, row = _row
    board.note(row, clip)
    try:
        yield
    finally:
        board.note(row, -1)
