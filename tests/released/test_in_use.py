"""A network that was trained here, used as files of weights are: evaluated, asked, looked at, exported, loaded."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import benchmark
from benchmark.cli.main import main
from benchmark.data.datasets import open_split
from benchmark.plan import row_runs
from benchmark.released import registry
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.runs.predictions import read_predictions
from benchmark.spec.load import load_table

TABLE = """\
paper: mine
table: one
caption: One row
dataset: something-v1
columns: [top1]
base: [network/tsm_r18, recipe/bqn, data/something-v1]
baseline: TSM
rows:
  - {label: TSM, printed: {top1: 45.6}}
"""
SMOKE = ["--protocol", "smoke"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a table of one row that is trained, two epochs on 48 clips."""
    folder = tmp_path_factory.mktemp("use")
    (folder / "one.yaml").write_text(TABLE)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RUNS", "DATA", "RESULTS", "RECORDS", "WEIGHTS"):
            patch.setenv(f"BENCHMARK_{name}", str(folder / name.lower()))
        assert main(["run", str(folder / "one.yaml"), *SMOKE, "--jobs", "1", "--device", "cpu"]) == 0
        yield folder
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def table(trained: Path) -> str:
    return str(trained / "one.yaml")


def run_of(table: str) -> RunDir:
    row = load_table(table, "smoke").rows[0]
    return RunDir.of(run_key(row_runs(row, (0,))[0][1]))


def evaluated(table: str, weights: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    capsys.readouterr()
    command = ["evaluate", table, "--row", "TSM", *SMOKE, "--weights", str(weights), "--device", "cpu", "--json", *more]
    assert main(command) in (0, 1)
    (one,) = json.loads(capsys.readouterr().out)
    assert isinstance(one, dict)
    return one


def logits_of(found: dict[str, object]) -> np.ndarray:
    kept = RunDir(Path(str(found["folder"])))
    assert kept.result is not None
    return read_predictions(kept, kept.result)[0].logits


def published(run: RunDir, path: Path, order: list[int]) -> Path:
    """The run's network as TSM's code would publish it, its outputs in another order."""
    state = torch.load(run.checkpoint, map_location="cpu", weights_only=True)["model"]
    theirs = {}
    for name, value in state.items():
        key = name.replace("backbone.", "module.base_model.").replace("fc.", "module.new_fc.")
        if name.startswith("fc."):
            value = value[order]
        theirs[key.replace(".conv1.", ".conv1.net.") if ".layer" in key else key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 2, "state_dict": theirs}, path)
    return path


