"""Disks that are full or may not be written: which folder, and which variable moves that folder elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

FOLDERS = {
    "BENCHMARK_RUNS": "runs",
    "BENCHMARK_DATA": "data",
    "BENCHMARK_RESULTS": "results",
    "BENCHMARK_WEIGHTS": "weights",
}
"""Variables of the folders that are written to, and their defaults."""
FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of writing where it is not allowed, unlike those of a full disk."""
ALMOST_NOTHING = 2**16
"""Bytes; a disk with no more than these left takes no new file of ours."""
SHARED_MEMORY = Path("/dev/shm")


def what_to_do(error: OSError) -> str | None:
    """What to say of a disk that is full, a quota that is used up or a folder of ours that is not to be written.

    None of any other error.
    """
    if error.errno not in (*FULL, *READ_ONLY):
        return None
    why = os.strerror(error.errno)
    if isinstance(error.filename, str | bytes):
        path = Path(os.fsdecode(error.filename)).absolute()
        variable = next((name for folder, name in _variables().items() if path.is_relative_to(folder)), None)
        if error.errno in READ_ONLY:
            if variable in (None, "TMPDIR"):  # a file that the user has named
                return None
            return f"{path}: {why}; make it readable and writable, or set {variable} to a folder that is"
        return f"{path}: {why}; make room there{_or_set(variable) if variable else ''}"
    if error.errno in READ_ONLY:
        return None
    # Whoever wrote did not say where: what is full can be seen.
    return full_folders() or f"{why}, of a file that is not known: make room on your disks"


def full_folders() -> str:
    """Which of the folders that are written to have no room left, and what to do; empty where all have."""
    lines = [full_shared_memory()] if SHARED_MEMORY.is_dir() and _is_full(SHARED_MEMORY) else []
    for folder, variable in _variables().items():
        there = next((path for path in (folder, *folder.parents) if path.exists()), None)
        if there is not None and _is_full(there):
            lines.append(f"the disk of {folder} is full; make room there{_or_set(variable)}")
    return "\n".join(lines)


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free <= ALMOST_NOTHING


def full_shared_memory() -> str:
    """What to say where loader processes have no room for their batches, or processes for what they share."""
    size = shutil.disk_usage(SHARED_MEMORY).total / 2**20 if SHARED_MEMORY.is_dir() else 0
    return (
        f"{SHARED_MEMORY} ({size:,.0f} MB), where processes share batches and locks, is full: give it more room"
        " (docker run --shm-size=8g), or set BENCHMARK_WORKERS (0: no loader processes; on a cluster: cpus_per_task)"
    )


def _or_set(variable: str) -> str:
    return f", or set {variable} to a folder of another disk"


def _variables() -> dict[Path, str]:
    """The variable of every folder that is written to, the innermost first."""
    found = {Path(os.environ.get(name) or default).absolute(): name for name, default in FOLDERS.items()}
    found.setdefault(Path(os.environ.get("TMPDIR") or "/tmp"), "TMPDIR")
    return dict(sorted(found.items(), key=lambda item: -len(item[0].parts)))
