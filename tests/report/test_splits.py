"""Rows over three official splits: which runs they are, and that a cell is the mean of its seeds' means over splits."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.config.source import SpecError
from benchmark.plan import make_plan, row_runs
from benchmark.report.cell import find_cell
from benchmark.report.cells import build_cells, display
from benchmark.report.collect import collect
from benchmark.report.fuse import average_predictions, with_fused
from benchmark.report.render import render
from benchmark.report.results import SeedResult
from benchmark.report.splits import over_splits
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.runs.metrics import all_metrics
from benchmark.runs.predictions import Predictions
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

SPLITS = ("ucf101", "ucf101-2", "ucf101-3")


def finish(table: Table, label: str, accuracy: float, skip: str = "") -> dict[tuple[int, str], Predictions]:
    """Write results and predictions of a row's runs, without training; of differently many clips and classes seen."""
    written = {}
    for number, (seed, config) in enumerate(row_runs(table.row(label), table.seeds)):
        name = config.data.dataset
        if name == skip:
            continue
        rng = np.random.default_rng([number, len(label)])
        clips = 60 + 10 * (number % 3)
        labels = np.sort(rng.integers(0, 5, clips))
        logits = rng.normal(size=(clips, 101)).astype(np.float32)
        hit = rng.random(clips) < accuracy * (1 - 0.15 * labels)
        logits[np.arange(clips), labels] += np.where(hit, 9, -9)
        made = Predictions(np.array([f"clip{i:03d}" for i in range(clips)]), labels, logits)
        run = RunDir.of(run_key(config))
        run.prepare(config)
        np.savez(run.path / "predictions.npz", ids=made.ids, labels=made.labels, logits=made.logits)
        metrics = all_metrics(made.logits, made.labels)
        write_json(
            run.path / "result.json",
            {"key": run.key, "metrics": metrics, "unreadable_clips": int(number % 3 == 1), "non_finite_clips": 2},
        )
        written[seed, name] = made
    return written


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("name", "rows"), [("bqn-6", 1), ("da-3", 1), ("thesis-5.11", 1), ("thesis-3.8", 1), ("thesis-3.5", 2)]
)
def test_tables_of_three_splits_ask_for_each_seed_on_each_split(name: str, rows: int) -> None:
    table = load_table(name, "paper", (0, 1))
    plan = make_plan([table])
    found = sorted((run.config.seed, run.config.data.dataset) for run in plan.runs.values())
    first = [] if name == "thesis-3.5" else [(0, "kinetics400")]  # what all of them start from
    assert found == sorted([*first, *((seed, split) for seed in (0, 1) for split in SPLITS for _ in range(rows))])
    assert len(plan.runs) == 6 * rows + len(first)
    assert plan.wanted == len(plan.runs)


def test_the_first_split_alone_is_the_same_run_in_a_table_of_one_split() -> None:
    """Thesis 3.4 is of split 1: its networks are the first third of those of 3.5."""
    alone, three = (make_plan([load_table(name, "paper")]).runs for name in ("thesis-3.4", "thesis-3.5"))
    shared = [three[key].config.data.dataset for key in alone.keys() & three.keys()]
    assert shared == ["ucf101", "ucf101"]


@pytest.mark.parametrize("name", ["bqn-6", "thesis-3.5"])
def test_other_protocols_have_one_split(name: str) -> None:
    table = load_table(name, "embedded")
    assert all(not row.splits for row in table.rows)
    assert {run.config.data.dataset for run in make_plan([table]).runs.values()} == {"motionpairs-2"}


def test_a_fourth_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "paper: own\ntable: mine\ncaption: x\ndataset: ucf101\ncolumns: [top1]\n"
        "base: [network/da_r50, recipe/bqn_finetuning, data/ucf101]\nsplits: 4\n"
        "rows:\n  - {label: A}\n  - {label: B, set: {data.segments: 4}}\n"
    )
    with pytest.raises(SpecError, match=r"mine\.yaml:7: splits: ucf101 has 3 official splits, not 4") as caught:
        load_table(str(path), "paper")
    assert len(caught.value.problems) == 1


