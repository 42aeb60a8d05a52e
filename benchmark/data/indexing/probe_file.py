"""Reads the frames, size and duration of one video or folder of frames without decoding it, and recognises damage."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from benchmark.data.decode.container import complaints, missing_bytes
from benchmark.data.decode.video import probe
from benchmark.data.errors import DecodeError
from benchmark.data.indexing.file_log import FileRecord

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that are this process's fault and not the file's."""


def probe_file(root: Path, relative: str, known: FileRecord | None, any_first: bool = False) -> FileRecord | None:
    """The record of a file or a folder of frames; None where it has not changed since the known one.

    `any_first`: frames of a folder may be numbered from anywhere on, as those that were cut out of a longer video.

    Raises OSError only where this process is out of files or memory, which is not the file's fault.
    """
    path = root / relative
    try:
        status = path.stat()
        is_folder = path.is_dir()
        # Adding and removing frames changes a folder's modification time.
        size, mtime = -1 if is_folder else status.st_size, status.st_mtime_ns
        if known is not None and (known.size, known.mtime) == (size, mtime):
            return None
        if size == 0:
            return FileRecord(relative, size, mtime, "empty", reason="zero bytes")
        if is_folder and not any(path.iterdir()):
            return FileRecord(relative, size, mtime, "empty", reason="no frames in the folder")
        with complaints() as errors:
            info = probe(path, any_first)
        partial = "" if is_folder else cut_short(path, errors)
    except FileNotFoundError:
        return FileRecord(relative, 0, 0, "missing", reason="a link to nothing")
    except OSError as error:
        if error.errno in OUT_OF_RESOURCES:
            raise
        return FileRecord(relative, 0, 0, "corrupt", reason=f"cannot be opened ({error.strerror})")
    except DecodeError as error:
        return FileRecord(relative, size, mtime, "corrupt", reason=without_path(error, path))
    except Exception as error:  # one file must not keep all others from being examined
        return FileRecord(relative, size, mtime, "corrupt", reason=unforeseen(error))
    seconds = round(info.seconds, 3)
    return FileRecord(relative, size, mtime, "ok", info.frames, info.height, info.width, seconds, partial=partial)


def unforeseen(error: Exception) -> str:
    """The reason for a file at which the reader failed in an unforeseen way."""
    return f"the reader failed at it ({type(error).__name__}: {error}); please report it with the file"


def cut_short(path: Path, errors: Sequence[str] = ()) -> str:
    """Why a video file is not whole, or "": it has fewer bytes than its container says, or FFmpeg complains of it.

    Args:
        path: The file.
        errors: FFmpeg's complaints of the container.
    """
    missing = missing_bytes(path)
    if missing > 0:
        return f"cut short: {missing:,} bytes less than its container says"
    return f"damaged within: {errors[0]}" if errors else ""


def without_path(error: DecodeError, path: Path) -> str:
    """An error's text without the path that it begins with: lists name the clip already."""
    return str(error).removeprefix(f"{path}: ")
