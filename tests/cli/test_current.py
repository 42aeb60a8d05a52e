"""Runs by other code: what the commands and the table say of them, and which `--again` makes anew."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import running
from benchmark.cli.main import main
from benchmark.data.datasets import prepare
from benchmark.launch.pending import is_to_do
from benchmark.plan import make_plan
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.made_by import VERIFIED
from benchmark.spec.load import load_table
from tests.data.trees import ucf_tree

NET = """\
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from torch import nn
from block import Block


class Net(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.block, self.fc = Block(), nn.Linear(8, num_classes)

    def forward(self, x):
        maps = self.block(x.flatten(0, 1))
        return self.fc(maps.mean((2, 3)).unflatten(0, x.shape[:2]).mean(1))
"""
BLOCK = "from torch import nn\n\n\ndef Block():\n    return nn.Conv2d(3, 8, 3, stride=4)\n"
TABLE = """\
paper: own
table: stale
caption: A network in two files, and one of this package.
dataset: ucf101
columns: [top1]
base: recipe/bqn
set:
  data: {dataset: ucf101, size: 32, segments: 2}
  train: {epochs: 1, warmup_epochs: 0, batch_size: 4, lr: 0.05}
  eval: {scale: 36}
rows:
  - {label: own, set: {model: {name: custom, entry: "net.py:Net", frames_per_segment: 1}}}
  - {label: small, set: {model: {name: tsm_resnet, depth: 18, width: 0.125}}}
"""
OF_TABLE = ["stale.yaml", "--protocol", "paper", "--seeds", "1"]
RUN = ["run", *OF_TABLE, "--device", "cpu"]
SAID = "trained by other code: block.py changed"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    ucf_tree(tmp_path / "ucf")
    for name, value in (("DATA", "made"), ("RUNS", "runs"), ("RESULTS", "results"), ("UCF101", "ucf")):
        monkeypatch.setenv(f"BENCHMARK_{name}", str(tmp_path / value))
    monkeypatch.setattr(running, "count", lambda *_: True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "block", raising=False)
    prepare("ucf101", workers=1)
    for name, text in (("net.py", NET), ("block.py", BLOCK), ("stale.yaml", TABLE)):
        Path(name).write_text(text)
    return "stale.yaml"


@pytest.mark.slow
def test_an_edit_of_a_second_file_is_said_and_its_runs_alone_are_made_anew(
    spec: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def shown(command: str) -> Any:
        capfd.readouterr()
        assert main([command, spec, "--protocol", "paper", "--seeds", "1", "--json"]) == 0
        found = json.loads(capfd.readouterr().out)
        return [run["other_code"] for run in (found["run_list"] if command == "plan" else found)]

    assert main(RUN) == 0
    folder = Path("results/own/stale/paper")
    assert "code" not in capfd.readouterr().err
    assert shown("plan") == shown("status") == [None, None]
    own, small = map(RunDir.of, make_plan([load_table(spec, "paper", (0,))]).runs)

    Path("block.py").write_text(f'"""Of a comment more."""\n{BLOCK}')
    assert shown("plan") == [None, None]
    Path("block.py").write_text(BLOCK.replace("stride=4", "stride=2"))
    assert shown("plan") == shown("status") == [{"what": SAID, "changed": {"block.py": ["Block"]}}, None]
    assert main(RUN) == 0
    told = capfd.readouterr()
    assert f"1 of 2 finished runs are not by today's code:\n    1 {SAID}\n  `run own-stale --again`" in told.err
    table = (folder / "table.md").read_text()
    assert f"1 of 2 runs {SAID}." in " ".join(table.split())
    assert table.count(SAID) == 2  # in the caption, and below the row
    assert next(line for line in (folder / "cells.csv").read_text().splitlines() if SAID in line).count("own") == 2
    assert [run.get("other_code") for run in _runs(folder)].count(SAID) == 1

    before = {run: (run.path / "result.json").stat().st_mtime_ns for run in (own, small)}
    assert main([*RUN, "--again"]) == 0
    assert [(run.path / "result.json").stat().st_mtime_ns == at for run, at in before.items()] == [False, True]
    assert not (own.path / "replaced").exists()
    assert shown("plan") == [None, None]
    assert SAID not in (folder / "table.md").read_text()


def _runs(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "PROVENANCE.json").read_text())["runs"]
    return found


@pytest.mark.slow
def test_a_run_of_before_says_so_and_one_that_was_verified_is_current(
    spec: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(RUN) == 0
    plan = make_plan([load_table(spec, "paper", (0,))]).runs
    _, small = plan.values()
    run = RunDir.of(small.key)
    code = json.loads((run.path / "code.json").read_text())
    assert not is_to_do(small, again=True)

    (run.path / "code.json").unlink()
    assert main(["status", spec, "--protocol", "paper", "--seeds", "1"]) == 0
    assert "    1 trained by code that was not recorded\n" in capsys.readouterr().out
    assert is_to_do(small, again=True)

    code["symbols"]["benchmark/train/loop.py"]["train_epoch"] = "of then"
    write_json(run.path / "code.json", code)
    assert is_to_do(small, again=True)
    assert not is_to_do(small)
    assert main(["verify", spec, "--protocol", "paper", "--seeds", "1"]) == 0
    assert json.loads((run.path / VERIFIED).read_text())["symbols"].keys() == code["symbols"].keys()
    assert not is_to_do(small, again=True)
    monkeypatch.setenv("BENCHMARK_RECORDS", "records")
    assert main(["records", "add", *OF_TABLE]) == 0
    shutil.rmtree("runs")
    _verify_records(capsys, monkeypatch)


def _verify_records(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With no run here, records say what the code has come to since, and `verify` what this means."""

    def told(command: str, block: str, *options: str) -> tuple[int, str, bool]:
        """Exit status, output and whether the table says that the code has changed, by this block.py."""
        Path("block.py").write_text(block)
        monkeypatch.delitem(sys.modules, "block", raising=False)
        capsys.readouterr()
        status, said = main([command, *OF_TABLE, *options]), capsys.readouterr().out
        assert main(["render", *OF_TABLE]) == 0
        return status, said, SAID in Path("results/own/stale/paper/table.md").read_text()

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path("records").rglob("*.json")}

    first = contents()
    renamed = BLOCK.replace("return nn", "conv = nn") + "    return conv\n"
    assert told("render", renamed)[2]
    status, said, noted = told("verify", renamed)
    assert (status, noted) == (0, False)
    assert "2 of 2 finished runs behave as then (2 by their records)." in said
    assert told("verify", renamed)[0] == 0
    key = next(iter(make_plan([load_table(OF_TABLE[0], "paper", (0,))]).runs))
    verified = contents()
    changed = {path for path in verified if verified[path] != first.get(path)}
    assert {path for path in changed if path.parent.name == "runs"} == {Path(f"records/runs/{key}.json")}
    assert len(changed) == 2  # with the code by which it was verified
    assert told("render", BLOCK)[2] is False  # as it was made

    other = BLOCK.replace("stride=4", "stride=2")
    status, said, noted = told("verify", other)
    assert (status, noted) == (1, True)
    assert contents() == verified  # what was found of the code of then stays true of it
    said = told("status", other)[1]
    assert f"1 of 2 finished or recorded runs are not by today's code:\n    1 {SAID}\n  `run own-stale` trains" in said
    assert said.count("pending, has a record") == 2
    assert "runs are not" not in told("plan", renamed)[1]
    assert told("run", other, "--from-records", "--device", "cpu")[::2] == (0, True)
    assert not list(Path("runs").glob("*/result.json"))
    assert told("run", other, "--from-records", "--again", "--device", "cpu")[::2] == (0, False)
    assert [path.parent.name for path in Path("runs").glob("*/result.json")] == [key]
