"""A table on the user's own UCF101: trained from its files, with what could not be read named in the result."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmark.config.run import EvalConfig
from benchmark.data.datasets import prepare
from benchmark.data.indexing.check import check_dataset
from benchmark.launch.job import execute
from benchmark.launch.unreadable import UnreadableError
from benchmark.plan import make_plan
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import StaleRunError
from benchmark.runs.key import run_key, training_key
from benchmark.spec.load import load_table
from tests.data.trees import ucf_tree, write_video

TABLE = """\
paper: own
table: splits
caption: TSM on two of the official splits.
dataset: ucf101
columns: [top1, mean_class_acc]
base: [network/tsm_r50, recipe/bqn, data/something-v1]
set:
  data: {size: 32, segments: 2}
  eval: {scale: 36}
  model: {depth: 18, width: 0.125, pretrained: null}
  train: {epochs: 1, warmup_epochs: 0, batch_size: 4}
rows:
  - {label: first, set: {data.dataset: ucf101}}
  - {label: second, set: {data.dataset: ucf101-2}}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table's file. Of split 1, two training clips and a test clip are damaged, and a test clip is gone."""
    root = ucf_tree(tmp_path / "ucf")
    for name, value in (("DATA", "made"), ("RUNS", "runs"), ("RESULTS", "results"), ("UCF101", "ucf")):
        monkeypatch.setenv(f"BENCHMARK_{name}", str(tmp_path / value))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (root / "Class000/v_Class000_g01_c01.avi").write_bytes(b"")
    (root / "Class000/v_Class000_g01_c02.avi").unlink()
    (root / "Class000/v_Class000_g02_c01.avi").write_text("no video")
    (root / "Class001/v_Class001_g03_c02.avi").write_bytes(b"")
    path = tmp_path / "splits.yaml"
    path.write_text(TABLE)
    return path


