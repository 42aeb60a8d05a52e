"""Why a run directory cannot be used as it is."""

from __future__ import annotations

from pathlib import Path


class RunDirError(Exception):
    """A run directory cannot be used as it is; the message says what to do."""


class StaleRunError(RunDirError):
    """A run directory holds a run of another config than the one that now has its key."""


class DamagedRunError(RunDirError):
    """A file of a run directory is not as a run has written it: cut, edited, gone, or another run's."""


class UnreadableRunError(DamagedRunError):
    """A run directory, or a file of it, that this user may not read: what it holds is not known."""


class NotWritableRunError(RunDirError, PermissionError):
    """A run directory, or a file of it, that this user may not write."""


class ClaimedError(Exception):
    """Another live process holds the run."""


def damaged(path: Path, what: str) -> DamagedRunError:
    """The error of a file of a run directory that is not as a run has written it, with what to do about it."""
    return DamagedRunError(f"{path} is damaged ({what}); remove {path.parent} to run it again")
