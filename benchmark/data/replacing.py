"""Files that change in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names a file in an OSError of the block that names none: writing to a full disk says only that it is full."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; what was written takes its place at the end, and is removed after a failure.

    Two processes may prepare the same file at once: each writes its own, and both write the same. An OSError names the
    file, as those of a full disk do not by themselves.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path):
            yield unfinished
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
