"""Run directories as a SLURM job array, through submitit. Submission returns at once; the state is in the directories.

The same job as on one machine (`benchmark.launch.job`) fills the same directory. `benchmark.launch.states` asks SLURM
about jobs. Imports without torch, and without submitit until it is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmark.config.folders import REPOSITORY
from benchmark.launch.cluster import ClusterProfile, load_cluster
from benchmark.launch.log import log
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir, runs_root
from benchmark.runs.errors import ClaimedError
from benchmark.runs.key import training_key
from benchmark.runs.sharing import not_writable, user_name, writing

MOST_TIMEOUTS = 100
"""Times that a run may reach its job's time limit and go on in another job."""


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

        One that is done by now, or that another process has, is left as it is.

        Raises:
            Exception: that of the first run that failed, after the others had their turn.
        """
        from benchmark.launch.job import execute

        errors = list[Exception]()
        for folder in self.folders:
            try:
                execute(RunDir(Path(folder)), self.device, self.workers)
            except ClaimedError as error:
                log(f"{error}: left to it")
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def checkpoint(self) -> Any:
        """Called before a pre-emption or a time-out: the same job again, which goes on from its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@contextlib.contextmanager
def submission() -> Iterator[None]:
    """One submission into the runs folder at a time, whoever's: the next one sees what this one has queued.

    Raises:
        NotWritableRunError: this user may not write where the logs go.
    """
    lock = _logs_folder() / "lock"
    with writing(lock, runs_root()):
        opened = lock.open("a")
    with opened:
        # A file system without locks leaves it to the runs' own.
        with contextlib.suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def submit(runs: Sequence[RunDir], cluster: str) -> list[str]:
    """Queue prepared run directories as arrays no longer than the cluster allows; runs that train alike share a job.

    Args:
        runs: prepared, none of them done or on its way.
        cluster: name of a profile, or path of one.

    Returns:
        The job ids.

    Raises:
        ClusterError: SLURM did not take the jobs; runs that it had taken stay queued.
        NotWritableRunError: this user may not write where the logs go, and nothing was submitted.
    """
    profile = load_cluster(cluster)
    os.environ.update(profile.environment(os.environ))
    executor = _executor(profile)
    by_training: dict[str, list[RunDir]] = {}
    for run in runs:
        by_training.setdefault(training_key(run.config), []).append(run)
    groups, ids = list(by_training.values()), list[str]()
    for start in range(0, len(groups), profile.max_array_size):
        ids += _submit_array(executor, groups[start : start + profile.max_array_size], profile)
    return ids


def _executor(profile: ClusterProfile) -> Any:
    import submitit

    try:
        executor = submitit.AutoExecutor(folder=_logs_folder(), cluster="slurm", slurm_max_num_timeout=MOST_TIMEOUTS)
    except RuntimeError as error:
        raise ClusterError(f"cluster '{profile.name}': {error}. Is SLURM installed here, and running?") from None
    executor.update_parameters(
        name="benchmark", **profile.submitit_parameters(), slurm_setup=_batch_script_lines(profile)
    )
    return executor


def _logs_folder() -> Path:
    folder = runs_root().resolve() / ".slurm"
    with writing(folder, folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise not_writable(folder, folder.parent)
    return folder


def _submit_array(executor: Any, groups: Sequence[Sequence[RunDir]], profile: ClusterProfile) -> list[str]:
    """Queue one array, a job for each group, and note in the run directories which job is theirs. Returns the ids."""
    import submitit

    device = "cuda" if profile.gpus_per_node else "cpu"
    workers = max(profile.cpus_per_task - 1, 0) if profile.gpus_per_node else 0
    for run in chain.from_iterable(groups):  # before the jobs exist: from then on status.json is theirs
        (run.path / "job.json").unlink(missing_ok=True)
        run.set_status(state="queued", queued=time.time(), error=None, job=None)
    try:
        jobs = executor.submit_array(
            [ClusterJob(tuple(str(run.path.resolve()) for run in group), device, workers) for group in groups]
        )
    except (subprocess.CalledProcessError, submitit.core.utils.FailedJobError) as error:
        for run in chain.from_iterable(groups):
            run.set_status(state="pending")
        raise ClusterError(f"cluster '{profile.name}' refused the jobs: {error}") from None
    # With SLURM_CONF any user, also without the profile, asks the SLURM that has the job.
    whose = {"owner": user_name(), "slurm_conf": os.environ.get("SLURM_CONF")}
    for group, job in zip(groups, jobs, strict=True):
        for run in group:
            write_json(run.path / "job.json", {"id": job.job_id, "log": str(job.paths.stderr), **whose})
    return [job.job_id for job in jobs]


def _batch_script_lines(profile: ClusterProfile) -> list[str]:
    """What the batch script does before the run: exports of variables, then the profile's own lines."""
    # Whatever the user has said by variable holds for the jobs, whether or not the site passes the environment on. What
    # names a file or folder is made absolute: jobs start elsewhere.
    said = {name: value for name, value in os.environ.items() if name.startswith("BENCHMARK_") and value}
    exports = {name: str(Path(value).resolve()) if Path(value).exists() else value for name, value in said.items()}
    of_profile = {name: os.environ.get(name, value) for name, value in profile.env.items()}
    exports.setdefault("BENCHMARK_DATA", str(Path("data").resolve()))
    exports["BENCHMARK_RUNS"] = str(runs_root().resolve())
    lines = [f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}${{PYTHONPATH:+:$PYTHONPATH}}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in (of_profile | exports).items()]
    return [*lines, *profile.setup]
