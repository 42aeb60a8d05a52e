"""`diff`: two runs that differ in one thing, and what is said of it; numbers against the statistics of the tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.plan import row_runs
from benchmark.report.results import SeedResult
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.noise import Noise, noise_csv, noise_path, read_noise
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.runs.metrics import all_metrics, hits_at_k
from benchmark.runs.predictions import read_predictions
from benchmark.runs.records.run import run_record_path, write_record
from benchmark.spec.load import load_table

CLIPS, CLASSES = 100, 10
ENV = {
    "starts": [{"at": "2026-01-01T00:00:00", "commit": "a" * 40, "changes": None, "cpu": "AMD 1.1, AVX2"}],
    "versions": {"torch": "2.11.0", "numpy": "2.4.6"},
    "device": "AMD, 2 cores",
    "fingerprints": {"train": "1" * 64, "val": "2" * 64},
}
SYMBOLS = {"benchmark/models/modules/mbpm.py": {"HIGH_PASS": "0a", "Mbpm.forward": "0b"}}
BEHAVIOUR = {
    "format": 1,
    "on": {"device": "AMD"},
    "training": {"loss": "2.1 1.9 1.7"},
    "logits": ["0.5 0.25"],
    "bits": "ab",
}
TABLE = load_table("checks-truth")


def make_run(row: int, seed: int = 0) -> RunDir:
    """A finished run of a row of checks-truth, as a training leaves it."""
    ((_, config),) = row_runs(TABLE.rows[row], (seed,))
    run = RunDir.of(run_key(config))
    run.prepare(config)
    write_predictions(run, np.random.default_rng(10 * row + seed).normal(size=(CLIPS, CLASSES)))
    write_json(run.path / "env.json", ENV)
    write_json(run.path / "code.json", {"symbols": SYMBOLS})
    write_json(run.path / "behaviour.json", BEHAVIOUR)
    lines = [json.dumps({"epoch": i, "loss": 2.0 - 0.1 * i - 0.01 * (i and seed), "top1": 12.5 + i}) for i in range(7)]
    (run.path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return run


def write_predictions(run: RunDir, logits: np.ndarray) -> None:
    labels = np.arange(CLIPS) % CLASSES
    logits = logits.astype(np.float32) + 1.5 * np.eye(CLASSES, dtype=np.float32)[labels]
    np.savez(run.path / "predictions.npz", ids=[f"{i:06d}" for i in range(CLIPS)], labels=labels, logits=logits)
    write_json(run.path / "result.json", {"key": run.key, "metrics": all_metrics(logits, labels), "num_clips": CLIPS})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    return make_run(0)


@pytest.fixture
def diff(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`diff`, as JSON or, with an option, as text."""

    def call(*names: object, options: tuple[str, ...] = ("--json",)) -> Any:
        assert main(["diff", *map(str, names), *options]) == 0
        said = capsys.readouterr().out
        return json.loads(said) if options == ("--json",) else said

    return call


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)


def retrained(run: RunDir, tmp_path: Path, same_result: bool = False) -> RunDir:
    """The run as it was kept aside under another name, with other logits."""
    other = RunDir(Path(shutil.copytree(run.path, tmp_path / "kept aside")))
    if not same_result:
        write_predictions(other, np.random.default_rng(99).normal(size=(CLIPS, CLASSES)))
    return other


