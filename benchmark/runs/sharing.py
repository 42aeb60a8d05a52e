"""A runs folder that several users share: whose a file is, and what to do where one may not read or write another's."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.runs.errors import NotWritableRunError, UnreadableRunError


def user_name(uid: int | None = None) -> str:
    """Name of a user, by default of this process's; the number of one without a name."""
    number = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def owner_of(path: Path) -> str | None:
    """Whose a file or folder is; None where there is none, or where one may not look."""
    try:
        return user_name(path.stat().st_uid)
    except OSError:
        return None


def unreadable(path: Path) -> UnreadableRunError:
    """The error of a file or folder of a run that this user may not read, with what its owner can do about it."""
    owner = owner_of(path)
    return UnreadableRunError(
        f"{path} cannot be read by {user_name()}: it is {owner or 'someone'}'s alone."
        f" Its owner can open the runs folder to the group: chmod -R g+rX {path.parent}"
    )


def not_writable(path: Path, root: Path) -> NotWritableRunError:
    """The error of what this user may not write in the runs folder `root`, with what can be done about it."""
    while (owner := owner_of(path)) is None:  # what is not there yet, or may not be looked at, fails by what is above
        path = path.parent
    mode = path.stat().st_mode & 0o7777
    return NotWritableRunError(
        f"{path} cannot be written by {user_name()}: it is {owner}'s, mode {mode:04o}.\n"
        f"  To share {root} in a Unix group, {owner} runs: chgrp -R GROUP {root}; chmod -R g+rwX {root};"
        f" find {root} -type d -exec chmod g+s {{}} +\n"
        "  and all who share it set `umask 002` in their shells. BENCHMARK_RUNS=elsewhere keeps runs of one's own."
    )


@contextmanager
def writing(path: Path, root: Path) -> Iterator[None]:
    """Says what to do where the block may not write `path` in the runs folder. Raises NotWritableRunError."""
    try:
        yield
    except PermissionError:
        raise not_writable(path, root) from None