def test_training_leaves_unreadable_clips_out_and_evaluation_counts_them_as_wrong(spec: Path) -> None:
    prepare("ucf101", workers=1)
    plan = make_plan([load_table(str(spec), "paper", None)])
    threads = torch.get_num_threads()
    try:
        key = next(key for key, run in plan.runs.items() if run.config.data.dataset == "ucf101")
        run = RunDir.of(key)
        run.prepare(plan.runs[key].config)
        result = execute(run, device="cpu")
        assert (result["num_clips"], result["unreadable_clips"], result["missing_clips"]) == (5, 1, 1)
        assert (result["unreadable_training_clips"], result["missing_training_clips"]) == (2, 0)
        assert result["metrics"]["top1"] <= 80.0
        assert run.env["clips"] == {"train": {"found": 12, "missing": 0}, "val": {"found": 5, "missing": 1}}
        before = run.env["fingerprints"]
        assert set(before) == {"train", "val"}

        # A repaired file is another data set: what was begun on the old one does not go on.
        write_video(spec.parent / "ucf/Class000/v_Class000_g01_c01.avi")
        prepare("ucf101", workers=1)
        (run.path / "result.json").unlink()
        with pytest.raises(StaleRunError, match="the data changed"):
            execute(RunDir.of(key), device="cpu")
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def test_a_protocol_may_refuse_clips_that_cannot_be_read(spec: Path) -> None:
    """Before training where the index knows them; after it where a file has been damaged since."""
    spec.write_text(TABLE.replace("eval: {scale: 36}", "eval: {scale: 36, unreadable: refuse}"))
    prepare("ucf101", workers=1)
    plan = make_plan([load_table(str(spec), "paper", None)])
    threads = torch.get_num_threads()
    try:
        config = next(run.config for run in plan.runs.values() if run.config.data.dataset == "ucf101")
        run = RunDir.of(run_key(config))
        run.prepare(config)
        with pytest.raises(UnreadableError, match=r"1 of 5 clips of ucf101/val cannot be read \(.*v_Class000_g01_c01"):
            execute(run, device="cpu")
        assert run.status["state"] == "failed"
        assert not (run.path / "metrics.jsonl").exists()

        broken = spec.parent / "ucf/Class000/v_Class000_g01_c01.avi"
        write_video(broken)
        prepare("ucf101", workers=1)
        with pytest.raises(UnreadableError, match="1 of the clips of ucf101/val are not on this disk"):
            execute(run, device="cpu")
        write_video(broken.with_name("v_Class000_g01_c02.avi"))
        prepare("ucf101", workers=1)
        broken.write_bytes(broken.read_bytes()[:200])
        with pytest.raises(UnreadableError, match="data prepare ucf101"):
            execute(run, device="cpu")
        assert (run.path / "metrics.jsonl").exists()
        assert run.result is None
        assert training_key(config) == training_key(config.model_copy(update={"eval": EvalConfig(scale=36)}))

        write_video(broken)
        result = execute(run, device="cpu")
        assert (result["unreadable_clips"], result["epochs"]) == (0, 1)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def test_a_run_that_refuses_reads_the_full_check_before_it_trains(spec: Path) -> None:
    spec.write_text(TABLE.replace("eval: {scale: 36}", "eval: {scale: 36, unreadable: refuse}"))
    root = spec.parent / "ucf"
    for name in ("c01", "c02"):
        write_video(root / f"Class000/v_Class000_g01_{name}.avi")
    prepare("ucf101", workers=1)
    broken = root / "Class001/v_Class001_g01_c02.avi"
    data = bytearray(broken.read_bytes())
    data[-600:] = bytes(600)  # the index at the end is gone, and with it the last frame
    broken.write_bytes(data)
    config = next(iter(make_plan([load_table(str(spec), "paper", None)]).runs.values())).config
    run = RunDir.of(run_key(config))
    run.prepare(config)
    assert broken.stem in str(check_dataset("ucf101", full=True, workers=1).splits["val"]["corrupt"])
    threads = torch.get_num_threads()
    try:
        with pytest.raises(UnreadableError, match=rf"1 of 6 clips of ucf101/val cannot be read \({broken.stem}\)"):
            execute(run, device="cpu")
        assert not (run.path / "metrics.jsonl").exists()
        write_video(broken)  # copied again: as good as any other
        assert execute(run, device="cpu")["unreadable_clips"] == 0
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def test_clips_may_be_cut_on_the_device(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare("ucf101", workers=1)
    config = next(iter(make_plan([load_table(str(spec), "paper", None)]).runs.values())).config
    threads, results = torch.get_num_threads(), []
    try:
        for where in ("loader", "device"):
            monkeypatch.setenv("BENCHMARK_TRANSFORMS", where)
            run = RunDir(spec.parent / where / run_key(config))
            run.prepare(config)
            results.append(execute(run, device="cpu"))
            assert run.env["starts"][-1]["transforms"] == where
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    for name in ("num_clips", "unreadable_clips", "unreadable_training_clips"):
        assert results[0][name] == results[1][name]
    assert results[0]["train_loss"] == pytest.approx(results[1]["train_loss"], rel=0.05)


@pytest.mark.slow
def test_the_commands_from_the_tree_to_the_table(spec: Path) -> None:
    def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmark", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    unprepared = benchmark("run", str(spec), "--protocol", "paper", "--device", "cpu")
    assert unprepared.returncode == 2
    assert "run: python -m benchmark data prepare ucf101" in unprepared.stderr
    assert benchmark("data", "prepare", "ucf101", "ucf101-2").returncode == 0
    listed = {record["name"]: record for record in json.loads(benchmark("data", "list", "--json").stdout)}
    assert listed["ucf101"]["readable"] == {"train": 10, "val": 4}
    done = benchmark("run", str(spec), "--protocol", "paper", "--device", "cpu", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    table = " ".join((spec.parent / "results/own/splits/paper/table.md").read_text().split())
    assert "1 clips unreadable, counted as wrong" in table
    results = [json.loads(path.read_text()) for path in (spec.parent / "runs").glob("*/result.json")]
    assert sorted(result["num_clips"] for result in results) == [5, 6]
    assert os.environ["BENCHMARK_RUNS"] == str(spec.parent / "runs")
    assert benchmark("data", "check", "ucf101").returncode == 1