CPU = "AMD 1.1, AVX2 / Intel 6.2, AVX-512"
CAUSES: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "a setting": (
        "config.json",
        lambda c: c["train"].update(lr=0.9),
        "Same code, data, versions and hardware; settings differ: train.lr.",
    ),
    "a constant": (
        "code.json",
        lambda c: c["symbols"]["benchmark/models/modules/mbpm.py"].update(HIGH_PASS="ff"),
        "Same settings, data, versions and hardware; other code: models/modules/mbpm.py (HIGH_PASS)"
        " (the miniatures are equal).",
    ),
    "a version": (
        "env.json",
        lambda c: c["versions"].update(torch="2.15.0"),
        "Same settings, code, data and hardware; other versions: torch 2.11.0 / 2.15.0.",
    ),
    "a training that was taken over": (
        "env.json",
        lambda c: c.update(trained_by="0" * 16, training={**c, "versions": {**c["versions"], "torch": "2.15.0"}}),
        "Same settings, code, data and hardware; other versions: training, torch 2.11.0 / 2.15.0.",
    ),
    "a processor": (
        "env.json",
        lambda c: c["starts"][0].update(cpu="Intel 6.2, AVX-512"),
        f"Same settings, code, data and versions; other hardware: processor {CPU}.",
    ),
    "a processor that is not known": (
        "env.json",
        lambda c: c["starts"][0].pop("cpu"),
        "Everything recorded is equal: what made the difference is not recorded."
        " Not recorded: the kind of processor of B.",
    ),
    "starting weights": (
        "env.json",
        lambda c: c["fingerprints"].update(start="3" * 64),
        "Same settings, code, data, versions and hardware; other starting weights: start.",
    ),
    "a resume": (
        "env.json",
        lambda c: c["starts"].append(c["starts"][0]),
        "Everything recorded but the number of starts, which should leave a result as it is, is equal:"
        " what made the difference is not recorded.",
    ),
    "a commit of the same code": (
        "env.json",
        lambda c: c["starts"][0].update(commit="b" * 40),
        "Everything recorded is equal: what made the difference is not recorded.",
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_what_alone_differs_is_what_is_named(name: str, run: RunDir, tmp_path: Path, diff: Any) -> None:
    file, change, judgement = CAUSES[name]
    other = retrained(run, tmp_path)
    edit(other.path / file, change)
    assert diff(run.key, other.path)["judgement"] == judgement
    assert diff(run.key, other.path, options=()).endswith(f"\n\n{judgement}\n")
    # The same difference has changed nothing where the logits are the same.
    shutil.copy(run.path / "predictions.npz", other.path)
    shutil.copy(run.path / "result.json", other.path)
    said = diff(run.key, other.path)["judgement"]
    assert said.startswith(("The predictions are equal to the last logit", "Everything recorded is equal"))


def test_without_code_json_only_one_commit_without_changes_is_the_same_code(
    run: RunDir, tmp_path: Path, diff: Any
) -> None:
    other = retrained(run, tmp_path)
    (other.path / "code.json").unlink()
    (other.path / "behaviour.json").unlink()
    text = diff(run.key, other.path, options=())
    assert "no code.json of B" in text
    assert "Behaviour: no behaviour.json of B" in text
    assert "Not recorded" not in text
    edit(other.path / "env.json", lambda c: c["starts"][0].update(changes="0123456789ab"))
    said = diff(run.key, other.path)
    assert said["code"]["state"] == "unknown"
    assert said["judgement"] == (
        "Same settings, data, versions and hardware; perhaps other code: other commits or local changes."
        " Not recorded: the code that was executed of B."
    )


def test_code_that_was_verified_to_behave_alike_is_no_cause(run: RunDir, tmp_path: Path, diff: Any) -> None:
    other = retrained(run, tmp_path)
    edit(other.path / "code.json", CAUSES["a constant"][1])
    shutil.copy(other.path / "code.json", run.path / "verified.json")
    said = diff(run.key, other.path)
    assert said["code"]["state"] == "verified"
    assert said["judgement"].startswith("Everything recorded is equal: ")


def test_the_difference_is_that_of_the_tables_statistics(
    run: RunDir, diff: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))
    known = [Noise("TSM-R50", name, 1.5, 8, 0.6, 4, 12, 0.5, 2.5) for name in ("top1", "mean_class_acc")]
    noise_path("embedded").parent.mkdir(parents=True)
    noise_path("embedded").write_text(noise_csv(known))
    other = make_run(2)
    said = diff(run.key[:9], other.key)
    results = {}
    for row, directory in zip((TABLE.rows[0], TABLE.rows[2]), (run, other), strict=True):
        found, metrics = read_predictions(directory, directory.result or {})
        results[row.label] = [SeedResult(0, directory.key, "done", metrics, lambda found=found: found)]  # type: ignore[misc]
    labels = [row.label for row in (TABLE.rows[0], TABLE.rows[2])]
    contrasts = Comparison(TABLE, results, read_noise("embedded"))
    of = {metric["name"]: metric for metric in said["outcome"]["metrics"]}
    for column in ("top1", "mean_class_acc"):
        contrast = contrasts.contrast(labels[1], labels[0], column)
        assert contrast is not None
        estimate = contrast.estimate
        assert estimate is not None
        training = of[column]["training"]
        assert (training["low"], training["high"]) == pytest.approx((estimate.low, estimate.high))
        assert training["difference"] == pytest.approx(contrast.difference)
    ours, theirs = (results[label][0].predictions() for label in labels)  # type: ignore[misc]
    hits = [hits_at_k(p.logits, p.labels, 1) for p in (ours, theirs)]
    apart = 100.0 * (hits[1].astype(float) - hits[0])
    half = 1.959964 * apart.std(ddof=1) / np.sqrt(CLIPS)
    assert of["top1"]["networks"]["low"] == pytest.approx(apart.mean() - half, abs=1e-4)
    flips = said["outcome"]["flips"]
    assert [clip["id"] for clip in flips["lost"]] == [f"{i:06d}" for i in np.flatnonzero(hits[0] & ~hits[1])]
    assert [clip["id"] for clip in flips["gained"]] == [f"{i:06d}" for i in np.flatnonzero(~hits[0] & hits[1])]
    for clip in flips["lost"]:
        assert clip["a"] == clip["label"] != clip["b"]
    assert sum(c["lost"] for c in flips["by_class"]) == len(flips["lost"])
    assert flips["by_class"][2]["label"] == "cold left"
    text = diff(run.key, other.key, options=("--clips", "1"))
    assert f"and {len(flips['lost']) + len(flips['gained']) - 1} more" in text
    assert text.count("right -> wrong  0000") == 1


