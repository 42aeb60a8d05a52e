"""`time` as a user types it: what is missing is timed once, and the table shows it."""

import csv
import json
import subprocess
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmark.cli import running, timing
from benchmark.cli.main import main
from benchmark.config.run import RunConfig
from benchmark.cost.latency import LatencyRecord
from benchmark.cost.timing import time_config
from benchmark.launch.local import Outcome

SPEC = """\
paper: mine
table: times
caption: Run times.
dataset: something-v1
columns: [speed, throughput, top1]
base: [network/tsm_r50, recipe/bqn, data/something-v1]
set: {model.depth: 18, model.pretrained: null, model.width: 0.125, model.dropout: 0.5, data.size: 32}
rows:
  - {label: two, set: {data.segments: 2}, printed: {speed: 64.1}}
  - {label: two again, set: {data.segments: 2, train.epochs: 20}}
  - {label: four, set: {data.segments: 4}, printed: {speed: 31.2}}
  - {label: theirs, quoted: true, printed: {speed: 0.2}}
claims:
  - {id: mine-times.01, lhs: two, relation: ">", rhs: four, metric: speed, text: half as many are faster}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(timing, "time_config", partial(time_config, seconds=0.02))
    path = tmp_path / "times.yaml"
    path.write_text(SPEC)
    return str(path)


def test_what_is_missing_is_timed_once(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["time", spec, "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("Timing 1 of 2 on ") == captured.err.count("Timing 2 of 2 on ") == 2
    assert "passes" in captured.err
    assert "(p10 " in captured.out
    records = list((tmp_path / "runs" / ".latency").iterdir())
    assert [[s["batch"] for s in json.loads(path.read_text())["samples"]] for path in records] == [[1, 8]] * 2
    with (tmp_path / "results" / "mine" / "times" / "cells.csv").open(newline="") as file:
        timed = {(c["label"], c["column"]): c for c in csv.DictReader(file) if c["kind"] == "timed"}
    assert {label for label, _ in timed} == {"two", "two again", "four"}
    assert timed["two", "speed"]["value"] == timed["two again", "speed"]["value"]

    monkeypatch.setattr(timing, "time_config", lambda *_: pytest.fail("timed again"))
    assert main(["time", spec, "--device", "cpu"]) == 0
    assert "--again repeats it" in capsys.readouterr().err
    assert main(["render", spec]) == 0
    assert "(p10 " in capsys.readouterr().out


def test_again_replaces_a_timing(spec: str, tmp_path: Path) -> None:
    assert main(["time", spec, "--device", "cpu"]) == 0
    before = {path: path.read_text() for path in (tmp_path / "runs" / ".latency").iterdir()}
    assert main(["time", spec, "--device", "cpu", "--again"]) == 0
    after = {path: path.read_text() for path in (tmp_path / "runs" / ".latency").iterdir()}
    assert before.keys() == after.keys()
    assert all(before[path] != after[path] for path in before)


def test_a_network_that_cannot_be_timed_leaves_the_others(
    spec: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(config: RunConfig, batches: list[int], device: torch.device) -> LatencyRecord:
        if config.data.segments == 4:
            raise RuntimeError("out of memory")
        return time_config(config, batches, device, seconds=0.02)

    monkeypatch.setattr(timing, "time_config", out_of_memory)
    assert main(["time", spec, "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert "cannot time mine-times 'four': RuntimeError: out of memory" in captured.err
    assert "Not timed yet on" in captured.out
    assert "not timed: four" in captured.out


def test_tables_without_timed_columns_have_nothing_to_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["time", "bqn-3b"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Nothing to time" in captured.err


@pytest.mark.parametrize("asked", [True, False])
def test_run_times_after_training_where_it_is_asked_to(
    spec: str, asked: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def train(*_: object) -> Outcome:
        order.append("trained")
        return Outcome()

    def time_one(config: RunConfig, batches: list[int], device: torch.device) -> LatencyRecord:
        order.append("timed")
        return time_config(config, batches, device, seconds=0.02)

    monkeypatch.setattr(running, "prepare_data", lambda made: None)
    monkeypatch.setattr(running, "_train", train)
    monkeypatch.setattr(timing, "time_config", time_one)
    assert main(["run", spec, "--device", "cpu", *["--time"][: int(asked)]]) == 0
    assert order == ["trained", *["timed", "timed"][: 2 * int(asked)]]
    assert capsys.readouterr().out.count("# mine-times") == 1


def test_make_asks_for_timings() -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(["make", "-n", "table-cmr-7"], cwd=root, capture_output=True, text=True, check=True)
    assert "benchmark run --time cmr-7" in done.stdout
