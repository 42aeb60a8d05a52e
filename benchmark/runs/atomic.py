"""Files that change in one step, so that readers and crashes never see half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file in one step, once its new content is on the disk."""
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step; keys sorted, so that equal values are equal bytes."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True) + "\n")
