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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.data.parallel import usable_cores
from benchmark.runs.directory import EXIT_CLAIMED, RunDir
from benchmark.runs.errors import ClaimedError
from benchmark.runs.key import start_key, training_key
from benchmark.runs.trainings import other_code

JOB = [sys.executable, "-m", "benchmark.launch.job"]
POLL_SECONDS = 0.2
GRACE_SECONDS = 20.0
HELD_SECONDS = 1.0
"""Between two looks at the runs that other processes have."""


@dataclass
class Slot:
    """A CPU core or a GPU, on which one process runs at a time."""

    environment: dict[str, str]
    device: str
    process: subprocess.Popen[bytes] | None = None
    run: RunDir | None = None


@dataclass
class Outcome:
    """Runs by how they ended; `elsewhere` are left to jobs in a cluster's queue.

    held: another process's, which is waited for.
    """

    done: list[RunDir] = field(default_factory=list)
    failed: list[RunDir] = field(default_factory=list)
    elsewhere: list[RunDir] = field(default_factory=list)
    held: list[RunDir] = field(default_factory=list)

    @property
    def ended(self) -> int:
        """How many runs need nothing more here."""
        return len(self.done) + len(self.failed) + len(self.elsewhere)

    def add(self, run: RunDir, exit_status: int) -> None:
        """Add a run whose process has ended."""
        if run.state == "done":
            self.done.append(run)
        elif exit_status == EXIT_CLAIMED:
            self.held.append(run)
        else:
            self.failed.append(run)

    def let_go(self) -> list[RunDir]:
        """Sort the held runs whose processes are through with them; returns those that were left unfinished."""
        free = list[RunDir]()
        for run in [run for run in self.held if not run.held]:
            self.held.remove(run)
            state = run.state
            known = {"done": self.done, "failed": self.failed, "queued": self.elsewhere}
            known.get(state, free).append(run)
        return free


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


def run_all(
    runs: Sequence[RunDir],
    slots: list[Slot],
    on_tick: Callable[[list[RunDir], Outcome], None],
    queued: Collection[RunDir] = (),
) -> Outcome:
    """Bring every run to its end; a run that fails leaves the others alone.

    Args:
        runs: prepared run directories, in the order to start them; those that are done by other code are made again. A
            run that trains what another one is training waits for it, and evaluates its network; one that starts from
            another one's weights waits for that. One that another process has is waited for behind all others, and run
            here if that leaves it unfinished.
        slots: from `make_slots`.
        on_tick: called several times a second with the runs in progress and the outcome so far.
        queued: those of the runs that are left to jobs in a cluster's queue, and with them what needs their trainings.
    """
    configs = {run: run.config for run in runs}
    trains = {run: training_key(config) for run, config in configs.items()}
    starts_from = {run: start_key(config) for run, config in configs.items()}
    waiting = [run for run in runs if run not in queued]
    again = [run for run in waiting if run.state == "done"]
    outcome, look = Outcome(elsewhere=[run for run in runs if run in queued]), 0.0
    try:
        while waiting or outcome.held or any(slot.process for slot in slots):
            for slot in slots:
                if slot.process is not None and slot.process.poll() is not None:
                    assert slot.run is not None
                    outcome.add(slot.run, slot.process.returncode)
                    slot.process = slot.run = None
            if time.monotonic() >= look:
                waiting += outcome.let_go()
                look = time.monotonic() + HELD_SECONDS
            gone = {trains[run] for run in outcome.elsewhere}
            outcome.elsewhere += [run for run in waiting if gone & {trains[run], starts_from[run]}]
            waiting = [run for run in waiting if run not in outcome.elsewhere]
            for slot in slots:
                while slot.process is None and (run := _ready(waiting, slots, outcome, trains, starts_from)):
                    waiting.remove(run)
                    if run.state == "done" and not (run in again and other_code(run)):
                        outcome.done.append(run)
                    elif run.held:
                        outcome.held.append(run)
                    else:
                        slot.run, slot.process = run, _start(run, slot)
            on_tick([slot.run for slot in slots if slot.run], outcome)
            time.sleep(POLL_SECONDS)
    finally:
        _stop([slot.process for slot in slots if slot.process is not None])
    on_tick([], outcome)
    return outcome


def _ready(
    waiting: Sequence[RunDir],
    slots: Sequence[Slot],
    outcome: Outcome,
    trains: Mapping[RunDir, str],
    starts_from: Mapping[RunDir, str | None],
) -> RunDir | None:
    """The first waiting run that needs no training that goes on or is to come; None if there is none."""
    in_training = {trains[run] for run in (*(slot.run for slot in slots if slot.run), *outcome.held)}
    to_come = in_training | {trains[run] for run in waiting}
    ready = (run for run in waiting if trains[run] not in in_training and starts_from[run] not in to_come)
    return next(ready, None)


def _start(run: RunDir, slot: Slot) -> subprocess.Popen[bytes]:
    if run.state == "done":
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
