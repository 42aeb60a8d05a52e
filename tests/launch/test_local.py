"""Places to run, and what becomes of runs that end in every way, with stand-ins for the network's process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.cli import running
from benchmark.cli.main import main
from benchmark.cli.progress import run_progress
from benchmark.config.run import EvalConfig, RunConfig
from benchmark.launch import local
from benchmark.launch.local import Outcome, make_slots, run_all
from benchmark.plan import make_plan
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import EXIT_CLAIMED, RunDir
from benchmark.runs.sharing import user_name
from benchmark.spec.load import load_table
from tests.launch.conftest import SideBySide


def test_one_slot_per_core_with_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = make_slots(3, "cpu")
    assert len(slots) == 3
    assert all(slot.environment["OMP_NUM_THREADS"] == "1" for slot in slots)


def test_the_users_choice_of_gpus_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in make_slots()] == ["5", "7"]
    assert ["CUDA_VISIBLE_DEVICES" in slot.environment for slot in make_slots(device="cuda:1")] == [False]


def test_a_gpus_loader_has_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("BENCHMARK_WORKERS", raising=False)
    for found, workers in ((16, "7"), (2, "1")):
        monkeypatch.setattr(local, "usable_cores", lambda found=found: found)
        assert [slot.environment["BENCHMARK_WORKERS"] for slot in make_slots()] == [workers] * 2
        [alone] = make_slots(device="cuda:1")
        assert alone.environment["BENCHMARK_WORKERS"] == str(found - 1)
    monkeypatch.setenv("BENCHMARK_WORKERS", "3")  # the user's own choice reaches the runs as it is
    assert all("BENCHMARK_WORKERS" not in slot.environment for slot in make_slots())
    assert all("BENCHMARK_WORKERS" not in slot.environment for slot in make_slots(2, "cpu"))


def test_every_ending_is_told_apart_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [RunDir(tmp_path / name) for name in ("done", "fails", "taken", "queued", "same", "last")]
    # One that was taken in the moment between is looked at again, and then run here.
    script = (
        "import sys, pathlib; run = pathlib.Path(sys.argv[1])\n"
        "mark = run / 'was taken'\n"
        f"if run.name == 'taken' and not mark.exists(): mark.touch(); sys.exit({EXIT_CLAIMED})\n"
        "if run.name != 'fails': (run / 'result.json').write_text('{}')\n"
        "sys.exit(run.name == 'fails')"
    )
    for run, seed in zip(runs, (0, 1, 2, 3, 3, 5), strict=True):
        run.prepare(RunConfig(seed=seed, eval=EvalConfig(clips=2 if run.path.name == "same" else 1)))
    monkeypatch.setattr(local, "JOB", [sys.executable, "-c", script])
    seen: list[int] = []

    def tick(active: list[RunDir], outcome: Outcome) -> None:
        assert len(active) <= 2
        seen.append(outcome.ended)

    outcome = run_all(runs, make_slots(2, "cpu"), tick, queued=[runs[3]])
    assert {run.path.name for run in outcome.done} == {"done", "taken", "last"}
    assert [run.path.name for run in outcome.failed] == ["fails"]
    assert [run.path.name for run in outcome.elsewhere] == ["queued", "same"]  # one training is not done twice
    assert not outcome.held
    assert seen[-1] == 6


HOLDER = """
import os, sys, time
from pathlib import Path
from benchmark.plan import make_plan
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
run, last = RunDir(Path(sys.argv[1])), sys.argv[2]
with run.claim():
    run.set_status(state="running", host=os.uname().nodename, pid=os.getpid(), job=None, beat=time.time())
    print("held", flush=True)
    input()
    if last == "silent":  # as one that makes its first weights
        run.set_status(beat=0.0)
        time.sleep(1)
        last = "done"
        (run.path / "result.json").write_text("{}")
    run.set_status(state=last)
"""


@pytest.mark.parametrize("left", ["interrupted", "failed", "silent"])
def test_what_another_process_has_is_waited_for_behind_all_others(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held, same, free = (RunDir(tmp_path / name) for name in ("held", "same", "free"))
    for run, clips in ((held, 1), (same, 2), (free, 1)):
        run.prepare(RunConfig(seed=int(run == free), eval=EvalConfig(clips=clips)))
    script = "import sys, pathlib; (pathlib.Path(sys.argv[1]) / 'result.json').write_text('here')"
    monkeypatch.setattr(local, "JOB", [sys.executable, "-c", script])
    monkeypatch.setattr(local, "HELD_SECONDS", 0.1)
    command = [sys.executable, "-c", HOLDER, str(held.path), left]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    told: list[str] = []

    def tick(active: list[RunDir], outcome: Outcome) -> None:
        show(active, outcome)
        if outcome.held and outcome.done and not told:
            told.append(held.holder)
            assert (outcome.held, outcome.done) == ([held], [free])  # not `same`, which the other trains, too
            print(file=holder.stdin, flush=True)

    with run_progress({name: f"row {name}" for name in ("held", "same", "free")}, 3) as show:
        outcome = run_all([held, same, free], make_slots(2, "cpu"), tick)
    assert holder.wait() == 0
    whose = f"process {holder.pid} on {os.uname().nodename}, of {user_name()}"
    assert told == [whose]
    assert capsys.readouterr().err.count(f"row held is being run by {whose}; it is waited for when nothing") == 1
    assert outcome.failed == ([held] if left == "failed" else [])
    assert {run.path.name for run in outcome.done} == {"held", "same", "free"} - {
        run.path.name for run in outcome.failed
    }
    if left != "failed":
        assert (held.path / "result.json").read_text() == ("here" if left == "interrupted" else "{}")


def test_what_trains_alike_waits_for_the_first_of_them(side_by_side: SideBySide) -> None:
    together = side_by_side(
        {"one": RunConfig(), "two": RunConfig(eval=EvalConfig(clips=2)), "other": RunConfig(seed=1)}
    )
    assert {"one", "other"} in together
    assert not any({"one", "two"} <= names for names in together)


def test_what_waits_in_a_queue_is_named_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("RUNS", "RESULTS", "DATA"):
        monkeypatch.setenv(f"BENCHMARK_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("PATH", str(tmp_path))  # an installed squeue would look for its cluster for half a minute
    monkeypatch.setattr(running, "count", lambda *_: True)
    plan = make_plan([load_table("bqn-3a", "smoke")])
    runs = [RunDir.of(key) for key in plan.runs]
    for run in runs:
        run.prepare(plan.runs[run.key].config)
        run.set_status(state="queued", queued=time.time(), job=None)
        write_json(run.path / "job.json", {"id": "68_3", "owner": "alice", "slurm_conf": "/nowhere", "log": ""})
    assert main(["run", "bqn-3a", "--protocol", "smoke"]) == 1
    said = capsys.readouterr().err
    assert "bqn-3a 'BQN' seed 0 is in a queue, job 68_3 of alice: it is left there.\n" in said
    assert said.count("68_3") == 3
    assert "0 of 3 runs done" in said
    assert "(`scancel` a job, and `run` trains its run here):\n    bqn-3a '" in said
    assert {run.state for run in runs} == {"queued"}
    assert not any((run.path / "log.txt").exists() for run in runs)
