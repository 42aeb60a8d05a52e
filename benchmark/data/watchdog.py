"""Batches that come in time or an error that says why not: a loader never hangs a run for ever.

If no batch comes for BENCHMARK_STALL_SECONDS (600 by default), the stacks of all threads and of all loader processes go
to the standard error, which is the run's log, and the run fails with an error that names the clips being read. So it
does if a loader process dies. The time that the network takes between two batches does not count.

Choices:
- Loader processes are told to dump their stacks by a signal that faulthandler answers, so that even one that never
  comes back from a decoder shows where it is.
- Without loader processes a thread watches. A read that cannot be interrupted (one call of a decoder, a dead disk) ends
  the process, since nothing else would.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, MutableSequence
from functools import partial
from multiprocessing.sharedctypes import RawArray
from types import FrameType
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from benchmark.data.limits import DEFAULT_STALL_SECONDS, STALL_SECONDS, positive_seconds

GRACE_SECONDS = 30.0
"""How long a read that was told to end may take to do so, and a loader process that was killed."""

DUMP_SIGNAL = signal.SIGUSR1
LOG = 2
"""Standard error by its number: pytest and notebooks replace sys.stderr by what is no file."""

Batch = TypeVar("Batch")

_PID, _PLACE, _SINCE, _FIELDS = 0, 1, 2, 3

_slot: tuple[MutableSequence[float], int] | None = None
"""Where this process notes what it reads: a board, and its first field there."""


class LoaderError(RuntimeError):
    """Batches stopped coming: the loader stalled, or one of its processes died."""


@contextlib.contextmanager
def reading(place: int) -> Iterator[None]:
    """Notes that this process reads the clip at a place of its split."""
    if _slot is None:
        yield
        return
    board, first = _slot
    board[first + _SINCE], board[first + _PLACE] = time.monotonic(), place
    try:
        yield
    finally:
        board[first + _PLACE] = -1


class WatchedLoader(Generic[Batch]):
    """A torch DataLoader under watch; iterate over it as over that one, as often as you like."""

    def __init__(
        self,
        dataset: Dataset[Batch],
        describe: Callable[[int], str],
        workers: int = 0,
        seconds: float | None = None,
        **arguments: Any,
    ) -> None:
        """`describe` names the clip at a place; `arguments` are DataLoader's; `seconds` as BENCHMARK_STALL_SECONDS.

        The dataset notes what it reads with `reading`.
        """
        self._describe = describe
        self._workers = workers
        self._seconds = positive_seconds(STALL_SECONDS, DEFAULT_STALL_SECONDS) if seconds is None else seconds
        # Written by loader processes and read by this one, without a lock: a process may die while it holds one.
        self._board = RawArray("d", [0.0, -1.0, 0.0] * max(workers, 1))
        if workers:
            arguments |= {"timeout": self._seconds, "worker_init_fn": partial(_start_worker, self._board)}
        self._loader: DataLoader[Batch] = DataLoader(dataset, num_workers=workers, **arguments)

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """The batches. Raises LoaderError when they stop coming."""
        return self._from_workers() if self._workers else self._from_here()

    def _from_workers(self) -> Iterator[Batch]:
        self._board[:] = [0.0, -1.0, 0.0] * self._workers
        batches = iter(self._loader)
        complete = False
        try:
            while True:
                try:
                    batch = next(batches)
                except StopIteration:
                    complete = True
                    return
                except RuntimeError as error:
                    told = str(error).strip()
                    if told.startswith("DataLoader timed out"):
                        raise LoaderError(self._dumped()) from None
                    if told.startswith("DataLoader worker (pid"):
                        raise LoaderError(self._died(told)) from None
                    raise
                yield batch
        finally:
            if not complete:
                self._kill()

    def _pids(self) -> list[int]:
        return [int(pid) for pid in self._board[_PID::_FIELDS] if pid]

    def _dumped(self) -> str:
        """What to say of a stall, after the stacks of all processes went to the log."""
        failure = self._stalled()
        _say(failure)
        for pid in self._pids():
            _say(f"stacks of loader process {pid}:")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, DUMP_SIGNAL)
            time.sleep(0.2)  # the dumps come from several processes and would mix
        _dump_here()
        return failure

    def _died(self, told: str) -> str:
        listed = re.search(r"\(pid(?:\(s\))? ([\d, ]+)\)", told)
        dead = {int(pid) for pid in listed[1].split(",")} if listed else None
        return (
            f"{told.rstrip('.')}. {self._being_read(dead) or 'No clip was being read.'} The kernel kills processes"
            " when memory runs out: use fewer loader processes, or ask for more memory."
        )

    def _kill(self) -> None:
        """Ends the loader processes of an iteration that was left; DataLoader waits five seconds for each of them."""
        if threading.current_thread() is not threading.main_thread():
            return
        # Meanwhile the end of a process must not raise, as DataLoader's handler of SIGCHLD would.
        previous = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            pids = self._pids()
            processes = [process for process in multiprocessing.active_children() if process.pid in pids]
            for process in processes:
                process.kill()
            for process in processes:
                process.join(GRACE_SECONDS)  # one that waits for a dead disk is left behind
        finally:
            signal.signal(signal.SIGCHLD, previous)

    def _from_here(self) -> Iterator[Batch]:
        batches = iter(self._loader)
        if threading.current_thread() is not threading.main_thread():
            yield from batches  # only the main thread can be interrupted
            return
        with _Guard(self._seconds, self._stalled) as guard:
            while True:
                _note_in(self._board, 0)
                try:
                    with guard.limited():
                        batch = next(batches)
                except StopIteration:
                    return
                yield batch

    def _stalled(self) -> str:
        return (
            f"the loader gave no batch for {self._seconds:g} s. {self._being_read() or 'No clip was being read.'}"
            f" The log has the stacks of all processes. If the disk is that slow, raise {STALL_SECONDS}."
        )

    def _being_read(self, pids: set[int] | None = None) -> str:
        """The clips being read, by these processes or by all, the longest first."""
        now, found = time.monotonic(), []
        for first in range(0, len(self._board), _FIELDS):
            pid, place, since = self._board[first : first + _FIELDS]
            if place >= 0 and (pids is None or int(pid) in pids):
                found.append((now - since, f"{self._describe(int(place))} for {now - since:.0f} s"))
        return f"Being read: {'; '.join(text for _, text in sorted(found, reverse=True))}." if found else ""


def _note_in(board: MutableSequence[float], number: int) -> None:
    global _slot
    _slot = board, number * _FIELDS
    board[number * _FIELDS + _PID] = os.getpid()


def _start_worker(board: MutableSequence[float], number: int) -> None:
    """Runs first in each loader process."""
    _note_in(board, number)
    faulthandler.register(DUMP_SIGNAL, file=LOG, all_threads=True)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(LOG, f"{text}\n".encode(errors="replace"))


def _dump_here() -> None:
    _say(f"stacks of process {os.getpid()}:")
    faulthandler.dump_traceback(file=LOG, all_threads=True)


class _Guard:
    """Limits the time of blocks of the main thread, with a thread that watches as long as the guard is entered."""

    def __init__(self, seconds: float, describe: Callable[[], str]) -> None:
        self._seconds, self._describe = seconds, describe
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._began: float | None = None
        self._failure = ""
        self._previous: Any = None

    def __enter__(self) -> _Guard:
        self._previous = signal.signal(signal.SIGALRM, self._interrupt)
        threading.Thread(target=self._watch, name="loader watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(ValueError):  # a loader that was left half-way may be closed in any thread
            signal.signal(signal.SIGALRM, self._previous)

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """A block that may take so long and no longer. Raises LoaderError in its midst."""
        self._began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._began = None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._failure:
            raise LoaderError(self._failure)

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            with self._lock:  # the block must not end between the look at the clock and the signal
                began = self._began
                if began is None or time.monotonic() - began <= self._seconds:
                    continue
                self._failure = self._describe()
                _say(self._failure)
                _dump_here()
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
            if not self._ended.wait(min(GRACE_SECONDS, self._seconds)):
                _say("The read cannot be interrupted: the process ends here.")
                os._exit(1)
            return
