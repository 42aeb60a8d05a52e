"""Batches that come in time, or an error that says why not: a loader never hangs a run for ever.

If no batch comes for BENCHMARK_STALL_SECONDS (600 by default), the stacks of all threads and of all loader processes go
to the standard error, which is the run's log, and the run fails with an error that names the clips being read. So it
does if a loader process dies. The time that the network takes between two batches does not count.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import gc
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from benchmark.data.limits import DEFAULT_STALL_SECONDS, STALL_SECONDS, positive_seconds
from benchmark.data.now_reading import NowReading
from benchmark.runs.disk_errors import full_shared_memory

GRACE_SECONDS = 30.0
"""How long a read that was told to end may take to do so, and a loader process that was killed."""

DUMP_SIGNAL = signal.SIGUSR1
PR_SET_PDEATHSIG = 1
LOG = 2
"""Standard error by its number: pytest and notebooks replace sys.stderr by what is no file."""

Batch = TypeVar("Batch")


class LoaderError(RuntimeError):
    """Batches stopped coming: the loader stalled, or one of its processes died."""


class WatchedLoader(Generic[Batch]):
    """A torch DataLoader under watch; iterate over it as over that one, as often as you like, but not twice at a time.

    Its processes live from one iteration to the next. They end with the loader, or with an iteration that is left.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        describe: Callable[[int], str],
        workers: int = 0,
        seconds: float | None = None,
        **arguments: Any,
    ) -> None:
        """The loader of a dataset that notes what it reads with `now_reading.reading`.

        Args:
            dataset: As DataLoader's.
            describe: Names the clip at a position of the split.
            workers: Loader processes; 0 loads in this one.
            seconds: How long a batch may take; default: BENCHMARK_STALL_SECONDS.
            **arguments: DataLoader's others.
        """
        self._describe = describe
        self._workers = workers
        self._seconds = positive_seconds(STALL_SECONDS, DEFAULT_STALL_SECONDS) if seconds is None else seconds
        self._now_reading = NowReading(max(workers, 1))
        if workers:
            start = partial(_start_worker, self._now_reading)
            arguments |= {"timeout": self._seconds, "worker_init_fn": start, "persistent_workers": True}
        # DataLoader draws a seed for its processes when it starts them; the clips have random streams of their own.
        own = torch.Generator()
        self._make: Callable[[], DataLoader[Batch]] = partial(
            DataLoader, dataset, num_workers=workers, generator=own, **arguments
        )
        self._loader = self._make()

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """The batches. Raises LoaderError when they stop coming."""
        # As DataLoader did at every start, from the generator whose next numbers a dropout takes: results depend on it.
        torch.empty((), dtype=torch.int64).random_()
        yield from self._from_workers() if self._workers else self._from_here()

    def _from_workers(self) -> Iterator[Batch]:
        batches, complete = None, False
        try:
            while True:
                try:
                    with _deaths_raise():
                        batches = iter(self._loader) if batches is None else batches
                        batch = next(batches)
                except StopIteration:
                    complete = True
                    return
                except RuntimeError as error:
                    # DataLoader knows of both, and has no class of error for either.
                    told = str(error).strip()
                    if told.startswith("DataLoader timed out"):
                        raise LoaderError(self._dump_workers()) from None
                    if ("/torch_" in told and "No space left" in told) or ("Bus error" in told):
                        raise LoaderError(full_shared_memory()) from None
                    if told.startswith("DataLoader worker (pid"):
                        raise LoaderError(self._died(told)) from None
                    raise
                yield batch
        except OSError as error:  # of a queue or a lock, which lie there, too
            if error.errno != errno.ENOSPC or error.filename is not None:
                raise
            raise LoaderError(full_shared_memory()) from None
        finally:
            if not complete:
                self._kill()
                self._now_reading.clear()
                self._loader = self._make()

    def _from_here(self) -> Iterator[Batch]:
        batches = iter(self._loader)
        while True:
            self._now_reading.join(0)
            try:
                with _time_limit(self._seconds, self._stalled):
                    batch = next(batches)
            except StopIteration:
                return
            yield batch

    def _stalled(self) -> str:
        return (
            f"the loader gave no batch for {self._seconds:g} s. {self._now_reading.describe(self._describe)}"
            f" The log has the stacks of all processes. If the disk is that slow, raise {STALL_SECONDS}."
        )

    def _dump_workers(self) -> str:
        """What to say of a stall, after the stacks of all processes went to the log."""
        failure = self._stalled()
        _say(failure)
        for pid in self._now_reading.pids():
            _say(f"stacks of loader process {pid}:")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, DUMP_SIGNAL)
            time.sleep(0.2)  # the dumps come from several processes and would mix
        _dump_here()
        return failure

    def _died(self, told: str) -> str:
        """What to say of a process that died, after DataLoader's own words."""
        listed = re.search(r"\(pid(?:\(s\))? ([\d, ]+)\)", told)
        dead = {int(pid) for pid in listed[1].split(",")} if listed else None
        return (
            f"{told.rstrip('.')}. {self._now_reading.describe(self._describe, dead)} The kernel kills processes"
            " when memory runs out: use fewer loader processes, or ask for more memory."
        )

    def _kill(self) -> None:
        """Ends the loader processes of an iteration that was left; DataLoader waits five seconds for each of them."""
        pids = self._now_reading.pids()
        processes = [process for process in multiprocessing.active_children() if process.pid in pids]
        for process in processes:
            process.kill()
        for process in processes:
            process.join(GRACE_SECONDS)  # one that waits for a dead disk is left behind


