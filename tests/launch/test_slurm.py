"""A small table on a real SLURM: the development cluster that `make test-slurm` starts."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slurm

COMMAND = [sys.executable, "-m", "benchmark"]
TARGET = ["bqn-3a", "--protocol", "smoke"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "BENCHMARK_RUNS": str(folder / "runs"),
        "BENCHMARK_RESULTS": str(folder / "results"),
    }
    return subprocess.run([*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False)


def states(folder: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads(run("status", *TARGET, "--json", folder=folder).stdout)
    return entries


def wait(folder: Path, wanted: str, seconds: float) -> list[dict[str, str]]:
    deadline = time.monotonic() + seconds
    entries = states(folder)
    while {e["state"] for e in entries} != {wanted} and time.monotonic() < deadline:
        time.sleep(1)
        entries = states(folder)
    return entries


def test_a_table_is_submitted_followed_and_rendered(tmp_path: Path) -> None:
    start = time.monotonic()
    submitted = run("submit", *TARGET, "--cluster", "dev", folder=tmp_path)
    assert submitted.returncode == 0, submitted.stderr
    assert "Submitted 3 runs to dev" in submitted.stdout
    assert time.monotonic() - start < 60  # data preparation included; nothing is waited for
    assert {e["state"] for e in states(tmp_path)} <= {"queued", "running", "done"}  # the first may have ended by now
    half_way = run("render", *TARGET, folder=tmp_path)
    assert half_way.returncode == 0
    again = run("submit", *TARGET, "--cluster", "dev", folder=tmp_path)
    assert "every run is done or on its way" in again.stdout
    entries = wait(tmp_path, "done", 240)
    assert {e["state"] for e in entries} == {"done"}, entries
    local = run("run", *TARGET, folder=tmp_path)  # nothing is left to train, only to count and render
    assert local.returncode == 0
    assert "runs done" not in local.stderr
    assert (tmp_path / "results/bqn/3a/smoke/table.md").exists()


def test_sacct_knows_the_jobs(tmp_path: Path) -> None:
    submitted = run("submit", *TARGET, "--cluster", "dev", folder=tmp_path)
    job = submitted.stdout.split(": ")[1].split("_")[0]
    assert job.isdigit()
    done = subprocess.run(["scancel", job], capture_output=True, text=True, check=False, env=slurm_environment())
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        known = subprocess.run(
            ["sacct", "-n", "-X", "-j", job, "-o", "State"], capture_output=True, text=True, env=slurm_environment()
        )
        if "CANCELLED" in known.stdout:
            break
        time.sleep(1)
    assert "CANCELLED" in known.stdout
    settled = wait(tmp_path, "failed", 60)
    assert {e["state"] for e in settled} <= {"failed", "interrupted", "done"}, settled
    resubmitted = run("submit", *TARGET, "--cluster", "dev", folder=tmp_path)
    assert resubmitted.returncode == 0
    assert {e["state"] for e in wait(tmp_path, "done", 240)} == {"done"}


def slurm_environment() -> dict[str, str]:
    from benchmark.launch.cluster import load_cluster

    return load_cluster("dev").environment(os.environ)


def test_an_unknown_cluster_and_a_cluster_that_is_down(tmp_path: Path) -> None:
    unknown = run("submit", *TARGET, "--cluster", "devv", folder=tmp_path)
    assert unknown.returncode == 2
    assert "Did you mean 'dev'?" in unknown.stderr
    profile = tmp_path / "down.yaml"
    profile.write_text(
        "partition: dev\ntime_minutes: 5\ncpus_per_task: 1\nmem_gb: 1\narray_parallelism: 1\nmax_array_size: 10\n"
        f"env: {{SLURM_CONF: {tmp_path}/none.conf}}\n"
    )
    down = run("submit", *TARGET, "--cluster", str(profile), folder=tmp_path)
    assert down.returncode == 2
    assert "Traceback" not in down.stderr
    assert {e["state"] for e in states(tmp_path)} == {"pending"}
