"""What SLURM says of jobs, asked by their ids, whoever owns them. Nothing is written. Imports without torch."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.runs.sharing import user_name

FORGOTTEN = "forgotten by SLURM"
"""State of a job that is neither in the queue nor in the accounts, as an array's task that was cancelled in waiting."""
WAITING = frozenset(
    {
        *("PENDING", "CONFIGURING", "POWER_UP_NODE", "SUSPENDED", "STOPPED"),
        *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
    }
)
"""States of a job that has the run ahead of it, or in a halt: SLURM starts it or goes on with it by itself."""
OVER = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT", FORGOTTEN),
    }
)
"""States of a job of which nothing comes any more. In all others its processes live, or are being ended."""
ANSWER_SECONDS = 30.0


class SlurmSilentError(Exception):
    """SLURM cannot be asked here, or does not answer; the message says why."""


@dataclass(frozen=True)
class SlurmJob:
    """A job, or a task of an array. `state` is SLURM's word, or FORGOTTEN of a job that it does not know any more."""

    id: str
    owner: str | None
    state: str
    reason: str = ""


def this_job() -> str | None:
    """Id of the job that this process belongs to, in the form that SLURM shows and scancel takes: `68`, or `68_3`."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    # SLURM_JOB_ID of an array's task is a number of its own, and that of the last task is the whole array's.
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def ask(owners: Mapping[str, str | None], slurm_conf: str | None = None) -> dict[str, SlurmJob]:
    """What SLURM says of jobs, with one call for all of them, and more only where it does not know some of them.

    Args:
        owners: whose they are as far as is known, by id.
        slurm_conf: SLURM_CONF of the cluster that has them, unless it is the environment's.

    Returns:
        The jobs by id, without those of others where the cluster shows nobody but their owners.

    Raises:
        SlurmSilentError: it cannot be asked.
    """
    arrays = ",".join(dict.fromkeys(id.partition("_")[0] for id in owners))
    # Those that have just ended are among all states; --array gives waiting tasks a line each.
    squeue = ["squeue", "--all", "--array", "--states=all", "--noheader", "--format=%i|%u|%T|%r", f"--jobs={arrays}"]
    try:
        lines = _output(squeue, slurm_conf)
    except SlurmSilentError as error:
        if "Invalid job id" not in str(error):  # what it says when it knows none of them
            raise
        lines = []
    found = {job.id: job for job in map(parse, lines)}
    if unknown := owners.keys() - found.keys():
        found |= _ended(unknown, owners, slurm_conf)
    return {id: found[id] for id in owners if id in found}


def _ended(ids: set[str], owners: Mapping[str, str | None], slurm_conf: str | None) -> dict[str, SlurmJob]:
    """What has become of jobs that have left the queue, or are hidden in it."""
    arrays = ",".join(sorted({id.partition("_")[0] for id in ids}))
    sacct = ["sacct", "--allusers", "--allocations", "--noheader", "--parsable2", "--format=JobID,User,State"]
    try:
        accounted = {job.id: job for job in map(parse, _output([*sacct, f"--jobs={arrays}"], slurm_conf))}
    except SlurmSilentError:  # many a cluster keeps no accounts
        accounted = {}
    of_others = {id for id in ids if owners[id] != user_name()}
    hidden = of_others if of_others and _hides_jobs(slurm_conf) else set[str]()
    found = {id: SlurmJob(id, owners[id], FORGOTTEN) for id in ids - hidden}
    # Accounts lag: one that they have as alive, and the queue does not know, is over.
    return found | {id: job for id, job in accounted.items() if id in hidden or (id in ids and job.state in OVER)}


def _hides_jobs(slurm_conf: str | None) -> bool:
    try:
        lines = _output(["scontrol", "show", "config"], slurm_conf)
    except SlurmSilentError:
        return True
    return any(re.match(r"PrivateData\s*=.*\bjobs\b", line) for line in lines)


def parse(line: str) -> SlurmJob:
    """A job from `id|owner|state` or `id|owner|state|reason`, the state as squeue or sacct writes it."""
    id, owner, state, *reason = line.split("|", 3)
    word, *_by = state.split() or [FORGOTTEN]  # sacct writes `CANCELLED by 1000`
    return SlurmJob(id, owner or None, word, "" if reason in ([], ["None"]) else reason[0])


def _output(command: Sequence[str], slurm_conf: str | None) -> list[str]:
    # SQUEUE_USERS, SACCT_FORMAT and their like would change the answer.
    environment = {name: v for name, v in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_"))}
    if slurm_conf:
        environment["SLURM_CONF"] = slurm_conf
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        )
    except FileNotFoundError:
        raise SlurmSilentError(f"there is no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise SlurmSilentError(f"{command[0]} took more than {ANSWER_SECONDS:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise SlurmSilentError(f"{command[0]}: {' '.join(error.stderr.split())}") from None
    except OSError as error:
        raise SlurmSilentError(f"{command[0]}: {error}") from None
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
