"""Examines many files in parallel, whatever a file does to its reader.

A file on which a worker process crashes, or from which it never comes back, costs only itself.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmark.data.indexing.file_log import FileLog, FileRecord
from benchmark.data.limits import DEFAULT_STALL_SECONDS, STALL_SECONDS, positive_seconds
from benchmark.data.parallel import by_batches, usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
BATCH = 16
"""Files that a worker process examines at a time."""
Examine = Callable[[Path, str, "FileRecord | None"], "FileRecord | None"]
"""From a root, a path relative to it and the logged record to a new one; None where the logged one is still true."""
CRASHED = "the decoder crashed on it or never came back; copy it again"


def examine(
    root: Path,
    paths: Sequence[str],
    log: FileLog,
    one: Examine,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, FileRecord]:
    """A record of each file: from the log where the file has not changed, and else by examining it, in parallel.

    Args:
        root: What the paths are relative to.
        paths: Of the files.
        log: Where the records are kept.
        one: Examines one file.
        workers: Processes; default: the usable cores.
        progress: Told how many files are done, of how many.
    """
    if not paths:
        return {}  # the log of a large data set takes seconds to read
    # Failures are tried again: a disk may have been away, or a machine too busy for a time limit.
    known = {path: record for path, record in log.read().items() if record.state == "ok"}
    found: dict[str, FileRecord] = {}
    items = [(path, known.get(path)) for path in paths]
    for batch, results in by_batches_despite_crashes(partial(_examine_batch, one, root), items, BATCH, workers):
        fresh = results if results is not None else [FileRecord(batch[0][0], 0, 0, "corrupt", reason=CRASHED)]
        for (path, before), now in zip(batch, fresh, strict=True):
            record = now or before
            assert record is not None
            found[path] = record
        log.add([record for record in fresh if record is not None])
        if progress is not None:
            progress(len(found), len(items))
    return found


def _examine_batch(one: Examine, root: Path, items: Sequence[tuple[str, FileRecord | None]]) -> list[FileRecord | None]:
    return [_in_time(partial(one, root, path, known)) for path, known in items]


def _in_time(work: Callable[[], Result]) -> Result:
    """Ends this process, if it is a worker, where a file takes longer than a loader may.

    A call of a decoder that never comes back cannot be interrupted. The file then counts as one that crashes.
    """
    if multiprocessing.parent_process() is None:
        return work()
    timer = threading.Timer(positive_seconds(STALL_SECONDS, DEFAULT_STALL_SECONDS), os._exit, (1,))
    timer.daemon = True
    timer.start()
    try:
        return work()
    finally:
        timer.cancel()


def by_batches_despite_crashes(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item], size: int, workers: int | None
) -> Iterator[tuple[Sequence[Item], Result | None]]:
    """As `by_batches`, but an item on which a worker process dies costs only itself: it comes alone, with None.

    With one batch or one worker this process does the work, and is not protected from a crash.
    """
    remaining = list(items)
    while remaining:
        finished: set[int] = set()
        number_of = {id(item): i for i, item in enumerate(remaining)}
        try:
            for batch, result in by_batches(work, remaining, size, workers):
                finished.update(number_of[id(item)] for item in batch)
                yield batch, result
            return
        except BrokenProcessPool:
            left = [item for i, item in enumerate(remaining) if i not in finished]
        # The culprit is among the first that were not done: batches are begun in order.
        suspects = (workers or usable_cores()) * 2 * size
        yield from _one_by_one(work, left[:suspects])
        remaining = left[suspects:]


def _one_by_one(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item]
) -> Iterator[tuple[Sequence[Item], Result | None]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context)
    try:
        for item in items:
            try:
                result: Result | None = pool.submit(work, [item]).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool, result = ProcessPoolExecutor(1, mp_context=context), None
            yield [item], result
    finally:
        pool.shutdown()
