"""Decodes all of one file, or one folder of frames, to find the damage that opening it does not show."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path

from benchmark.data.decode.container import complaints, missing_seconds
from benchmark.data.decode.video import probe, read_frames
from benchmark.data.errors import DecodeError
from benchmark.data.indexing.file_log import FileRecord
from benchmark.data.indexing.probe_file import OUT_OF_RESOURCES, cut_short, unforeseen, without_path

SIDE = 16
"""Frames are scaled to this height and width: all is decoded, and little is held."""
CHUNK = 2048
"""Frames that are decoded into memory at once: more than a clip has, but a wrong file may be a film."""


def decode_file(root: Path, relative: str, known: FileRecord | None) -> FileRecord | None:
    """The record of a file or a folder of frames after decoding all of it; None where the known one is still true.

    Raises OSError only where this process is out of files or memory, which is not the file's fault.
    """
    path = root / relative
    size, mtime = 0, 0
    try:
        size, mtime = file_stamp(path)
        if known is not None and (known.size, known.mtime) == (size, mtime):
            return None
        info, sizes = probe(path, any_first=True), dict[int, tuple[int, int]]()
        with _stderr_lines() if path.is_dir() else nullcontext(list[str]()) as errors:
            for start in range(0, info.frames, CHUNK):
                read_frames(path, range(start, min(start + CHUNK, info.frames)), SIDE, SIDE, sizes=sizes)
        if path.is_dir() and (garbled := [line for line in errors if "Corrupt JPEG data" in line]):
            # libjpeg goes on with what it can guess.
            raise DecodeError(f"{path}: a frame is damaged ({garbled[0].strip()}); extract the video again")
        partial = "" if path.is_dir() else _less_than_all(path)
    except OSError as error:
        if error.errno in OUT_OF_RESOURCES:
            raise
        return FileRecord(relative, size, mtime, "corrupt", reason=f"cannot be opened ({error.strerror})")
    except DecodeError as error:
        return FileRecord(relative, size, mtime, "corrupt", reason=without_path(error, path))
    except Exception as error:  # one file must not keep all others from being examined
        return FileRecord(relative, size, mtime, "corrupt", reason=unforeseen(error))
    length = (info.frames, info.height, info.width)
    return FileRecord(relative, size, mtime, "ok", *length, partial=partial, resized=_resized(sizes))


def _resized(sizes: Mapping[int, tuple[int, int]]) -> str:
    """`64x48, from frame 12 32x24`: a video's sizes, width first, where there is more than one."""
    changes: list[str] = []
    for before, index in pairwise(sorted(sizes)):
        if sizes[index] != sizes[before]:
            changes.append(f"from frame {index} {sizes[index][1]}x{sizes[index][0]}")
    if not changes:
        return ""
    height, width = sizes[min(sizes)]
    more = f" and {len(changes) - 3} more changes" if len(changes) > 3 else ""
    return f"{width}x{height}, {', '.join(changes[:3])}{more}; all are scaled to one size"


def _less_than_all(path: Path) -> str:
    """Why a video file is not whole although all its packets decode, or "".

    Damage within the packets of HEVC, VP8, VP9 and MPEG-4 may still decode to something, and shows in no way.
    """
    if text := cut_short(path):
        return text
    with complaints() as errors:
        seconds = missing_seconds(path)
    if seconds:
        return f"cut short: it ends {seconds:.1f} s earlier than its container says"
    return cut_short(path, errors)


@contextmanager
def _stderr_lines() -> Iterator[list[str]]:
    """What libraries write to the standard error in the block, instead of there; filled when it ends."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and modification time of a file; of a folder, the sum of its files' sizes and the latest of their times."""
    status = path.stat()
    if not path.is_dir():
        return status.st_size, status.st_mtime_ns
    with os.scandir(path) as entries:
        inside = [entry.stat() for entry in entries if entry.is_file()]  # not a link to nothing
    return sum(one.st_size for one in inside), max((one.st_mtime_ns for one in inside), default=status.st_mtime_ns)