def test_weights_come_to_what_their_run_came_to(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(table)
    assert run.result is not None
    first = evaluated(table, run.checkpoint, capsys)
    assert (first["metrics"], first["format"]) == (run.result["metrics"], "benchmark")
    theirs, _ = read_predictions(run, run.result)
    assert np.array_equal(logits_of(first), theirs.logits)


def test_another_order_of_classes_is_undone(
    trained: Path, table: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By names, as the publisher sorted them, by a file of names, or not at all, which gives other logits."""
    run = run_of(table)
    assert run.result is not None
    logits = read_predictions(run, run.result)[0].logits
    classes = open_split("motionpairs-tiny", "val").classes
    order = sorted(range(len(classes)), key=lambda label: classes[label])
    assert order != sorted(order)
    path = published(run, trained / "weights" / "published.pth", order)
    (trained / "names.txt").write_text("\n".join(classes[label] for label in order))
    for more in ([], ["--class-order", "alphabetical"], ["--classes", str(trained / "names.txt")]):
        found = evaluated(table, path, capsys, *more)
        assert (found["format"], found["metrics"]) == ("tsm", run.result["metrics"])
        assert np.array_equal(logits_of(found), logits)
    as_they_are = logits_of(evaluated(table, path, capsys, "--class-order", "dataset"))
    assert np.array_equal(as_they_are, logits[:, order])
    assert not np.array_equal(as_they_are, logits)
    entry = registry.Released(
        **{"title": "t", "file": "published.pth", "origin": "o", "licence": "MIT", "format": "tsm"},
        **{"base": ("network/tsm_r18", "data/something-v1"), "sha256": "0" * 64},
    )
    monkeypatch.setattr(registry, "released", lambda: {"mine": entry})
    assert main(["evaluate", table, "--row", "TSM", *SMOKE, "--weights", "mine", "--device", "cpu"]) == 2
    assert f"has the sha256 {registry.sha256_of(path)}, mine has {'0' * 64}" in capsys.readouterr().err


def test_a_table_shows_them_beside_its_row(trained: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated(table, run_of(table).checkpoint, capsys)
    assert main(["render", table, *SMOKE]) == 0
    out = capsys.readouterr().out
    cells = list(csv.DictReader((trained / "results/mine/one/smoke/cells.csv").open()))
    of_row = [(cell["kind"], cell["note"], cell["value"]) for cell in cells if cell["column"] == "top1"]
    assert [kind for kind, _, _ in of_row[:2]] == ["printed", "measured"]
    assert ("released", "released weights checkpoint.pt", of_row[1][2]) in of_row
    assert "Released weights, trained by others and evaluated here: TSM Top-1" in " ".join(out.split())


def test_what_weights_lack_is_said(trained: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command, said in (
        ([], "give --weights NAME or FILE"),
        (["--weights", "tsm-r50-something-v9"], "Did you mean 'tsm-r50-something-v"),
        (["--weights", "tsm-r50-something-v1"], "TSM_something_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth"),
        ([table, "--row", "TSN", "--weights", "a.pth"], "no measured row 'TSN'. Did you mean 'TSM'?"),
        ([table, "--row", "TSM", *SMOKE, "--weights", "none.pth"], "none.pth: no such file"),
        (["--weights", "some.pth"], "some.pth does not say its network: name a table and a --row"),
    ):
        assert main(["evaluate", *command]) == 2
        assert said in capsys.readouterr().err
    assert main(["evaluate", "--all-released"]) == 0
    out = capsys.readouterr().out
    assert "X3D_M.pyth, PyTorchVideo's model zoo" in out
    assert str(trained / "weights") in out


def test_a_video_is_said_what_the_stored_predictions_say(
    trained: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, split = run_of(table), open_split("motionpairs-tiny", "val")
    assert run.result is not None
    stored, _ = read_predictions(run, run.result)
    videos = [split.clips[i].path for i in (0, 5, 9)]
    ids = [split.clips[i].id for i in (0, 5, 9)]
    here = {str(name): row for name, row in zip(stored.ids, stored.logits, strict=True)}
    capsys.readouterr()
    command = ["predict", *map(str, videos), "gone.mp4", "--run", run.key[:8], "--top", "3"]
    assert main([*command, "--json", "--strip", str(trained / "strips")]) == 1
    printed = capsys.readouterr()
    assert "gone.mp4: no such video" in printed.err
    for entry, name in zip(json.loads(printed.out)["videos"], ids, strict=True):
        p = np.exp(here[name] - np.logaddexp.reduce(here[name]))
        said = {one["name"]: one["probability"] for one in entry["classes"]}
        assert list(said.values()) == sorted(said.values(), reverse=True)
        assert np.allclose(list(said.values()), np.sort(p)[::-1][:3], atol=1e-5)
        assert np.allclose(list(said.values()), [p[split.classes.index(c)] for c in said], atol=1e-5)
        with Image.open(entry["strip"]) as picture:
            assert picture.size == (8 * 56 + 7 * 4, 56)
    assert main([*command[:2], "--run", run.key, "--top", "1", "--csv"]) == 0
    lines = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert lines[0] == ["video", "rank", "class", "probability"]
    assert len(lines) == 2
    assert main([*command[:2]]) == 2
    assert "--run KEY, or --weights" in capsys.readouterr().err


def test_a_row_by_class(trained: Path, table: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(table)
    assert run.result is not None
    stored, metrics = read_predictions(run, run.result)
    assert main(["report", table, *SMOKE, "--row", "TSM"]) == 0
    assert "Most wrong" in capsys.readouterr().out
    folder = trained / "results/mine/one/smoke/rows/TSM"
    counts = list(csv.reader((folder / "confusion.csv").open()))
    matrix = np.array([line[1:] for line in counts[1:]], int)
    guesses = stored.logits.argmax(1)
    expected = [[int(((stored.labels == i) & (guesses == j)).sum()) for j in range(8)] for i in range(8)]
    assert matrix.tolist() == expected
    lines = list(csv.DictReader((folder / "per_class.csv").open()))
    assert np.isclose(np.mean([float(line["top1"]) for line in lines]), metrics["mean_class_acc"])
    assert {line["class"] for line in lines} == set(counts[0][1:])
    for i, line in enumerate(lines):
        others = [0 if i == j else expected[i][j] for j in range(8)]
        assert line["taken_for"] == (counts[0][1 + int(np.argmax(others))] if any(others) else "")
    wrong = list(csv.DictReader((folder / "most_wrong.csv").open()))
    label = dict(zip(stored.ids.tolist(), stored.labels.tolist(), strict=True))
    log_p = stored.logits - np.logaddexp.reduce(stored.logits, axis=1, keepdims=True)
    behind = dict(zip(stored.ids.tolist(), log_p.max(1) - log_p[np.arange(len(log_p)), stored.labels], strict=True))
    assert np.allclose([float(w["behind"]) for w in wrong], sorted(behind.values(), reverse=True)[: len(wrong)])
    assert all(w["class"] == counts[0][1 + label[w["clip"]]] for w in wrong)
    assert (folder / "confusion.png").stat().st_size > 10_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_export_is_the_network_elsewhere(
    trained: Path, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file = run_of(table), tmp_path / "tsm.safetensors"
    assert main(["export", table, "--row", "TSM", *SMOKE, "--out", str(file), "--onnx"]) == 0
    said = capsys.readouterr().out
    ours = benchmark.load(run.key)
    with torch.no_grad():
        scale = float(ours.model(torch.randn(1, 8, 3, 56, 56)).abs().max())
    assert float(said.split("tsm.onnx (")[1].split(" from torch")[0]) < 1e-5 * scale
    shutil.copy(file, tmp_path / "elsewhere.safetensors")
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "no-runs"))
    theirs = benchmark.load(tmp_path / "elsewhere.safetensors")
    assert theirs.classes == ours.classes == open_split("motionpairs-tiny", "val").classes
    assert theirs.config == ours.config
    assert run.result is not None
    assert theirs.metrics == run.result["metrics"]
    clips = torch.randn(2, 8, 3, 56, 56)
    with torch.no_grad():
        assert torch.equal(theirs.model(clips), ours.model(clips))
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        about = json.loads(opened.metadata()["benchmark"])
    assert (about["table"], about["row"], about["run"], about["seed"]) == ("mine-one", "TSM", run.key, 0)
    assert about["licence"].startswith("MIT")
    monkeypatch.setenv("BENCHMARK_RUNS", str(trained / "runs"))
    assert main(["export", table, "--row", "TSM", *SMOKE, "--seed", "3"]) == 2
    assert "seed 3, is not trained" in capsys.readouterr().err
