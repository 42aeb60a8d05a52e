"""Records: what is rendered from them is what was rendered from runs, and nothing else passes for one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmark
from benchmark.cli.main import main
from benchmark.cost.audit import row_configs
from benchmark.cost.cache import cost_path
from benchmark.cost.counters import count
from benchmark.plan import row_runs
from benchmark.report.exchange import check_folder
from benchmark.runs.atomic import write_atomic, write_json
from benchmark.runs.code import Executed, digests
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.runs.metrics import all_metrics, member_hits
from benchmark.runs.predictions import Predictions
from benchmark.runs.records.files import digest_of, packed, sealed, unsealed, write_sealed
from benchmark.runs.records.predictions import pack, unpack
from benchmark.spec.load import load_table

ROOT = Path(__file__).resolve().parents[2]
TABLE = "bqn-3a"  # Quiet, Busy, their average, BQN
CLIPS = 60
USED = Executed("benchmark/runs/metrics.py", "all_metrics", 0, with_all_it_names=True)


def made_run(row_config: Any, number: int, noise: float = 1.0, first_clip: int = 0) -> RunDir:
    """A finished run of a config, as the job leaves one; every third clip is hard."""
    run = RunDir.of(run_key(row_config))
    run.prepare(row_config)
    rng = np.random.default_rng(number)
    labels = np.arange(CLIPS) % 10
    logits = rng.normal(scale=noise, size=(CLIPS, 10)).astype(np.float32)
    logits[np.arange(CLIPS), labels] += np.where(np.arange(CLIPS) % 3, 3, 0)
    ids = np.array([f"{first_clip + i:06d}" for i in range(CLIPS)])
    np.savez_compressed(run.path / "predictions.npz", ids=ids, labels=labels, logits=logits)
    result = {"key": run.key, "seed": row_config.seed, "metrics": all_metrics(logits, labels), "num_clips": CLIPS}
    start = {"at": "2026-01-01", "commit": "c" * 40, "changes": None, "cpu": "A, AVX2"}
    env = {"seconds": 1.5, "starts": [start], "fingerprints": {"val": f"{first_clip}" * 64}, "device": "A, 2 cores"}
    epochs = [{"epoch": i, "loss": 2.0 / (i + 1), "residual": float("nan")} for i in range(3)]
    write_atomic(run.path / "metrics.jsonl", "".join(f"{json.dumps(line)}\n" for line in epochs))
    write_json(run.path / "code.json", {"symbols": digests([USED])})
    write_json(run.path / "behaviour.json", {"losses": [1.25, 0.1]})
    write_json(run.path / "env.json", env)
    write_json(run.path / "result.json", result)
    return run


@pytest.fixture(scope="module")
def counted() -> str:
    """The cost of a small network, which stands for those of all rows: to count these takes a while."""
    config = load_table(TABLE).rows[0].config
    assert config is not None
    return count(config).model_dump_json()


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: str) -> Path:
    """The records of finished runs of TABLE; runs and results are beside it."""
    for name in ("RUNS", "RESULTS", "RECORDS"):
        monkeypatch.setenv(f"BENCHMARK_{name}", str(tmp_path / name.lower()))
    for number, row in enumerate(load_table(TABLE).rows):
        if row.config is None:
            continue
        made_run(row_runs(row, (0,))[0][1], number)
        for config in row_configs(row):
            path = cost_path(config)
            path.parent.mkdir(exist_ok=True)
            path.write_text(counted)
    assert main(["records", "add", TABLE]) == 0
    return tmp_path / "records"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_torch(folder: Path, tmp_path: Path, **further: str) -> subprocess.CompletedProcess[str]:
    """`records render` in a folder, by an interpreter that cannot import torch and knows no folder of ours."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise ImportError('torch is not there')")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BENCHMARK_")}
    nowhere = {f"BENCHMARK_{name}": str(tmp_path / "nowhere" / name) for name in ("RUNS", "DATA", "WEIGHTS")}
    command = [sys.executable, "-m", "benchmark", "records", "render"]
    environment = {**kept, **nowhere, "PYTHONPATH": str(blocked), **further}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def cloned(tmp_path: Path) -> Path:
    """A copy of what git knows."""
    clone = tmp_path / "clone"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, clone / name)
    return clone


