"""Disks that are full: small ones, mounted for one process alone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.config.folders import REPOSITORY
from benchmark.runs.disk_errors import what_to_do

CHECKS = """
import contextlib, os, sys
from pathlib import Path
import numpy as np, pytest, torch
from benchmark.data.frame_store import build_store
from benchmark.data.watchdog import LoaderError, WatchedLoader
from benchmark.launch import job
from benchmark.report.writing import ResultsError, replace_together
from benchmark.runs.disk_errors import full_folders, what_to_do

class Clips(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, index): return torch.zeros(2_000_000, dtype=torch.uint8)

def fill(folder):
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True: file.write(bytes(4096))

small = Path(sys.argv[1])
if __name__ == "__main__":
    # Loader processes without room in /dev/shm.
    with pytest.raises(LoaderError, match=r"/dev/shm \\(1 MB\\).* is full.*--shm-size.*BENCHMARK_WORKERS"):
        list(WatchedLoader(Clips(), str, workers=1, batch_size=1))

    # An array that is mapped: an error, where writing it page by page would end the process.
    with pytest.raises(OSError, match="No space left") as caught:
        build_store(small, "x", [small] * 9, [100] * 9, 64, 64, read=lambda *_: np.ones((100, 64, 64, 3), np.uint8))
    assert "frames.npy: No space left on device; make room there, or set BENCHMARK_DATA" in what_to_do(caught.value)
    assert full_folders() == ""
    assert list(small.iterdir()) == []

    # Old files stay whole.
    old = {"table.md": b"old", "cells.csv": b"1,2"}
    replace_together(small / "table", old)
    with pytest.raises(ResultsError, match="No space left.*BENCHMARK_RESULTS"):
        replace_together(small / "table", {"table.md": b"new", "cells.csv": bytes(2**21)})
    assert {path.name: path.read_bytes() for path in (small / "table").iterdir()} == old

    (small / "runs" / "0").mkdir(parents=True)

    # Whoever writes to a file that has no name.
    os.environ |= {"BENCHMARK_RUNS": str(small / "runs"), "BENCHMARK_DATA": "/"}
    fill(small)
    with pytest.raises(OSError) as caught:
        print("x" * 9000, file=(small / "filler").open("a"), flush=True)
    assert caught.value.filename is None
    assert f"the disk of {small}/runs is full; make room there, or set BENCHMARK_RUNS" in what_to_do(caught.value)
    fill(Path("/dev/shm"))
    with pytest.raises(OSError) as caught:
        torch.multiprocessing.get_context("spawn").Lock()
    assert what_to_do(caught.value).startswith("/dev/shm (1 MB), where processes share batches and locks, is full")

    # A run says so in a line.
    assert job.main([str(small / "runs" / "0")]) == 1
    print("all checked")
"""


def test_a_full_disk_is_named_with_what_to_set(tmp_path: Path) -> None:
    """In shared memory, data, results and where nobody says which file it was."""
    (tmp_path / "checks.py").write_text(CHECKS)
    (tmp_path / "small").mkdir()
    mounts = f"mount -t tmpfs -o size=1m tmpfs /dev/shm && mount -t tmpfs -o size=1m tmpfs {tmp_path}/small"
    if subprocess.run(["unshare", "--mount", "sh", "-c", mounts], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"),
            *(sys.executable, tmp_path / "checks.py", tmp_path / "small"),
        ],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "BENCHMARK_DATA": str(tmp_path / "small")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == (
        f"{tmp_path}/small/runs/0/status.json: No space left on device; make room there, or set BENCHMARK_RUNS to a"
        " folder of another disk\nall checked\n"
    ), done.stderr


def test_the_variable_of_the_innermost_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path))
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    quota = OSError(errno.EDQUOT, "Disk quota exceeded", str(tmp_path / "runs" / "0" / "checkpoint.pt"))
    assert "checkpoint.pt: Disk quota exceeded; make room there, or set BENCHMARK_RUNS to" in (what_to_do(quota) or "")
    read_only = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "ucf101"))
    told = f"{tmp_path}/ucf101: Read-only file system; make it readable and writable, or set BENCHMARK_DATA to"
    assert (what_to_do(read_only) or "").startswith(told)
    assert what_to_do(PermissionError(errno.EACCES, "Permission denied", "/tmp/elsewhere")) is None
