"""Damaged run directories: the cell says what is damaged and what to do, the others stand, the status is 1."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.cli.main import main
from benchmark.plan import row_runs
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.runs.metrics import all_metrics
from benchmark.spec.load import load_table

TABLE = "msnet-8"


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, RunDir]:
    """A finished run of every row, 50 clips of 10 classes, by label."""
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))
    made = {}
    for number, row in enumerate(load_table(TABLE).rows):
        ((_, config),) = row_runs(row, (0,))
        run = RunDir.of(run_key(config))
        run.prepare(config)
        rng = np.random.default_rng(number)
        labels, logits = rng.integers(0, 10, 50), rng.normal(size=(50, 10)).astype(np.float32)
        ids = np.array([f"{i:06d}" for i in range(50)])
        np.savez_compressed(run.path / "predictions.npz", ids=ids, labels=labels, logits=logits)
        metrics = all_metrics(logits, labels)
        write_json(run.path / "result.json", {"key": run.key, "metrics": metrics, "num_clips": 50})
        write_json(run.path / "env.json", {"seconds": 1.0})
        made[row.label] = run
    return made


def _change_predictions(run: RunDir, **changed: object) -> None:
    with np.load(run.path / "predictions.npz") as stored:
        arrays = {name: stored[name] for name in stored.files} | changed
    np.savez_compressed(run.path / "predictions.npz", **{k: v for k, v in arrays.items() if v is not None})


def _cut(run: RunDir, name: str, share: float = 0.6) -> None:
    path = run.path / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def _flip_a_byte(run: RunDir) -> None:
    path = run.path / "predictions.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _edit(run: RunDir, name: str, **values: object) -> None:
    stored = json.loads((run.path / name).read_text())
    write_json(run.path / name, {**stored, **values})


def _become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, tuple[Callable[[RunDir], object], str]] = {
    "predictions cut": (lambda run: _cut(run, "predictions.npz"), "predictions.npz is damaged"),
    "predictions empty": (lambda run: _cut(run, "predictions.npz", 0), "predictions.npz is damaged"),
    "predictions gone": (
        lambda run: (run.path / "predictions.npz").unlink(),
        "predictions.npz is damaged (it is gone)",
    ),
    "a byte of the predictions": (_flip_a_byte, "is damaged"),
    "predictions without logits": (lambda run: _change_predictions(run, logits=None), "it has no 'logits'"),
    "predictions of fewer clips": (
        lambda run: _change_predictions(run, **_first(run, 40)),
        "it has 40 clips, result.json says 50",
    ),
    "predictions of fewer clips than were found": (
        lambda run: _edit(run, "env.json", clips={"val": {"found": 51}}),
        "it has 50 clips, env.json says 51",
    ),
    "a clip twice": (
        lambda run: _change_predictions(run, ids=np.array(["000000", *(f"{i:06d}" for i in range(49))])),
        "its clips are not each there once",
    ),
    "labels beyond the classes": (lambda run: _change_predictions(run, labels=np.full(50, 10)), "there are 10 classes"),
    "pickled predictions": (
        lambda run: _change_predictions(run, ids=np.array([{"a": 1}] * 50, dtype=object)),
        "predictions.npz is damaged",
    ),
    "predictions of another run": (
        lambda run: _change_predictions(run, labels=np.zeros(50, dtype=np.int64)),
        "by predictions.npz",
    ),
    "result edited": (
        lambda run: _edit(run, "result.json", metrics={"top1": 12.3}),
        "top1 is 12.3, but",
    ),
    "result of another run": (lambda run: _edit(run, "result.json", key="0" * 16), "it is of run 0000000000000000"),
    "result cut": (lambda run: _cut(run, "result.json"), "result.json is damaged"),
    "result is a list": (lambda run: (run.path / "result.json").write_text("[]"), "not a mapping"),
    "metrics are text": (lambda run: _edit(run, "result.json", metrics={"top1": "88"}), "its metrics are not numbers"),
    "config cut": (lambda run: _cut(run, "config.json"), "config.json is damaged"),
    "config gone": (lambda run: (run.path / "config.json").unlink(), "config.json is damaged (it is gone)"),
    "config in another encoding": (
        lambda run: (run.path / "config.json").write_bytes("é".encode("latin-1")),
        "config.json is damaged",
    ),
    "predictions of other classes": (
        lambda run: _change_predictions(
            run, logits=np.zeros((50, 5), dtype=np.float32), labels=np.zeros(50, dtype=int)
        ),
        "it has 5 classes, motionpairs-2 has 10",
    ),
    "structured ids": (
        lambda run: _change_predictions(run, ids=np.zeros(50, dtype=[("a", "i4")])),
        "predictions.npz is damaged",
    ),
    "a vector for the residual": (lambda run: _change_predictions(run, residual=np.zeros(3)), "is damaged"),
    "nested without end": (lambda run: (run.path / "result.json").write_text("[" * 100_000), "result.json is damaged"),
    "a pipe": (lambda run: _become_a_pipe(run.path / "result.json"), "result.json is damaged (not a file)"),
    "an empty config": (lambda run: (run.path / "config.json").write_text("{}"), "config.json is damaged"),
    "a folder for a file": (lambda run: _become_a_folder(run.path / "result.json"), "result.json is damaged"),
}


def _first(run: RunDir, clips: int) -> dict[str, np.ndarray]:
    with np.load(run.path / "predictions.npz") as stored:
        return {name: stored[name][:clips] for name in stored.files}


@pytest.mark.parametrize("name", DAMAGE)
def test_one_damaged_run_is_one_cell_that_says_what_to_do(
    name: str, finished: dict[str, RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", TABLE]) == 0
    before = benchmark.cells(TABLE)
    damage, said = DAMAGE[name]
    victim = finished["CP module"]
    damage(victim)
    capsys.readouterr()
    assert main(["render", TABLE]) == 1
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert said in " ".join(text.split())
        assert f"remove {victim.path} to run it again" in " ".join(text.split())
    after = benchmark.cells(TABLE)
    measured = after[after.column == "top1"].groupby("label", sort=False).last()
    assert measured.loc["CP module", "kind"] == "missing"
    assert str(measured.loc["CP module", "note"]).startswith("damaged")
    others = [label for label in finished if label != "CP module"]
    was = before[(before.column == "top1") & (before.kind == "measured")].set_index("label")
    assert measured.loc[others, "value"].tolist() == was.loc[others, "value"].tolist()
    # What the results folder held of the damaged run is still there.
    assert "Not written" in shown.err


@pytest.mark.parametrize("name", ["result cut", "config cut", "config gone", "result of another run"])
def test_reading_commands_name_the_damaged_run_and_go_on(
    name: str, finished: dict[str, RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGE[name][0](finished["MS module"])
    for command in ("status", "plan", "list"):
        assert main([command, TABLE]) == 1
        shown = capsys.readouterr()
        assert "is damaged" in shown.err
        assert (TABLE if command != "status" else "baseline") in shown.out
    assert main(["status", TABLE, "--json"]) == 1
    states = {entry["row"]: entry["state"] for entry in json.loads(capsys.readouterr().out)}
    assert states == {"baseline": "done", "CP module": "done", "MS module": "damaged"}


def test_a_damaged_run_is_neither_trained_nor_lost_by_run(finished: dict[str, RunDir]) -> None:
    victim = finished["MS module"]
    _cut(victim, "config.json")
    held = {path.name: path.read_bytes() for path in victim.path.iterdir()}
    assert main(["run", TABLE, "--jobs", "1"]) == 1
    assert {path.name: path.read_bytes() for path in victim.path.iterdir()} == held


def test_metrics_are_those_of_the_predictions(finished: dict[str, RunDir]) -> None:
    """A result.json that says nothing of them leaves them as they are."""
    run = finished["baseline"]
    before = benchmark.cells(TABLE)
    _edit(run, "result.json", metrics={})
    assert benchmark.cells(TABLE).equals(before)


def test_a_run_without_env_says_so(finished: dict[str, RunDir]) -> None:
    _cut(finished["baseline"], "env.json")
    found = benchmark.cells(TABLE)
    cell = found[(found.label == "baseline") & (found.column == "top1") & (found.kind == "measured")].iloc[0]
    assert "env.json is gone or damaged" in cell.note


@pytest.mark.parametrize("starts", ["x", 1, ["x"], {"a": 1}, None])
def test_what_decides_nothing_stops_nothing(
    starts: object, finished: dict[str, RunDir], capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished["baseline"]
    write_json(run.path / "env.json", {"starts": starts, "seconds": "x", "fingerprints": 3, "clips": []})
    write_json(run.path / "status.json", {"state": [], "epoch": "x", "error": [1], "queued": None})
    for command in ("status", "plan", "list", "render"):
        assert main([command, TABLE]) == 0
    (run.path / "result.json").unlink()
    assert main(["status", TABLE]) == 0