@pytest.mark.slow
def test_committed_tables_come_back_byte_for_byte_from_a_clone(tmp_path: Path) -> None:
    """`make results`, without torch, runs or data."""
    clone = cloned(tmp_path)
    before = contents(clone / "results")
    (clone / "results" / "msnet" / "9" / "table.tex").unlink()
    done = without_torch(clone, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "msnet-9" in done.stderr
    seconds = re.fullmatch(r"\d+ tables in (\d+\.\d) s on \d+ cores", done.stderr.splitlines()[-1])
    assert seconds is not None
    assert 0 < float(seconds[1]) < 60
    assert contents(clone / "results") == before


@pytest.mark.slow
def test_rendering_from_records_is_rendering_from_their_runs(recorded: Path, tmp_path: Path) -> None:
    edited, verified, _ = (tmp_path / "runs").glob("*/code.json")
    write_json(verified, {"symbols": {USED.file: {"all_metrics": "00000000"}}})
    found = {"at": "2026-01-02", "on": {"kind": "cpu"}, "equal": True, "deviation": 0.0}
    write_json(verified.with_name("verified.json"), {**found, "symbols": digests([USED])})
    for symbol in ("all_metrics", "top_k_accuracy"):  # what only the first of these names is dropped
        write_json(edited, {"symbols": {USED.file: {symbol: "00000000"}}})
        assert main(["records", "add", TABLE]) == 0
    held = contents(recorded)
    assert main(["records", "add", TABLE]) == 0
    assert contents(recorded) == held
    assert max(map(len, held.values())) < 25_000
    assert check_folder(recorded) == []
    results = tmp_path / "results"
    assert main(["render", TABLE]) == 0
    of_runs = contents(results)
    text = " ".join(of_runs["bqn/3a/table.md"].decode().split())
    assert "1 of 3 runs trained by other code: runs/metrics.py changed" in text
    clone = cloned(tmp_path)
    shutil.copytree(recorded, clone / "results" / "records", dirs_exist_ok=True)
    shutil.rmtree(results)
    done = without_torch(clone, tmp_path, BENCHMARK_RESULTS=str(results))
    assert done.returncode == 0, done.stderr
    made = contents(results)
    assert {name: made[name] for name in of_runs} == of_runs
    assert "claims.md" in made


def test_a_table_says_which_rows_are_of_records(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An average over a run and a record is near, and says that it is no more."""
    before = benchmark.cells(TABLE)
    victim = RunDir.of(
        run_key(next(row.config for row in load_table(TABLE).rows if row.label == "Busy" and row.config))
    )
    shutil.rmtree(victim.path)
    capsys.readouterr()
    assert main(["run", TABLE, "--from-records"]) == 0  # trains nothing
    text = " ".join(capsys.readouterr().out.split())
    assert "From records, not run here: Busy; Quiet+Busy." in text
    assert "averaged from probabilities as records keep them" in text
    after = benchmark.cells(TABLE)
    single = (before.column == "top1") & (before.kind == "measured") & (before.label != "Quiet+Busy")
    assert after[single].value.equals(before[single].value)
    fused = (before.column == "top1") & (before.kind == "measured") & (before.label == "Quiet+Busy")
    assert abs(after[fused].value.iloc[0] - before[fused].value.iloc[0]) <= 100 * 2 / CLIPS


def test_a_run_of_before_code_was_recorded_is_refused(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next(Path(os.environ["BENCHMARK_RUNS"]).glob("*/code.json"))
    run.unlink()
    assert main(["records", "add", TABLE]) == 1
    assert f"{run} is not there" in (said := capsys.readouterr().err)
    assert "--again" in said


def test_a_changed_byte_anywhere_is_refused(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted(recorded.rglob("*.json")):
        held = path.read_bytes()
        for number, at in enumerate(range(0, len(held), len(held) // 6)):
            changed = held[:at] + bytes([held[at] ^ 1]) + held[at + 1 :], held[:at] + b" " + held[at:]
            path.write_bytes(changed[number % 2])
            wrong = check_folder(recorded)
            assert any(path.name in line and "\n" not in line for line in wrong), (path, at)
        path.write_bytes(held)
    assert check_folder(recorded) == []
    victim = recorded / "runs" / f"{run_key(load_table(TABLE).rows[0].config)}.json"  # type: ignore[arg-type]
    victim.write_bytes(victim.read_bytes().replace(b'"seed":0', b'"seed":1', 1))
    shutil.rmtree(os.environ["BENCHMARK_RUNS"])
    assert main(["records", "render"]) == 1
    assert f"{victim} is damaged (its sha256 is not that of its content)" in capsys.readouterr().err
    cells = benchmark.cells(TABLE)
    cell = cells[(cells.label == "Quiet") & (cells.column == "top1")].iloc[1]
    assert cell.note.startswith("damaged")


def _edit(**values: Any) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        for place, value in values.items():
            *parents, leaf = place.split("__")
            node = content
            for name in parents:
                node = node[name]
            node[leaf] = value

    return change


def _hit_more(content: dict[str, Any]) -> None:
    """Every label at rank 0, every prediction its label, and the metrics to match."""
    zeros = pack(Predictions(np.arange(CLIPS), np.zeros(CLIPS, int), np.eye(1, 10).repeat(CLIPS, 0)))
    content["predictions"] |= {name: zeros[name] for name in ("ranks", "predicted")}
    content["metrics"] = dict.fromkeys(content["metrics"], 100.0)
    content["result"]["metrics"] = content["metrics"]


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a metric": (_edit(metrics__top1=99.0), "top1 is 99, but"),
    "ranks and metrics": (_hit_more, "ranks of labels are not those of its probabilities"),
    "another recipe": (_edit(config__train__lr=0.5), "its key is not that of its config"),
    "another run's result": (_edit(result__key="0" * 16), "it is of run 0000000000000000"),
    "fewer clips": (_edit(result__num_clips=CLIPS - 1), f"its result says {CLIPS - 1}"),
    "a field more": (_edit(comment="x"), "comment: Extra inputs are not permitted"),
    "text for a number": (_edit(metrics__top1="99"), "metrics.top1: Input should be a valid number"),
    "no such setting": (_edit(config__train__speed=2), "train.speed"),
    "other clips": (_edit(predictions__clips="0" * 16), "it is gone"),
    "predictions cut": (_edit(predictions__ranks="00"), "unpack"),
    "many classes": (_edit(predictions__classes=60_000), "its predictions are not of motionpairs-2"),
    "no fingerprint": (_edit(env__fingerprints={}), "no fingerprint of its validation clips"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_with_a_right_seal_is_refused(name: str, recorded: Path) -> None:
    change, said = FORGERIES[name]
    path = sorted((recorded / "runs").glob("*.json"))[0]
    content = unsealed(path, path.read_bytes())
    change(content)
    write_sealed(path, content)
    assert any(said in line and path.stem in line for line in check_folder(recorded)), check_folder(recorded)


def test_a_record_of_other_defaults_is_refused_as_a_run_is(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted((recorded / "runs").glob("*.json"))[0]
    content = unsealed(path, path.read_bytes())
    content["config"]["train"]["nesterov"] = True
    write_sealed(path, content)
    shutil.rmtree(os.environ["BENCHMARK_RUNS"])
    assert main(["render", TABLE]) == 2
    assert "train.nesterov: True when it was run, False now" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(480, 8), (2600, 12), (40, 64), (40, 65), (3, 1), (2000, 400)])
def test_kept_predictions_give_every_metric_to_the_digit(shape: tuple[int, int]) -> None:
    clips, classes = shape
    rng = np.random.default_rng(clips)
    labels = rng.integers(0, classes, clips)
    logits = rng.normal(scale=2, size=shape).astype(np.float32).round(1)  # with ties
    logits[np.arange(clips), labels] += 3
    logits[0] = 0
    logits[1, 0], logits[2, -1] = np.nan, np.inf
    found = Predictions(np.arange(clips).astype(str), labels, logits)
    kept = pack(found)
    back = unpack(json.loads(json.dumps(kept)), found.ids, labels)
    finite = ~np.isnan(logits).any(axis=1)
    assert (back.logits[finite].argmax(axis=1) == logits[finite].argmax(axis=1)).all()
    assert all_metrics(back.logits, labels) == all_metrics(logits, labels)
    if classes % 2 == 0 and classes <= 64:
        assert (member_hits(back.logits, labels) == member_hits(logits, labels))[np.arange(clips) != 2].all()
        kept["ahead"] = packed(bytes(255 - byte for byte in np.packbits(member_hits(logits, labels))))
        with pytest.raises(ValueError, match="contradict each other"):
            unpack(kept, found.ids, labels)
    assert np.isnan(back.logits[1]).all()
    assert len(json.dumps(kept)) < max(20_000, 18 * clips)


def _file(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_files_of_others_are_read_with_care(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "a.zip"
    assert main(["records", "export", TABLE, str(whole)]) == 0
    assert main(["records", "export", TABLE, str(tmp_path / "b.zip")]) == 0
    assert whole.read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert main(["records", "check", str(whole)]) == 0
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    run = next(name for name in files if name.startswith("runs/"))
    clips = next(name for name in files if name.startswith("clips/"))
    unused = {"symbols": {"a.py": {"b": "c"}}}
    outside = {"symbols": {"../../a.py": {"b": "c"}}}
    bad = {
        "../runs/0000000000000000.json": files | {"../runs/0000000000000000.json": b"{}"},
        "is no name of a record": files | {"runs/x.pkl": b"x"},
        "larger than a record": files | {run: b"0" * (65 << 20)},
        "and " + Path(run).name + " needs it": {name: data for name, data in files.items() if name != clips},
        "no run here names it": files | {f"code/{digest_of(unused)}.json": sealed(unused)},
        "names a file outside": files | {f"code/{digest_of(outside)}.json": sealed(outside)},
        "there is no run in it": {},
        "no strict JSON": files | {run: b"[" * 200_000},
        "its format is 2": files | {run: files[run].replace(b'"format":1', b'"format":2')},
    }
    capsys.readouterr()
    for said, content in bad.items():
        status = main(["records", "check", str(_file(tmp_path / "bad.zip", content))])
        assert status in (1, 2)
        assert said in capsys.readouterr().err, said
        assert main(["records", "merge", str(tmp_path / "bad.zip"), "--name", "lab"]) == 2
        capsys.readouterr()
    whole.write_bytes(whole.read_bytes()[:-100])
    assert main(["records", "check", str(whole)]) == 2
    assert main(["records", "merge", str(tmp_path / "b.zip"), "--name", "../lab"]) == 2
    assert main(["records", "merge", str(tmp_path / "b.zip"), "--name", "lab"]) == 2
    assert "ours already" in capsys.readouterr().err
    assert not (recorded / "theirs").exists()
    assert not (tmp_path / "runs" / "0000000000000000.json").exists()


def test_rows_of_others_stand_beside_ours(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", TABLE]) == 0
    ours = contents(tmp_path / "results")
    for lab, noise in (("eth", 1.5), ("mit", 0.5)):
        monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / lab / "runs"))
        monkeypatch.setenv("BENCHMARK_RECORDS", str(tmp_path / lab / "records"))
        for number, row in enumerate(load_table(TABLE).rows):
            for seed, config in row_runs(row, (0, 1)) if row.config and row.label != "BQN" else ():
                made_run(config, 10 * number + seed, noise, first_clip=2 if lab == "eth" else 0)
        assert main(["records", "add", TABLE, "--seeds", "2"]) == 1  # BQN was not run
        assert main(["records", "export", TABLE, str(tmp_path / f"{lab}.zip"), "--seeds", "2"]) == 0
        monkeypatch.setenv("BENCHMARK_RECORDS", str(recorded))
        capsys.readouterr()
        assert main(["records", "merge", str(tmp_path / f"{lab}.zip")]) == 0
        remark = "bqn-3a 'Quiet': on other clips than ours: 58 of 60 ids shared"
        assert (f"{lab}: {remark}" in capsys.readouterr().out) == (lab == "eth")
    assert main(["records", "check"]) == 0
    assert capsys.readouterr().out.count("on other clips than ours") == 2  # Quiet and Busy of eth
    held = contents(recorded)
    assert main(["records", "merge", str(tmp_path / "mit.zip"), "--name", "mit"]) == 0
    assert contents(recorded) == held
    capsys.readouterr()
    assert main(["records", "merge", str(tmp_path / "eth.zip"), "--name", "mit"]) == 2
    assert "is there with other content" in capsys.readouterr().err
    assert contents(recorded) == held
    assert check_folder(recorded) == []
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    assert main(["render", TABLE]) == 0
    files = contents(tmp_path / "results")
    text = files["bqn/3a/table.md"].decode()
    assert "| theirs: Quiet+Busy (mit)" in text
    assert "theirs: BQN" not in text
    assert "Run by eth: A, 2 cores" in text
    assert text.count("On other clips than ours: 58 of 60 ids shared.") == 1  # a note of all their rows
    assert files["bqn/3a/claims.csv"] == ours["bqn/3a/claims.csv"]
    assert b"theirs-mit" in files["bqn/3a/plot.svg"]
    assert b"theirs: Quiet (eth)" in files["bqn/3a/table.tex"]
    runs = json.loads(files["bqn/3a/PROVENANCE.json"])["runs"]
    assert sum(run.get("lab") == "eth" for run in runs) == 4
    lines = set(ours["bqn/3a/table.csv"].decode().splitlines())
    assert lines <= set(files["bqn/3a/table.csv"].decode().splitlines())
    # Without runs of ours the claims are judged by theirs, and are no states of ours.
    shutil.rmtree(recorded / "runs")
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(tmp_path / "results")
    assert main(["render", TABLE]) == 0
    assert "the claims are judged by those of eth" in " ".join(capsys.readouterr().out.split())
    assert "(runs of eth)" in (tmp_path / "results" / "bqn" / "3a" / "claims.csv").read_text()
    assert main(["claims", "--json", TABLE]) == 0
    found = {entry["ours"] for entry in json.loads(capsys.readouterr().out)["claims"]}
    assert found == {"not measured yet"}
