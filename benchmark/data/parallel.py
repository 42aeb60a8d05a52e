"""Runs work on batches of clips in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def by_batches(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item], size: int, workers: int | None
) -> Iterator[tuple[Sequence[Item], Result]]:
    """Batches of at most `size` items with what `work` made of them, as they are done.

    `workers` is the usable cores by default. One worker, or one batch, is this process; more are fresh interpreters, to
    which `work` must travel.
    """
    batches = [items[i : i + size] for i in range(0, len(items), size)]
    workers = min(workers or usable_cores(), len(batches))
    if workers <= 1:
        for batch in batches:
            yield batch, work(batch)
        return
    # A fresh interpreter per worker: forking a process that already runs threads can deadlock.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        futures = {pool.submit(work, batch): batch for batch in batches}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after an interrupt or an error: the batches in hand, and no more


def _end_with_parent() -> None:
    """Leave interrupts to the parent process, and end when it is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
