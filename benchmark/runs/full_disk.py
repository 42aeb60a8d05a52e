"""A disk that is full: which folder is on it, and which variable moves that folder elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

FOLDERS = {
    "BENCHMARK_RUNS": "runs",
    "BENCHMARK_DATA": "data",
    "BENCHMARK_RESULTS": "results",
    "BENCHMARK_WEIGHTS": "weights",
}
"""Variables of the folders that are written to, and their defaults."""
FULL = (errno.ENOSPC, errno.EDQUOT)
ALMOST_NOTHING = 2**16
"""Bytes; a disk with no more than these left takes no new file of ours."""
SHARED_MEMORY = Path("/dev/shm")


def what_to_do(error: OSError) -> str | None:
    """What to say of an error of a full disk, or of a quota that is used up: which, and the variable to set.

    None of any other error.
    """
    if error.errno not in FULL:
        return None
    why = os.strerror(error.errno or errno.ENOSPC)
    if isinstance(error.filename, str | bytes):
        path = Path(os.fsdecode(error.filename)).absolute()
        inside = [advice for folder, advice in _advice().items() if path.is_relative_to(folder)]
        return f"{path}: {why}; make room there{inside[0] if inside else ''}"
    # Whoever wrote did not say where: what is full can be seen.
    return full_folders() or f"{why}, of a file that is not known: make room on your disks"


def full_folders() -> str:
    """Which of the folders that are written to have no room left, and what to do; empty where all have."""
    lines = []
    for folder, advice in _advice().items():
        there = next((path for path in (folder, *folder.parents) if path.exists()), None)
        if there is not None and shutil.disk_usage(there).free <= ALMOST_NOTHING:
            lines.append(f"the disk of {folder} is full; make room there{advice}")
    return "\n".join(lines)


def full_shared_memory() -> str:
    """What to say where loader processes have no room for their batches."""
    size = shutil.disk_usage(SHARED_MEMORY).total / 2**20 if SHARED_MEMORY.is_dir() else 0
    return (
        f"{SHARED_MEMORY} ({size:,.0f} MB), where loader processes hand over their batches, is full: give it more room"
        " (docker run --shm-size=8g), or set BENCHMARK_WORKERS (0: no such processes; on a cluster: cpus_per_task)"
    )


def _advice() -> dict[Path, str]:
    """What to do about every folder that is written to, the innermost first."""
    advice = {
        Path(os.environ.get(variable) or default).absolute(): f", or set {variable} to a folder of another disk"
        for variable, default in FOLDERS.items()
    }
    advice.setdefault(Path(tempfile.gettempdir()), ", or set TMPDIR to a folder of another disk")
    return dict(sorted(advice.items(), key=lambda item: -len(item[0].parts)))