_raising: Any = None
"""DataLoader's handler of SIGCHLD, once it has set it."""


@contextlib.contextmanager
def _deaths_raise() -> Iterator[None]:
    """A block of the main thread in which the death of a loader process raises, also one that came before.

    DataLoader's own handler raises for ever after, in whatever the main thread does between two batches or two epochs,
    and there nobody could say which clip was being read.
    """
    global _raising
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has handlers
        return
    outside = signal.getsignal(signal.SIGCHLD)
    try:
        if _raising is not None:
            signal.signal(signal.SIGCHLD, _raising)
            signal.raise_signal(signal.SIGCHLD)
        yield
    finally:
        _raising = signal.signal(signal.SIGCHLD, outside)


def _start_worker(now_reading: NowReading, number: int) -> None:
    """Runs first in each loader process."""
    now_reading.join(number)
    gc.freeze()  # a collection writes to all objects that it looks at: the parent's would be copied, 50 MiB a process
    if sys.platform == "linux":
        # Dies with the run: a worker holds the run's lock too, and torch's own watch over the parent takes seconds.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Even a process that never comes back from a decoder shows where it is, since faulthandler needs no Python for it.
    faulthandler.register(DUMP_SIGNAL, file=LOG, all_threads=True)


@contextlib.contextmanager
def _time_limit(seconds: float, describe: Callable[[], str]) -> Iterator[None]:
    """A block of the main thread that may take so long and no longer: LoaderError is raised in its midst.

    A block that cannot be interrupted (one call of a decoder, a dead disk) ends the process, since nothing else would.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can be interrupted
        return
    failure, lock, left = "", threading.Lock(), threading.Event()

    def interrupt(*_: object) -> None:
        if failure:
            raise LoaderError(failure)

    def expire() -> None:
        nonlocal failure
        with lock:  # the block must not end between the question and the signal
            if left.is_set():
                return
            failure = describe()
            _say(failure)
            _dump_here()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        if not left.wait(min(GRACE_SECONDS, seconds)):
            _say("The read cannot be interrupted: the process ends here.")
            os._exit(1)

    previous = signal.signal(signal.SIGALRM, interrupt)
    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        try:
            yield
        finally:
            with lock:
                left.set()
    finally:
        left.set()  # the signal may have come while the lock was awaited
        timer.cancel()
        signal.signal(signal.SIGALRM, previous)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(LOG, f"{text}\n".encode(errors="replace"))


def _dump_here() -> None:
    _say(f"stacks of process {os.getpid()}:")
    faulthandler.dump_traceback(file=LOG, all_threads=True)
