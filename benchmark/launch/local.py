"""Run directories on this machine: one process a run, several side by side, each isolated from the others' failures.

Progress is read from the run directories, as for a cluster, so what is shown is what is recorded. A Ctrl-C reaches
every process; each leaves its last checkpoint, and the same command goes on from there. Imports without torch.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.data.parallel import usable_cores
from benchmark.runs.directory import EXIT_CLAIMED, RunDir
from benchmark.runs.errors import ClaimedError
from benchmark.runs.key import start_key, training_key

JOB = [sys.executable, "-m", "benchmark.launch.job"]
POLL_SECONDS = 0.2
GRACE_SECONDS = 20.0


@dataclass
class Slot:
    """A CPU core or a GPU, on which one process runs at a time."""

    environment: dict[str, str]
    device: str
    process: subprocess.Popen[bytes] | None = None
    run: RunDir | None = None
    training: str = ""


@dataclass
class Outcome:
    """Runs by how they ended; `elsewhere` are held by a process that somebody else started."""

    done: list[RunDir] = field(default_factory=list)
    failed: list[RunDir] = field(default_factory=list)
    elsewhere: list[RunDir] = field(default_factory=list)

    @property
    def ended(self) -> int:
        """How many runs this machine is through with."""
        return len(self.done) + len(self.failed) + len(self.elsewhere)

    def add(self, run: RunDir, exit_status: int) -> None:
        """Add a run whose process has ended."""
        if run.state == "done":
            self.done.append(run)
        elif exit_status == EXIT_CLAIMED:
            self.elsewhere.append(run)
        else:
            self.failed.append(run)


def make_slots(jobs: int | None = None, device: str | None = None) -> list[Slot]:
    """Where to run: one slot per GPU where there are GPUs, else one per core; `jobs` overrides how many."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = chosen.split(",") if chosen else [str(i) for i, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]
    if device is None:
        device = "cuda" if gpus else "cpu"
    if device == "cpu":
        count = jobs or usable_cores()
        return [Slot({"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}, "cpu") for _ in range(count)]
    count = jobs or (max(len(gpus), 1) if device == "cuda" else 1)
    # A GPU waits for its clips: each run's loader has its share of the cores, less one that feeds the GPU.
    share = {"BENCHMARK_WORKERS": str(max(usable_cores() // count - 1, 1))}
    workers = {} if "BENCHMARK_WORKERS" in os.environ else share
    if device != "cuda":  # one that the user picked: nothing to deal out
        return [Slot(workers, device) for _ in range(count)]
    dealt = [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {} for i in range(count)]
    return [Slot(workers | gpu, device) for gpu in dealt]


def run_all(runs: Sequence[RunDir], slots: list[Slot], on_tick: Callable[[list[RunDir], Outcome], None]) -> Outcome:
    """Bring every run to its end; a run that fails leaves the others alone.

    Args:
        runs: prepared run directories, in the order to start them. A run that trains what another one is training waits
            for it, and evaluates its network; one that starts from another one's weights waits for that, and is left
            where that is somebody else's process.
        slots: from `make_slots`.
        on_tick: called several times a second with the runs in progress and the outcome so far.
    """
    configs = {run: run.config for run in runs}
    waiting = {run: training_key(config) for run, config in configs.items()}
    starts_from = {run: start_key(config) for run, config in configs.items()}
    trained_elsewhere: set[str] = set()
    outcome = Outcome()
    try:
        while waiting or any(slot.process for slot in slots):
            for slot in slots:
                if slot.process is not None and slot.process.poll() is not None:
                    assert slot.run is not None
                    outcome.add(slot.run, slot.process.returncode)
                    if slot.run in outcome.elsewhere:
                        trained_elsewhere.add(slot.training)
                    slot.process = slot.run = None
                for left in [run for run in waiting if starts_from[run] in trained_elsewhere]:
                    outcome.elsewhere.append(left)
                    del waiting[left]
                in_training = {slot.training for slot in slots if slot.process is not None}
                to_come = {*waiting.values(), *in_training}
                ready = (
                    run for run, key in waiting.items() if key not in in_training and starts_from[run] not in to_come
                )
                if slot.process is None and (run := next(ready, None)) is not None:
                    slot.run, slot.training = run, waiting.pop(run)
                    slot.process = _start(run, slot)
            on_tick([slot.run for slot in slots if slot.run], outcome)
            time.sleep(POLL_SECONDS)
    finally:
        _stop([slot.process for slot in slots if slot.process is not None])
    on_tick([], outcome)
    return outcome


def _start(run: RunDir, slot: Slot) -> subprocess.Popen[bytes]:
    if run.state == "done":  # it is to be made again
        with contextlib.suppress(ClaimedError):  # the job says by whom
            run.set_aside()
    environment = {**os.environ, **slot.environment, "BENCHMARK_PARENT": str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*JOB, str(run.path), slot.device], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Let interrupted processes record that they were; kill those that do not end."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_lines(run: RunDir, count: int = 12) -> str:
    """End of the run's log."""
    try:
        return "\n".join((run.path / "log.txt").read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return "(no log)"