def test_a_cell_is_the_mean_and_the_sd_of_the_seeds_means_over_splits(runs: Path) -> None:
    table = load_table("bqn-6", "paper", (0, 1, 2))
    written = finish(table, "BQN", 0.9)
    means = [
        statistics.mean(
            all_metrics(written[seed, name].logits, written[seed, name].labels)["mean_class_acc"] for name in SPLITS
        )
        for seed in table.seeds
    ]
    cell = find_cell(build_cells(table, collect(table), {}), "BQN", "mean_class_acc", ours=True)
    assert cell is not None
    assert cell.value == pytest.approx(statistics.mean(means))
    assert cell.sd == pytest.approx(statistics.stdev(means))
    assert (cell.n, cell.wanted, [key.count("+") for key in cell.runs]) == (3, 3, [2, 2, 2])
    assert "split 2: 1 clips unreadable, counted as wrong" in cell.note
    assert "2 clips with logits that are not finite, counted as wrong" in cell.note


def test_a_seed_counts_when_its_three_splits_are_done(runs: Path) -> None:
    table = load_table("bqn-6", "paper", (0, 1))
    finish(table, "BQN", 0.9, skip="ucf101-3")
    assert [result.state for result in collect(table)["BQN"]] == ["pending", "pending"]
    cell = find_cell(build_cells(table, collect(table), {}), "BQN", "mean_class_acc", ours=True)
    assert cell is not None
    assert (cell.kind, cell.n, display(cell)) == ("missing", 0, "–")


def test_streams_are_averaged_split_by_split(runs: Path) -> None:
    table = load_table("thesis-3.5", "paper", (0, 1))
    rgb, flow = finish(table, "TeSNet RGB", 0.8), finish(table, "TeSNet flow", 0.8)
    for key, other in flow.items():  # the same clips in both streams
        flow[key] = Predictions(other.ids, rgb[key].labels, other.logits)
    for (seed, name), made in flow.items():
        config = next(
            c for s, c in row_runs(table.row("TeSNet flow"), table.seeds) if (s, c.data.dataset) == (seed, name)
        )
        folder = RunDir.of(run_key(config)).path
        np.savez(folder / "predictions.npz", ids=made.ids, labels=made.labels, logits=made.logits)
        result = json.loads((folder / "result.json").read_text())
        write_json(folder / "result.json", {**result, "metrics": all_metrics(made.logits, made.labels)})
    fused = with_fused(table, collect(table))["Temporal Squeeze Network"]
    for seed, result in zip(table.seeds, fused, strict=True):
        each = [average_predictions([rgb[seed, name], flow[seed, name]]) for name in SPLITS]
        expected = [all_metrics(one.logits, one.labels)["top1"] for one in each]
        assert result.metrics["top1"] == pytest.approx(statistics.mean(expected))
        pooled = np.concatenate([one.labels for one in each])
        assert result.predictions is not None
        assert result.predictions().labels.tolist() == pooled.tolist()
        assert len(result.members) == 6


def test_the_rendered_table_names_the_splits_and_every_run(runs: Path, tmp_path: Path) -> None:
    table = load_table("bqn-6", "paper", (0, 1))
    finish(table, "BQN", 0.9)
    render(table, collect(table), {}, tmp_path / "out")
    text = " ".join((tmp_path / "out/table.md").read_text().split())
    where = "UCF101, mean over its 3 official splits"
    assert f"Printed: {where} unless a heading says otherwise. Measured: {where}, protocol paper, 2 seeds." in text
    listed = json.loads((tmp_path / "out/PROVENANCE.json").read_text())["runs"]
    evaluated = [key for key, run in make_plan([table]).runs.items() if run.config.data.dataset != "kinetics400"]
    assert sorted(run["key"] for run in listed) == sorted(evaluated)


def test_splits_together_are_as_far_as_the_least_advanced(make: SimpleNamespace) -> None:
    done = [make.seed_result(f"split{i}", 3, 50.0 + i) for i in range(3)]
    whole = over_splits(done)
    assert (whole.state, whole.seed, whole.members) == ("done", 3, tuple(done))
    assert whole.metrics["top1"] == pytest.approx(statistics.mean(r.metrics["top1"] for r in done))
    assert whole.predictions is not None
    ids = whole.predictions().ids
    assert len(set(ids.tolist())) == len(ids) == 3 * 480
    for state in ("failed", "interrupted", "pending", "queued", "running"):
        part = over_splits([*done[:2], SeedResult(3, "other", state)])
        assert (part.state, part.metrics, part.predictions) == (state, {}, None)
