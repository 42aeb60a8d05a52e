"""How far runs are by SLURM's word, on recorded answers of squeue, sacct and scontrol (version 22.05)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.launch.queue import FORGOTTEN, SlurmJob, parse, this_job
from benchmark.launch.states import RunState, run_states
from benchmark.plan import make_plan
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.sharing import user_name
from benchmark.spec.load import load_table

Says = Callable[..., Path]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Stand-ins for SLURM's commands: what each prints, or the exit status and what it complains of."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SLURM_CONF", "")

    def write(**answers: str | tuple[int, str]) -> Path:
        for name in ("squeue", "sacct", "scontrol"):
            answer = answers.get(name, "")
            text, status = (answer, 0) if isinstance(answer, str) else (answer[1], answer[0])
            (folder / f"{name}.out").write_text(text)
            script = f'#!/bin/sh\necho "{name} $* conf=$SLURM_CONF users=$SQUEUE_USERS" >> {calls}\n'
            script += f"cat {folder / name}.out{' >&2' if status else ''}\nexit {status}\n"
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)
        calls.write_text("")
        return calls

    return write


def queued(key: str, id: str | None, owner: str = "alice", **status: Any) -> RunDir:
    run = RunDir.of(key)
    run.path.mkdir(parents=True)
    run.set_status(**{"state": "queued", "queued": time.time(), "job": None, **status})
    if id is not None:
        write_json(run.path / "job.json", {"id": id, "owner": owner, "log": "/logs/x.err", "slurm_conf": "/etc/a.conf"})
    return run


def one(run: RunDir) -> RunState:
    return run_states([run.key], pytest.fail)[run.key]


NOW, DEAD = time.time(), {"state": "running", "beat": 0.0, "host": "elsewhere"}


@pytest.mark.parametrize("written", [{}, {**DEAD, "job": "8_0"}, {"state": "failed", "error": "x", "job": "8_0"}])
@pytest.mark.parametrize(
    ("slurm", "reason"),
    [
        ("PENDING", "JobArrayTaskLimit"),
        ("PENDING", "JobHeldUser"),
        ("PENDING", "BeginTime"),
        ("PENDING", "launch failed requeued held"),
        ("CONFIGURING", "None"),
        ("SUSPENDED", "None"),
        ("REQUEUE_HOLD", "job_requeued_in_held_state"),
        ("SPECIAL_EXIT", "None"),
    ],
)
def test_what_waits_is_on_its_way(says: Says, written: dict[str, Any], slurm: str, reason: str) -> None:
    says(squeue=f"8_2|alice|CANCELLED|None\n8_0|alice|{slurm}|{reason}\n")
    found = one(queued("a", "8_0", **written))
    assert (found.state, found.job, found.owner, found.error) == ("queued", "8_0", "alice", None)
    assert found.slurm == (slurm if reason == "None" else f"{slurm} ({reason})")


@pytest.mark.parametrize(
    ("written", "slurm", "state"),
    [
        ({}, "RUNNING", "queued"),  # its process has not begun, or it is another run's turn
        ({**DEAD, "job": "8_0"}, "RUNNING", "running"),
        ({**DEAD, "job": "8_0"}, "COMPLETING", "running"),
        ({**DEAD, "job": "8_0"}, "A_NEW_WORD", "running"),  # submitting it once more could do harm, waiting cannot
        ({"state": "failed", "job": "8_0"}, "RUNNING", "failed"),  # the job goes on with its other runs
        ({}, "CANCELLED", "failed"),
        ({}, "NODE_FAIL", "failed"),
        ({"state": "running", "beat": NOW + 1000, "host": "elsewhere", "job": "8_0"}, "OUT_OF_MEMORY", "interrupted"),
        ({**DEAD, "job": "8_0"}, "TIMEOUT", "interrupted"),
        ({"state": "failed", "error": "ValueError", "job": "8_0"}, "FAILED", "failed"),
    ],
)
def test_what_runs_and_what_is_over(says: Says, written: dict[str, Any], slurm: str, state: str) -> None:
    says(squeue=f"8_0|alice|{slurm}|None\n")
    found = one(queued("a", "8_0", **written))
    assert (found.state, found.slurm) == (state, slurm)
    if state in ("failed", "interrupted") and written.get("state") != "failed":
        assert found.error == f"SLURM job 8_0 is over ({slurm}) and the run is not; see /logs/x.err"
    else:
        assert found.error == written.get("error")


def test_all_jobs_are_asked_for_in_one_call_whoever_owns_them(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_USERS", "bob")
    calls = says(squeue="8_0|alice|PENDING|None\n8_1|alice|RUNNING|None\n9|bob|PENDING|Priority\n")
    for key, id, owner in (("a", "8_0", "alice"), ("b", "8_1", "alice"), ("c", "9", "bob")):
        queued(key, id, owner)
    queued("done", "7")
    (RunDir.of("done").path / "result.json").write_text("{}")
    queued("local", None, state="running", beat=time.time(), pid=os.getpid())
    found = run_states(["a", "b", "c", "done", "local", "none"], pytest.fail)
    (call,) = calls.read_text().splitlines()
    assert "--jobs=8,9 " in call
    assert "--me" not in call
    assert call.endswith("conf=/etc/a.conf users=")
    assert [run.owner for run in found.values()] == ["alice", "alice", "bob", user_name(), user_name(), None]
    assert [run.state for run in found.values()] == ["queued", "queued", "queued", "done", "running", "pending"]
    assert found["c"].job_text == "job 9 of bob: PENDING (Priority)"


@pytest.mark.parametrize("squeue", ["8_1|alice|RUNNING|None\n", (1, "slurm_load_jobs error: Invalid job id specified")])
def test_what_the_queue_has_forgotten_is_in_the_accounts(says: Says, squeue: str | tuple[int, str]) -> None:
    run = queued("a", "8_0", user_name())
    says(squeue=squeue, sacct="8_0|alice|CANCELLED by 1001\n8_1|alice|RUNNING\n8_[2-9]|alice|PENDING\n")
    assert (one(run).state, one(run).slurm, one(run).owner) == ("failed", "CANCELLED", "alice")
    for sacct in ((1, "Slurm accounting storage is disabled"), "", "8_0|alice|RUNNING\n"):  # none, or behind
        says(squeue=squeue, sacct=sacct)
        assert (one(run).state, one(run).slurm) == ("failed", FORGOTTEN)


def test_jobs_that_a_site_hides_are_left_to_their_owners(says: Says) -> None:
    other = queued("a", "8_0", "alice", **DEAD, job="8_0")
    mine = queued("b", "8_1", user_name(), **DEAD, job="8_1")
    says(squeue="", scontrol="Prolog = (null)\nPrivateData             = accounts,jobs,users\n")
    assert (one(other).state, one(other).unanswered) == ("interrupted", True)
    assert (one(mine).slurm, one(mine).unanswered) == (FORGOTTEN, False)
    says(squeue="", sacct="8_0|alice|PENDING\n", scontrol="PrivateData             = jobs\n")
    assert one(other).state == "queued"
    says(squeue="", scontrol="PrivateData             = none\n")
    assert (one(other).slurm, one(other).unanswered) == (FORGOTTEN, False)


@pytest.mark.parametrize("written", [{}, DEAD, {"state": "failed"}])
def test_where_slurm_is_silent_the_files_stand_and_it_is_said(
    says: Says, written: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queued("a", "8_0", **written, job="8_0")
    down = (1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    for why in ("squeue: slurm_load_jobs error: Unable to contact", "there is no squeue here"):
        said: list[str] = []
        says(squeue=down)
        if "no squeue" in why:
            monkeypatch.setenv("PATH", "/nowhere")
        found = run_states(["a"], said.append)["a"]
        assert (found.state, found.unanswered, found.slurm) == (run.state, True, None)
        assert why in said[0]
        assert len(said) == 1


def test_a_submission_that_was_cut_off_is_to_do_again(says: Says) -> None:
    calls = says()
    assert one(queued("new", None)).state == "queued"
    assert one(queued("old", None, queued=time.time() - 1000)).state == "pending"
    assert not calls.read_text()


def test_reading_commands_write_nothing(says: Says, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    says(squeue="8_1|alice|PENDING|JobHeldUser\n", sacct="8_0|alice|CANCELLED by 0\n")
    first, second = list(make_plan([load_table("bqn-3a")]).runs.values())[:2]
    for number, planned in enumerate((first, second)):
        RunDir.of(planned.key).prepare(planned.config)
        queued_at = RunDir.of(planned.key)
        queued_at.set_status(state="queued", queued=0.0)
        write_json(queued_at.path / "job.json", {"id": f"8_{number}", "owner": "alice", "log": "/x"})
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    for command in (["status"], ["plan"], ["list"], ["show"]):
        assert main([*command, "bqn-3a", "--json"]) == 0
        shown = capsys.readouterr().out
        if command == ["status"]:
            entries = {entry["key"]: entry for entry in json.loads(shown)}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    assert (entries[first.key]["state"], entries[first.key]["slurm"]) == ("failed", "CANCELLED")
    held = entries[second.key]
    assert (held["state"], held["job"], held["owner"]) == ("queued", "8_1", "alice")
    assert main(["status", "bqn-3a"]) == 0
    assert "job 8_1 of alice: PENDING (JobHeldUser)" in " ".join(capsys.readouterr().out.split())


def test_what_slurm_says_nothing_of_is_not_submitted_again(
    says: Says, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[str] = []

    def submit_runs(runs: list[RunDir], cluster: str) -> list[str]:
        sent.extend(run.key for run in runs)
        return ["9"]

    monkeypatch.setattr("benchmark.launch.slurm.submit", submit_runs)
    monkeypatch.setattr("benchmark.cli.running.prepare_data", lambda configs: None)
    planned = make_plan([load_table("bqn-3a")]).runs
    dead, *others = planned
    RunDir.of(dead).prepare(planned[dead].config)
    RunDir.of(dead).set_status(**DEAD, job="8_0")
    says(squeue=(1, "slurm_load_jobs error: Socket timed out on send/recv operation"))
    assert main(["submit", "bqn-3a", "--cluster", "dev"]) == 0
    said = capsys.readouterr()
    assert f"{RunDir.of(dead).path}: job 8_0 of {user_name()}" in said.out
    assert "SLURM does not answer (squeue: slurm_load_jobs error: Socket timed out" in said.err
    assert sent == others
    says(squeue="8_0|alice|TIMEOUT|None\n")
    assert main(["submit", "bqn-3a", "--cluster", "dev"]) == 0
    assert sent == [*others, *planned]


def test_a_job_is_called_what_scancel_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert this_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "68")
    assert this_job() == "68"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "68")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert this_job() == "68_3"


def test_lines_of_squeue_and_sacct() -> None:
    assert parse("8_0|alice|PENDING|a|b") == SlurmJob("8_0", "alice", "PENDING", "a|b")
    assert parse("8|al|CANCELLED by 1001") == SlurmJob("8", "al", "CANCELLED")
    assert parse("8||") == SlurmJob("8", None, FORGOTTEN)
