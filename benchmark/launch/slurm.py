"""Run directories as a SLURM job array, through submitit. Submission returns at once; the state is in the directories.

The same job as on one machine (`benchmark.launch.job`) fills the same directory, so `status` and `render` need no
cluster: SLURM is asked only about runs that are queued. Imports without torch, and without submitit until it is used.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmark.config.folders import REPOSITORY
from benchmark.config.source import SpecError
from benchmark.launch.cluster import ClusterProfile, load_cluster
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import DamagedRunError, RunDir, read_json, runs_root
from benchmark.runs.key import training_key

MOST_TIMEOUTS = 100
"""Times that a run may reach its job's time limit and go on in another job."""
SUBMISSION_SECONDS = 300.0
"""A run that is queued for longer without a job id was never submitted."""


class ClusterError(Exception):
    """SLURM is not there or did not take the jobs; the message says what to do."""


@dataclass
class ClusterJob:
    """What a job of the array executes: runs that train alike, the first of which trains for all of them.

    submitit pickles it; `checkpoint` lets it be requeued as it is.
    """

    folders: tuple[str, ...]
    device: str
    workers: int

    def __call__(self) -> None:
        """Run the directories to their ends, one after the other; the heavy imports happen on the node.

        Raises:
            Exception: that of the first run that failed, after the others had their turn.
        """
        from benchmark.launch.job import execute

        errors = []
        for folder in self.folders:
            try:
                execute(RunDir(Path(folder)), self.device, self.workers)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def checkpoint(self) -> Any:
        """Called before a pre-emption or a time-out: the same job again, which goes on from its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(runs: Sequence[RunDir], cluster: str) -> list[str]:
    """Queue prepared run directories as arrays no longer than the cluster allows; runs that train alike share a job.

    Args:
        runs: prepared, none of them done or on its way.
        cluster: name of a profile, or path of one.

    Returns:
        The job ids.

    Raises:
        ClusterError: SLURM did not take the jobs; runs that it had taken stay queued.
    """
    import submitit

    profile = load_cluster(cluster)
    known_as = str(Path(cluster).resolve()) if cluster.endswith((".yaml", ".yml")) else cluster
    os.environ.update(profile.environment(os.environ))
    folder = runs_root().resolve() / ".slurm"
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=MOST_TIMEOUTS)
    except RuntimeError as error:
        raise ClusterError(f"cluster '{profile.name}': {error}. Is SLURM installed here, and running?") from None
    executor.update_parameters(**_parameters(profile))
    device = "cuda" if profile.gpus_per_node else "cpu"
    workers = max(profile.cpus_per_task - 1, 0) if profile.gpus_per_node else 0
    alike: dict[str, list[RunDir]] = {}
    for run in runs:
        alike.setdefault(training_key(run.config), []).append(run)
    groups, ids = list(alike.values()), list[str]()
    for start in range(0, len(groups), profile.max_array_size):
        chunk = groups[start : start + profile.max_array_size]
        for run in chain.from_iterable(chunk):  # before the jobs exist: from then on status.json is theirs
            (run.path / "job.json").unlink(missing_ok=True)
            run.set_status(state="queued", queued=time.time(), error=None)
        try:
            jobs = executor.submit_array(
                [ClusterJob(tuple(str(run.path.resolve()) for run in group), device, workers) for group in chunk]
            )
        except (subprocess.CalledProcessError, submitit.core.utils.FailedJobError) as error:
            for run in chain.from_iterable(chunk):
                run.set_status(state="pending")
            raise ClusterError(f"cluster '{profile.name}' refused the jobs: {error}") from None
        for group, job in zip(chunk, jobs, strict=True):
            for run in group:
                log = str(job.paths.stderr)
                write_json(run.path / "job.json", {"id": job.job_id, "cluster": known_as, "log": log})
            ids.append(job.job_id)
    return ids


def _parameters(profile: ClusterProfile) -> dict[str, Any]:
    # Whatever the user has said by variable holds for the jobs, whether or not the site passes the environment on. What
    # names a file or folder is made absolute: jobs start elsewhere.
    said = {name: value for name, value in os.environ.items() if name.startswith("BENCHMARK_") and value}
    exports = {name: str(Path(value).resolve()) if Path(value).exists() else value for name, value in said.items()}
    of_profile = {name: os.environ.get(name, value) for name, value in profile.env.items()}
    exports.setdefault("BENCHMARK_DATA", str(Path("data").resolve()))
    exports["BENCHMARK_RUNS"] = str(runs_root().resolve())
    setup = [f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}${{PYTHONPATH:+:$PYTHONPATH}}"]
    setup += [f"export {name}={shlex.quote(value)}" for name, value in (of_profile | exports).items()]
    parameters: dict[str, Any] = {
        "name": "benchmark",
        "timeout_min": profile.time_minutes,
        "cpus_per_task": profile.cpus_per_task,
        "mem_gb": profile.mem_gb,
        "slurm_partition": profile.partition,
        "slurm_array_parallelism": profile.array_parallelism,
        "slurm_setup": setup + list(profile.setup),
        # srun no longer inherits the batch script's cores, so they are named again.
        "slurm_srun_args": [f"--cpus-per-task={profile.cpus_per_task}"],
    }
    if profile.gpus_per_node:
        parameters["gpus_per_node"] = profile.gpus_per_node
    if profile.account:
        parameters["slurm_account"] = profile.account
    return parameters


def refresh(runs: Sequence[RunDir]) -> None:
    """Ask SLURM, once per cluster, about queued runs, and record those that it no longer knows as failed."""
    by_cluster: dict[str, list[tuple[RunDir, dict[str, Any]]]] = {}
    for run in runs:
        if run.state != "queued":
            continue
        job = None
        with contextlib.suppress(DamagedRunError):  # without it the job cannot be asked for; its own files go on
            job = read_json(run.path / "job.json")
        if job is None or not all(isinstance(job.get(name), str) for name in ("id", "cluster", "log")):
            if time.time() - run.status.get("queued", 0) > SUBMISSION_SECONDS:
                run.set_status(state="pending")  # the submission was cut off before SLURM answered
            continue
        by_cluster.setdefault(job["cluster"], []).append((run, job))
    for cluster, members in by_cluster.items():
        try:
            alive = _alive_jobs(load_cluster(cluster))
        except SpecError:  # the profile is gone; the run directories still tell what they can
            continue
        if alive is None:
            continue
        for run, job in members:
            if job["id"] not in alive and run.state == "queued":
                error = f"SLURM job {job['id']} ended without starting the run; see {job['log']}"
                run.set_status(state="failed", error=error)


def _alive_jobs(profile: ClusterProfile) -> set[str] | None:
    """Ids of this user's jobs that are pending or running; None when SLURM does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        done = subprocess.run(
            command, env=profile.environment(os.environ), capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return set(done.stdout.split())
