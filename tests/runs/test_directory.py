"""Run directories: states from their own files, one owner at a time, and refusal of a changed default."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.config.run import EvalConfig, RunConfig, TrainConfig
from benchmark.launch.pending import check_plan
from benchmark.plan import PlannedRun
from benchmark.runs.atomic import write_atomic, write_json
from benchmark.runs.code import Executed, digests
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import ClaimedError, DamagedRunError, StaleRunError
from benchmark.runs.key import run_key
from benchmark.runs.trainings import record_training, trained_by


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path))
    directory = RunDir.of(run_key(RunConfig()))
    directory.prepare(RunConfig())
    return directory


def test_a_prepared_run_is_pending_and_holds_its_full_config(run: RunDir) -> None:
    assert run.state == "pending"
    assert run.config == RunConfig()
    assert json.loads((run.path / "config.json").read_text())["train"]["momentum"] == 0.9


def test_preparing_twice_changes_nothing(run: RunDir) -> None:
    before = (run.path / "config.json").stat().st_mtime_ns
    run.prepare(RunConfig())
    assert (run.path / "config.json").stat().st_mtime_ns == before


def test_a_changed_default_is_refused_with_both_values(run: RunDir) -> None:
    stored = json.loads((run.path / "config.json").read_text())
    stored["train"]["momentum"] = 0.8  # what the default was when this was run
    stored["train"]["lookahead"] = True  # a setting that no longer exists
    write_json(run.path / "config.json", stored)
    with pytest.raises(StaleRunError) as caught:
        check_plan({run.key: PlannedRun(run.key, RunConfig(), "embedded")})
    assert "train.momentum: 0.8 when it was run, 0.9 now" in str(caught.value)
    assert "train.lookahead: removed since" in str(caught.value)
    assert "Restore the default" in str(caught.value)


def test_a_setting_added_since_with_its_default_keeps_old_runs_valid(run: RunDir) -> None:
    stored = json.loads((run.path / "config.json").read_text())
    del stored["train"]["partial_bn"]
    write_json(run.path / "config.json", stored)
    run.check(RunConfig())


def test_only_result_json_makes_a_run_count(run: RunDir) -> None:
    run.set_status(state="done")
    assert run.result is None
    write_json(run.path / "result.json", {"metrics": {}})
    assert run.state == "done"


def test_a_dead_process_leaves_an_interrupted_run(run: RunDir) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    run.set_status(state="running", host=os.uname().nodename, pid=child.pid, beat=time.time())
    assert str(run.state) == "interrupted"
    run.set_status(pid=os.getpid())
    assert str(run.state) == "running"


def test_a_silent_process_on_another_host_is_interrupted(run: RunDir) -> None:
    run.set_status(state="running", host="elsewhere", pid=1, beat=time.time())
    assert str(run.state) == "running"
    run.set_status(beat=time.time() - 1000)
    assert str(run.state) == "interrupted"


def test_two_processes_cannot_hold_one_run_and_a_kill_releases_it(run: RunDir) -> None:
    code = (
        "import sys, time; from pathlib import Path; from benchmark.runs.directory import RunDir\n"
        "with RunDir(Path(sys.argv[1])).claim():\n print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ClaimedError, match="is being run by"), run.claim():
        pass
    holder.kill()
    holder.wait()
    with run.claim():
        pass


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_says_what_to_do(run: RunDir) -> None:
    (run.path / "result.json").write_text('{"metrics": ')
    with pytest.raises(DamagedRunError, match=rf"result.json is damaged .* remove {run.path} to run it again"):
        _ = run.result


def trained(folder: Path, config: RunConfig, epochs: int) -> RunDir:
    run = RunDir(folder / run_key(config))
    run.prepare(config)
    (run.path / "checkpoint.pt").write_bytes(b"weights")
    (run.path / "metrics.jsonl").write_text("{}\n" * epochs)
    write_json(run.path / "code.json", {"symbols": digests([Executed("benchmark/train/loop.py", "train_epoch", 0)])})
    record_training(run, config)
    return run


def test_a_training_serves_runs_of_other_views_alone(tmp_path: Path) -> None:
    config = RunConfig(train=TrainConfig(epochs=10))
    run = trained(tmp_path, config, 10)
    views = config.model_copy(update={"eval": EvalConfig(clips=2, crops=3)})
    assert trained_by(RunDir(tmp_path / run_key(views)), views) == run
    for other in (RunConfig(train=TrainConfig(epochs=11)), config.model_copy(update={"seed": 1})):
        assert trained_by(RunDir(tmp_path / run_key(other)), other) is None


@pytest.mark.parametrize("fault", ["gone", "begun again", "of another default", "damaged", "by other code"])
def test_a_training_that_is_no_longer_that_is_not_taken_over(tmp_path: Path, fault: str) -> None:
    config = RunConfig(train=TrainConfig(epochs=10))
    run = trained(tmp_path, config, 9 if fault == "begun again" else 10)
    if fault == "gone":
        (run.path / "checkpoint.pt").unlink()
    if fault == "of another default":
        stored = json.loads((run.path / "config.json").read_text())
        stored["train"]["momentum"] = 0.8
        write_json(run.path / "config.json", stored)
    if fault == "damaged":
        (run.path / "config.json").write_text("{")
    if fault == "by other code":
        write_json(run.path / "code.json", {"symbols": {"benchmark/train/loop.py": {"train_epoch": "of then"}}})
    views = config.model_copy(update={"eval": EvalConfig(clips=2, crops=3)})
    assert trained_by(RunDir(tmp_path / run_key(views)), views) is None


def test_a_run_whose_result_is_gone_is_not_done(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.prepare(RunConfig())
    run.set_status(state="done")
    states = [run.state]
    (run.path / "result.json").write_text("{}")
    states.append(run.state)
    assert states == ["interrupted", "done"]
