"""A run killed at any moment and started again ends with the same result, bit for bit, as one left alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmark.config.models import BqnConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key

pytestmark = pytest.mark.slow

CONFIG = RunConfig(
    model=BqnConfig(depth=18, width=0.125, num_bplc=8, dropout=0.2),
    data=DataConfig(dataset="motionpairs-tiny", size=56),
    train=TrainConfig(epochs=3, batch_size=8, lr=0.01, warmup_epochs=1),
    eval=EvalConfig(scale=64),
)


def start(run: RunDir, **variables: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmark.launch.job", str(run.path), "cpu"]
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **variables})


def prepared(folder: Path, config: RunConfig = CONFIG) -> RunDir:
    run = RunDir(folder / run_key(config))
    run.prepare(config)
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    from benchmark.data.datasets import prepare

    prepare("motionpairs-tiny")
    run = prepared(tmp_path_factory.mktemp("undisturbed"))
    assert start(run).wait() == 0
    return run


def same_result(run: RunDir, reference: RunDir) -> None:
    assert (run.path / "result.json").read_bytes() == (reference.path / "result.json").read_bytes()
    with np.load(run.path / "predictions.npz") as one, np.load(reference.path / "predictions.npz") as other:
        for name in ("ids", "labels", "logits"):
            assert np.array_equal(one[name], other[name])


def test_two_undisturbed_runs_agree(undisturbed: RunDir, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    assert start(run).wait() == 0
    same_result(run, undisturbed)
    assert run.env["resumes"] == 0


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_killed_every_few_seconds(undisturbed: RunDir, tmp_path: Path, kill: signal.Signals) -> None:
    run = prepared(tmp_path)
    rng, kills = np.random.default_rng(int(kill)), 0
    while kills < 4:
        process = start(run)
        try:
            process.wait(float(rng.uniform(2.5, 7.0)))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(kill)
            process.wait()
            kills += 1
            assert run.state in ("interrupted", "pending", "done")
    assert run.state == "done" or start(run).wait() == 0
    assert kills > 0
    same_result(run, undisturbed)


def test_killed_right_after_a_checkpoint(undisturbed: RunDir, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    process = start(run)
    while not (run.path / "checkpoint.pt").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert run.state == "interrupted"
    assert start(run).wait() == 0
    assert run.env["resumes"] == 1
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3
    same_result(run, undisturbed)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("device_batch", [None, 4])
def test_killed_within_an_epoch(undisturbed: RunDir, tmp_path: Path, workers: str, device_batch: int | None) -> None:
    """With a checkpoint after every step, the run goes on from one of them, in the midst of an epoch."""
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"device_batch": device_batch})})
    run, reference = prepared(tmp_path, config), undisturbed
    if device_batch:
        reference = prepared(tmp_path / "undisturbed", config)
        assert start(reference).wait() == 0
    variables = {"BENCHMARK_CHECKPOINT_SECONDS": "1e-9", "BENCHMARK_WORKERS": workers}
    for step in (2, 4):
        process = start(run, **variables)
        while run.status.get("step", 0) < step or not (run.path / "checkpoint.pt").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
    assert start(run, **variables).wait() == 0
    assert "goes on after step" in (run.path / "log.txt").read_text()
    same_result(run, reference)


def test_a_finished_run_is_not_trained_again(undisturbed: RunDir) -> None:
    before = (undisturbed.path / "result.json").stat().st_mtime_ns
    assert start(undisturbed).wait() == 0
    assert (undisturbed.path / "result.json").stat().st_mtime_ns == before


def test_a_full_disk_fails_the_run_and_loses_nothing(undisturbed: RunDir, tmp_path: Path) -> None:
    """A file-size limit of one megabyte stands in for the disk: the checkpoint does not fit."""
    run = prepared(tmp_path)
    command = f"ulimit -f 1024; trap '' XFSZ; exec {sys.executable} -m benchmark.launch.job {run.path} cpu"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert run.state == "failed"
    assert "File too large" in run.status["error"]
    assert not (run.path / "checkpoint.pt").exists()
    assert start(run).wait() == 0
    same_result(run, undisturbed)


def test_a_missing_data_set_fails_with_what_to_do(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    environment = {**os.environ, "BENCHMARK_DATA": str(tmp_path / "nowhere")}
    command = [sys.executable, "-m", "benchmark.launch.job", str(run.path), "cpu"]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 1
    assert "run: python -m benchmark data prepare motionpairs-tiny" in run.status["error"]
    shutil.rmtree(run.path)


def test_a_run_of_other_views_takes_over_the_training(undisturbed: RunDir, tmp_path: Path) -> None:
    two_clips = CONFIG.model_copy(update={"eval": EvalConfig(clips=2, scale=64)})
    alone = prepared(tmp_path / "alone", two_clips)
    assert start(alone).wait() == 0
    shutil.copytree(undisturbed.path.parent, tmp_path / "beside")
    beside = prepared(tmp_path / "beside", two_clips)
    assert start(beside).wait() == 0
    same_result(beside, alone)
    assert (beside.env["trained_by"], alone.env.get("trained_by")) == (undisturbed.key, None)
    assert not (beside.path / "checkpoint.pt").exists()
    assert (beside.path / "metrics.jsonl").read_bytes() == (alone.path / "metrics.jsonl").read_bytes()


def test_a_run_on_other_data_trains_by_itself(undisturbed: RunDir, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.path.parent, tmp_path / "beside")
    env = tmp_path / "beside" / undisturbed.key / "env.json"
    env.write_text(env.read_text().replace('"train": "', '"train": "0'))
    beside = prepared(tmp_path / "beside", CONFIG.model_copy(update={"eval": EvalConfig(clips=2, scale=64)}))
    assert start(beside).wait() == 0
    assert "trained_by" not in beside.env
    assert (beside.path / "checkpoint.pt").exists()