def test_where_curves_and_miniatures_part(run: RunDir, diff: Any) -> None:
    other = make_run(0, seed=1)
    edit(other.path / "behaviour.json", lambda c: c.update(bits="cd", logits=["0.5 0.26"], on={"device": "Intel"}))
    said = diff(run.key, other.key)
    assert said["curves"]["parted"]["epoch"] == 2
    assert said["behaviour"]["first_difference"] == {"what": "logits, 1, 2", "a": 0.25, "b": 0.26}
    assert "The curves part in epoch 2: loss by -0.01, top-1 by +0." in diff(run.key, other.key, options=())
    edit(other.path / "behaviour.json", lambda c: c["training"].update(loss="2.1 1.8 1.7"))
    assert diff(run.key, other.key)["behaviour"]["first_difference"]["what"] == "training, loss, 2"


def test_clips_of_other_data_are_not_paired(run: RunDir, tmp_path: Path, diff: Any) -> None:
    other = retrained(run, tmp_path)
    edit(other.path / "env.json", lambda c: c["fingerprints"].update(val="9" * 64))
    said = diff(run.key, other.path)
    assert "was generated anew between A and B" in said["outcome"]["unpaired"]
    assert "other data: fingerprint of val" in said["judgement"]
    edit(other.path / "config.json", lambda c: c["data"].update(dataset="motionpairs-2-dev"))
    text = diff(run.key, other.path, options=())
    assert "No clips are paired: A was evaluated on motionpairs-2, B on motionpairs-2-dev." in text
    assert "settings differ: data.dataset" in text


def test_a_record_stands_for_its_run_but_for_its_logits(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diff: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCHMARK_RECORDS", str(records := tmp_path / "records"))
    other = retrained(run, tmp_path)
    logits = np.random.default_rng(98).normal(size=(CLIPS, CLASSES))
    logits[3, 5] = np.nan
    write_predictions(other, logits)
    edit(other.path / "config.json", lambda c: c["train"].update(lr=0.9))
    edit(other.path / "behaviour.json", lambda c: c["training"].update(loss="2.1 1.8 1.7"))
    of_directories = diff(run.key, other.path)
    for root in (records, records / "theirs" / "eth"):
        write_record(run, root)
    path = run_record_path(records, run.key)
    text = diff(path, run.key, options=())
    assert "Predictions: the same, as far as a record keeps them" in text
    assert text.endswith("\nEverything recorded is equal, of the predictions all that a record keeps of them.\n")
    assert "logit" not in text

    run.path.rename(tmp_path / "moved")
    assert of_directories["outcome"]["flips"]["largest"] > 1
    of_directories["outcome"]["flips"]["largest"], of_directories["outcome"]["exact"] = None, False
    for name, place in ((run.key, path), (f"eth:{run.key[:9]}", records / "theirs" / "eth" / "runs" / path.name)):
        said = diff(name, other.path)
        assert said["runs"]["a"].pop("place") == str(place)
        assert said == of_directories | {"runs": {**said["runs"], "b": of_directories["runs"]["b"]}}
    assert diff(path, other.path)["outcome"] == of_directories["outcome"]
    lines = diff(run.key[:9], other.path, options=()).splitlines()
    assert f"the label has another rank on {said['outcome']['flips']['ranks']} clips" in " ".join(lines)

    (run.path / "x").parent.mkdir()
    shutil.copy(tmp_path / "moved" / "config.json", run.path)  # begun anew, and not finished
    assert diff(run.key, path)["runs"]["a"]["place"] == str(path)
    assert main(["diff", "mit:0", str(path)]) == 2
    assert f"no run '0' in {records}/theirs/mit/" in capsys.readouterr().err
    path.write_bytes(path.read_bytes().replace(b"2.1", b"2.2", 1))
    assert main(["diff", run.key, str(other.path)]) == 2
    assert f"{path} is damaged" in capsys.readouterr().err


def test_a_run_that_cannot_be_compared_says_why(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    def said(name: str) -> str:
        assert main(["diff", run.key, name]) == 2
        return capsys.readouterr().err

    typo = ("0" if run.key[2] != "0" else "1").join((run.key[:2], run.key[3:9]))
    assert f"no run '{typo}' in " in (text := said(typo))
    assert f"Did you mean '{run.key}'?" in text
    other = make_run(2)
    (other.path / "result.json").unlink()
    assert "is not finished (pending)" in said(other.key)
    assert "no run ''" in said("")
    (run.path / "metrics.jsonl").write_text("[]\n")
    assert "metrics.jsonl is damaged" in said(run.key)
