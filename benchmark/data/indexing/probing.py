"""Examining many files, each once: in parallel, resumable, and whatever a file does to its reader.

What was found of a file is logged with its size and modification time, a JSON line each, so that an interrupted
examination goes on where it was, and a later one looks only at what has changed.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from benchmark.data.decode.container import complaints, missing_bytes
from benchmark.data.decode.video import probe
from benchmark.data.errors import DecodeError
from benchmark.data.limits import DEFAULT_STALL_SECONDS, STALL_SECONDS, positive_seconds
from benchmark.data.parallel import by_batches, usable_cores
from benchmark.runs.atomic import naming

State = Literal["ok", "missing", "empty", "corrupt"]
Item = TypeVar("Item")
Result = TypeVar("Result")
BATCH = 16
"""Files that a worker process probes at a time."""


@dataclass(frozen=True)
class Probed:
    """What one file, or folder of frames, was found to be; `duration` is in seconds, 0 if unknown.

    `reason`: why it is not ok. `partial`: of what can be read, why that is not all of it. `resized`: which frames have
    another size than the first, known of what has been decoded.
    """

    path: str
    size: int
    mtime: int
    state: State
    frames: int = 0
    height: int = 0
    width: int = 0
    duration: float = 0.0
    reason: str = ""
    partial: str = ""
    resized: str = ""


class FileLog:
    """Records of files, a JSON line each, appended as they come; a line that a kill cut short is ignored.

    Where the file must not be written, what is found is not recorded, and `unwritten` says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unwritten = ""

    def read(self) -> dict[str, Probed]:
        """The last record of every file."""
        found: dict[str, Probed] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return found
        for line in text.splitlines():
            try:
                values = json.loads(line)
                record = Probed(**values)
            except (json.JSONDecodeError, TypeError):
                continue
            # Of an examination that looked for less: it counted packets without a picture, and heard no complaint.
            if "resized" not in values and record.state == "ok":
                found.pop(record.path, None)
                continue
            found[record.path] = record
        return found

    def add(self, records: Sequence[Probed]) -> None:
        """Append records, whole lines at once.

        Raises:
            OSError: The disk is full or away; the file is named.
        """
        if not records or self.unwritten:
            return
        lines = "".join(json.dumps(asdict(record)) + "\n" for record in records)
        try:
            with naming(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    if file.tell() and not _ends_a_line(self.path):
                        lines = "\n" + lines
                    file.write(lines)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            self.unwritten = f"not recorded: {self.path} cannot be written ({error.strerror})"


READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


Examine = Callable[[Path, str, "Probed | None"], "Probed | None"]
"""From a root, a path relative to it and what is known of it to what it is now; None where that is still true."""
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
CRASHED = "the decoder crashed on it or never came back; copy it again"


def examine(
    root: Path,
    paths: Sequence[str],
    log: FileLog,
    one: Examine,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Probed]:
    """Examines files in parallel, those that the log knows only as far as to see that they are the same.

    Failures are always tried again: a disk may have been away, or a machine too busy for a time limit.
    """
    known = {path: record for path, record in log.read().items() if record.state == "ok"}
    found: dict[str, Probed] = {}
    items = [(path, known.get(path)) for path in paths]
    for batch, results in surviving(partial(_examine_batch, one, root), items, BATCH, workers):
        fresh = results if results is not None else [Probed(batch[0][0], 0, 0, "corrupt", reason=CRASHED)]
        for (path, before), now in zip(batch, fresh, strict=True):
            record = now or before
            assert record is not None
            found[path] = record
        log.add([record for record in fresh if record is not None])
        if progress is not None:
            progress(len(found), len(items))
    return found


def _examine_batch(one: Examine, root: Path, items: Sequence[tuple[str, Probed | None]]) -> list[Probed | None]:
    return [_in_time(partial(one, root, path, known)) for path, known in items]


def _in_time(work: Callable[[], Result]) -> Result:
    """Ends this process, if it is one of several, where a file takes longer than a loader may: nothing else can.

    A call of a decoder that never comes back cannot be interrupted. What becomes of the file is up to `surviving`.
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


def surviving(
    work: Callable[[Sequence[Item]], Result], items: Sequence[Item], size: int, workers: int | None
) -> Iterator[tuple[Sequence[Item], Result | None]]:
    """As `by_batches`, but an item on which a worker process dies costs only itself: it comes alone, with None.

    (Where there is one batch or one worker, this process does the work and nothing stands between it and a crash.)
    """
    remaining = list(items)
    while remaining:
        finished: set[int] = set()
        place_of = {id(item): i for i, item in enumerate(remaining)}
        try:
            for batch, result in by_batches(work, remaining, size, workers):
                finished.update(place_of[id(item)] for item in batch)
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


def probe_file(root: Path, relative: str, known: Probed | None) -> Probed | None:
    """Frames, size and duration of a file or a folder of frames; None where it is as it was.

    Raises OSError only where this process is out of files or memory, which is not the file's fault.
    The recorded size of a folder is -1: it is known by its modification time, which adding or removing frames changes.
    """
    path = root / relative
    try:
        status = path.stat()
        is_folder = path.is_dir()
        size, mtime = -1 if is_folder else status.st_size, status.st_mtime_ns
        if known is not None and (known.size, known.mtime) == (size, mtime):
            return None
        if size == 0:
            return Probed(relative, size, mtime, "empty", reason="zero bytes")
        if is_folder and not any(path.iterdir()):
            return Probed(relative, size, mtime, "empty", reason="no frames in the folder")
        with complaints() as said:
            info = probe(path)
        partial = "" if is_folder else cut_short(path, said)
    except FileNotFoundError:
        return Probed(relative, 0, 0, "missing", reason="a link to nothing")
    except OSError as error:
        if error.errno in OUT_OF_RESOURCES:
            raise
        return Probed(relative, 0, 0, "corrupt", reason=f"cannot be opened ({error.strerror})")
    except DecodeError as error:
        return Probed(relative, size, mtime, "corrupt", reason=without_path(error, path))
    except Exception as error:  # one file must not keep all others from being examined
        return Probed(relative, size, mtime, "corrupt", reason=unforeseen(error))
    seconds = round(info.seconds, 3)
    return Probed(relative, size, mtime, "ok", info.frames, info.height, info.width, seconds, partial=partial)


def unforeseen(error: Exception) -> str:
    """What to say of a file at which the reader failed in a way that it does not know."""
    return f"the reader failed at it ({type(error).__name__}: {error}); please report it with the file"


def cut_short(path: Path, said: Sequence[str] = ()) -> str:
    """What to say of a video file that has fewer bytes than its container says, or of whose container FFmpeg complains.

    Args:
        path: The file.
        said: The complaints, if it has been read to its end.
    """
    missing = missing_bytes(path)
    if missing > 0:
        return f"cut short: {missing:,} bytes less than its container says"
    return f"damaged within: {said[0]}" if said else ""


def without_path(error: DecodeError, path: Path) -> str:
    """An error's text without the path that it begins with: lists name the clip already."""
    return str(error).removeprefix(f"{path}: ")
