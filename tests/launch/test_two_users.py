"""Two users of one SLURM and one runs folder: neither can harm the other's jobs by looking, nor by submitting."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmark.config.folders import REPOSITORY
from benchmark.launch.cluster import load_cluster
from benchmark.runs.directory import RunDir

pytestmark = pytest.mark.slurm

ALICE, BOB, GROUP = "bench-alice", "bench-bob", "bench-both"
TARGET = ["bqn-3a", "--protocol", "smoke"]


@dataclass
class Shared:
    """A folder of two users who share a group, and whose new files are the group's."""

    folder: Path
    python: str
    runs: Path

    def by(self, user: str, *arguments: str, umask: int = 0o002) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("BENCHMARK_", "SLURM_"))},
            **{"HOME": "/nonexistent", "USER": user, "PYTHONDONTWRITEBYTECODE": "1"},
            # An interpreter that is not the environment's takes its packages.
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), sysconfig.get_path("purelib")]),
            "BENCHMARK_RUNS": str(self.runs),
            "BENCHMARK_DATA": str(self.folder / "data"),
            "BENCHMARK_RESULTS": str(self.folder / f"results of {user}"),
        }
        account = pwd.getpwnam(user)
        return subprocess.run(
            [self.python, "-m", "benchmark", *arguments],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(user, account.pw_gid),
            umask=umask,
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self, user: str) -> list[dict[str, Any]]:
        done = self.by(user, "status", *TARGET, "--json")
        entries: list[dict[str, Any]] = json.loads(done.stdout)
        return entries

    def files(self) -> dict[Path, tuple[int, bytes]]:
        """Every file of the runs folder, with its time and content."""
        files = (path for path in self.runs.rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    def read(self, user: str, *commands: str) -> dict[str, subprocess.CompletedProcess[str]]:
        """What reading commands say, none of which may change the runs folder."""
        before = self.files()
        done = {command: self.by(user, command, *TARGET) for command in commands}
        assert self.files() == before
        assert not any("Traceback" in command.stderr for command in done.values())
        return done


@pytest.fixture(scope="module")
def users() -> Iterator[Shared]:
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("making users needs root and useradd")
    subprocess.run(["groupadd", GROUP], check=True)
    for user in (ALICE, BOB):
        subprocess.run(["useradd", "--no-create-home", "--user-group", "--groups", GROUP, user], check=True)
    folder = Path(tempfile.mkdtemp(prefix="two-users-"))  # pytest's own folders are root's alone
    try:
        shutil.chown(folder, ALICE, GROUP)
        folder.chmod(0o2775)
        yield Shared(folder, python_for_all(BOB), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for user in (ALICE, BOB):
            slurm("scancel", "--signal=KILL", "--full", "--user", user, check=False)
            slurm("scancel", "--user", user, check=False)
            until(lambda user=user: subprocess.run(["userdel", user], check=False).returncode == 0, 30, 1)  # type: ignore[misc]
        subprocess.run(["groupdel", GROUP], check=False)


@pytest.fixture
def shared(users: Shared) -> Shared:
    return replace(users, runs=users.folder / f"runs-{time.monotonic_ns()}")


def python_for_all(user: str) -> str:
    """This interpreter, or where it lies in a home folder of root's the system's of the same version."""
    installed = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path=os.defpath)
    for python in filter(None, (sys.executable, installed)):
        with contextlib.suppress(PermissionError):
            if Shared(Path("/"), python, Path("/nonexistent")).by(user, "list", "bqn-3a").returncode == 0:
                return python
    pytest.skip("other users than root can run no Python of this version, or not read this checkout")


def slurm(*command: str, check: bool = True) -> str:
    environment = load_cluster("dev").environment(os.environ)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=check).stdout


@contextlib.contextmanager
def nothing_starts() -> Iterator[None]:
    slurm("scontrol", "update", "PartitionName=dev", "State=DOWN")
    try:
        yield
    finally:
        slurm("scontrol", "update", "PartitionName=dev", "State=UP")


