"""How far runs are: their own files, and of those that have a job what SLURM says of it. Read, and never written.

A job that waits, whoever owns it and however often it was put back, is on its way; one that is over has left its run
as it is. Where SLURM says nothing, the files stand. Imports without torch.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from benchmark.launch.queue import OVER, WAITING, SlurmJob, SlurmSilentError, ask
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import DamagedRunError
from benchmark.runs.json_files import State, read_json
from benchmark.runs.sharing import user_name

SUBMISSION_SECONDS = 300.0
"""A run that is queued for longer without a job id was never submitted."""


@dataclass(frozen=True)
class RunState:
    """How far a run is, and whose it is.

    slurm: SLURM's words for its job. error: why it failed. unanswered: it has a job of which SLURM says nothing.
    """

    state: State
    job: str | None = None
    owner: str | None = None
    slurm: str | None = None
    error: str | None = None
    unanswered: bool = False

    @property
    def job_text(self) -> str:
        """`job 68_3 of alice: PENDING (JobHeldUser)`; of a run without a job its owner, where that is someone else."""
        if self.job is None:
            return f"of {self.owner}" if self.owner not in (None, user_name()) else ""
        owner = f" of {self.owner}" if self.owner else ""
        return f"job {self.job}{owner}{f': {self.slurm}' if self.slurm else ''}"


@dataclass(frozen=True)
class _Job:
    """A run's job as its files have it."""

    id: str
    owner: str | None
    slurm_conf: str | None
    log: str | None


def run_states(keys: Iterable[str], say: Callable[[str], None]) -> dict[str, RunState]:
    """The states of runs by key, with one call of SLURM for all jobs of a cluster; `say` hears why one is silent."""
    states, jobs = dict[str, RunState](), dict[RunDir, _Job]()
    for run in map(RunDir.of, keys):
        state, status = run.state, run.status
        job = _job(run, state, status)
        if state == "queued" and job is None and time.time() - status.get("queued", 0) > SUBMISSION_SECONDS:
            state = "pending"  # the submission was cut off before SLURM answered
        owner = job.owner if job else run.owner
        states[run.key] = RunState(state, job.id if job else None, owner, error=status.get("error"))
        if job and state not in ("done", "unreadable"):
            jobs[run] = job
    for slurm_conf in dict.fromkeys(job.slurm_conf for job in jobs.values()):
        members = {run: job for run, job in jobs.items() if job.slurm_conf == slurm_conf}
        try:
            answers = ask({job.id: job.owner for job in members.values()}, slurm_conf)
        except SlurmSilentError as error:
            say(f"SLURM does not answer ({error}): states are as the run directories have them.")
            answers = {}
        for run, job in members.items():
            known = states[run.key]
            answer = answers.get(job.id)
            states[run.key] = _with_answer(run, known, job, answer) if answer else replace(known, unanswered=True)
    return states


def _job(run: RunDir, state: State, status: dict[str, Any]) -> _Job | None:
    """The job that runs it, did so last, or is to; None of a run on a machine of its own."""
    submitted: dict[str, Any] = {}
    with contextlib.suppress(DamagedRunError):  # without it the job cannot be asked for; its own files go on
        submitted = read_json(run.path / "job.json") or {}
    submitted = {name: value for name, value in submitted.items() if isinstance(value, str)}
    started = status.get("job")
    # What the job itself has written counts for more; until it starts there is only what was submitted.
    if started is None and (state != "queued" or "id" not in submitted):
        return None
    if started not in (None, submitted.get("id")):
        submitted = {}
    id = str(started or submitted["id"])
    return _Job(id, submitted.get("owner") or run.owner, submitted.get("slurm_conf"), submitted.get("log"))


def _with_answer(run: RunDir, known: RunState, job: _Job, answer: SlurmJob) -> RunState:
    said = answer.state + (f" ({answer.reason})" if answer.reason and answer.state in WAITING else "")
    known = replace(known, owner=answer.owner or known.owner, slurm=said)
    if answer.state in WAITING:
        return replace(known, state="queued", error=None)
    if answer.state not in OVER:
        # Silent for long, but not over: it reads data, or has just been started again.
        return replace(known, state="running", error=None) if known.state == "interrupted" else known
    now = run.state  # a job may have ended well since the files were read
    if now not in ("queued", "running", "interrupted"):
        return replace(known, state=now, error=run.status.get("error"))
    where = f"; see {job.log}" if job.log else ""
    error = f"SLURM job {job.id} is over ({answer.state}) and the run is not{where}"
    return replace(known, state="failed" if now == "queued" else "interrupted", error=error)