def until(condition: Callable[[], bool], seconds: float = 90, pause: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        time.sleep(pause)


def words(text: str) -> str:
    return " ".join(text.split())


def job_state(job: str) -> str:
    return slurm("squeue", "--noheader", "--format=%T", f"--jobs={job}", check=False).strip()


def test_neither_harms_the_others_jobs(shared: Shared) -> None:
    with nothing_starts():
        submitted = shared.by(ALICE, "submit", *TARGET, "--cluster", "dev")
        assert submitted.returncode == 0, submitted.stderr
        entries = shared.status(BOB)
        array = entries[0]["job"].split("_")[0]
        assert [entry["job"] for entry in entries] == [f"{array}_{task}" for task in range(3)]
        assert {(entry["state"], entry["owner"]) for entry in entries} == {("queued", ALICE)}
        assert all(entry["slurm"].startswith("PENDING (") for entry in entries)
        assert "every run is done or on its way" in shared.by(BOB, "submit", *TARGET, "--cluster", "dev").stdout

        first, cancelled, held = (entry["job"] for entry in entries)
        slurm("scontrol", "hold", held)
        slurm("scancel", cancelled)
        until(lambda: not job_state(cancelled))
        shared.read(BOB, "status", "plan", "list", "show", "render")
        entries = shared.status(BOB)
        assert [entry["state"] for entry in entries] == ["queued", "failed", "queued"]  # the others are untouched
        assert f"SLURM job {cancelled} is over" in entries[1]["error"]
        assert "Held" in entries[2]["slurm"]

    run = RunDir(shared.runs / entries[0]["key"])
    until(lambda: run.status["state"] == "running")
    assert run.status["job"] == first
    slurm("scontrol", "requeuehold", first)
    os.kill(run.status["pid"], signal.SIGKILL)
    until(lambda: job_state(first) == "PENDING")
    assert run.state == "interrupted"  # as far as its files know
    shown = words(shared.read(BOB, "status", "plan")["status"].stdout)
    assert f"job {first} of {ALICE}: PENDING (" in shown
    assert "3 runs: 2 queued, 1 failed." in shown
    again = shared.by(BOB, "submit", *TARGET, "--cluster", "dev")
    assert "Submitted 1 run to dev" in again.stdout, again.stdout + again.stderr

    slurm("scontrol", "release", first, held)
    until(lambda: all((shared.runs / entry["key"] / "result.json").exists() for entry in entries), 150, 1)
    entries = shared.status(BOB)
    assert [(entry["state"], entry["owner"]) for entry in entries] == [("done", ALICE), ("done", BOB), ("done", ALICE)]
    assert entries[0]["job"] == first  # as it was before it was put back
    assert shared.by(ALICE, "render", *TARGET).returncode == 0


def test_what_one_may_not_read_is_a_line_that_says_so(shared: Shared) -> None:
    with nothing_starts():
        shared.by(ALICE, "submit", *TARGET, "--cluster", "dev")
        entries = shared.status(ALICE)
        closed, hidden = (shared.runs / entry["key"] for entry in entries[:2])
        closed.chmod(0o700)
        (hidden / "status.json").chmod(0o600)
        done = shared.read(BOB, "status", "plan", "list", "render")
        assert [entry["state"] for entry in shared.status(BOB)] == ["unreadable", "unreadable", "queued"]
        shown = done["status"]
        assert words(shown.stdout).endswith("3 runs: 2 unreadable, 1 queued.")
        assert f"{closed} cannot be read by {BOB}: it is {ALICE}'s alone." in shown.stderr
        assert f"{hidden}/status.json cannot be read by {BOB}" in shown.stderr
        assert done["plan"].stdout.count(" unreadable ") == 2
        assert "unreadable" in done["render"].stdout
        assert all(command.returncode == 1 and str(closed) in command.stderr for command in done.values())
        again = shared.by(BOB, "submit", *TARGET, "--cluster", "dev")
        assert "Submitted" not in again.stdout
        shared.runs.chmod(0o700)
        assert {entry["state"] for entry in shared.status(BOB)} == {"unreadable"}


def test_what_one_may_not_write_says_how_to_share_it(shared: Shared) -> None:
    with nothing_starts():
        shared.by(ALICE, "submit", *TARGET, "--cluster", "dev", umask=0o022)
        entries = shared.status(ALICE)
        slurm("scancel", entries[0]["job"].split("_")[0])
        until(lambda: {entry["state"] for entry in shared.status(BOB)} == {"failed"})
        folder = shared.runs / entries[0]["key"]
        assert not stat.S_IMODE(folder.stat().st_mode) & stat.S_IWGRP
        before = shared.files()
        refused = shared.by(BOB, "submit", *TARGET, "--cluster", "dev")
        assert refused.returncode == 2
        assert f"{folder} cannot be written by {BOB}: it is {ALICE}'s, mode 2755." in refused.stderr
        assert f"chmod -R g+rwX {shared.runs}" in refused.stderr
        assert "umask 002" in refused.stderr
        assert shared.files() == before
        # Her advice taken, his submission is as good as hers.
        subprocess.run(f"chgrp -R {GROUP} {shared.runs}; chmod -R g+rwX {shared.runs}", shell=True, check=True)
        taken = shared.by(BOB, "submit", *TARGET, "--cluster", "dev")
        assert "Submitted 3 runs to dev" in taken.stdout, taken.stderr
        assert {(entry["state"], entry["owner"]) for entry in shared.status(ALICE)} == {("queued", BOB)}
