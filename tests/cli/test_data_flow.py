"""`data flow` and `run` extract the flow of the interval that is asked for."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.cli import running
from benchmark.cli.main import main
from benchmark.plan import make_plan
from benchmark.spec.load import load_table

TABLE = """\
paper: own
table: low
caption: Flow between frames that are 1 and 4 frames apart.
dataset: motionpairs-tiny
columns: [top1]
base: [network/flow_r50, recipe/bqn, data/something-v1]
rows:
  - {label: 8x1, set: {model.flow.frames: 1}}
  - {label: 8x1 low, set: {model.flow: {frames: 1, interval: 4}}}
  - {label: 8x5 low, set: {model.flow.interval: 4}}
  - {label: 8x1 again, set: {model.flow: {frames: 1, interval: 1}}}
  - {label: RGB, base: network/tsm_r50}
"""


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Data set, split and interval of every extraction, of which none takes place."""
    calls: list[tuple[str, str, int]] = []

    def extract(split: SimpleNamespace, progress: object, interval: int, images: None) -> SimpleNamespace:
        calls.append((split.name, split.split, interval))
        return SimpleNamespace(unreadable={"000007": "cut short"} if interval == 3 and split.split == "val" else {})

    monkeypatch.setattr("benchmark.cli.data.prepare_with_progress", lambda name: None)
    monkeypatch.setattr("benchmark.data.datasets.open_split", lambda name, s: SimpleNamespace(name=name, split=s))
    monkeypatch.setattr("benchmark.data.flow.extracted.extract_flow", extract)
    return calls


def test_data_flow_extracts_both_splits_at_the_interval(
    extracted: list[tuple[str, str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "flow", "--interval", "4", "motionpairs-tiny"]) == 0
    assert extracted == [("motionpairs-tiny", split, 4) for split in ("train", "val")]
    assert capsys.readouterr().out == "motionpairs-tiny: flow over 4 frames extracted\n"
    extracted.clear()
    assert main(["data", "flow", "--interval", "1", "motionpairs-tiny"]) == 0
    assert extracted == [("motionpairs-tiny", split, 1) for split in ("train", "val")]
    assert capsys.readouterr().out == "motionpairs-tiny: flow extracted\n"
    assert main(["data", "flow", "--interval", "3", "motionpairs-tiny"]) == 1
    assert "but for 1 unreadable clips:\n  000007: cut short" in capsys.readouterr().out


def test_a_run_extracts_each_interval_that_a_row_reads_once(
    extracted: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    spec = tmp_path / "low.yaml"
    spec.write_text(TABLE)
    plan = make_plan([load_table(str(spec), "smoke", None)])
    assert len(plan.runs) == 4
    running.prepare_data(run.config for run in plan.runs.values())
    assert extracted == [("motionpairs-tiny", split, interval) for interval in (1, 4) for split in ("train", "val")]
    intervals = [json.loads(run.config.model_dump_json())["model"]["flow"]["interval"] for run in plan.runs.values()]
    assert intervals == [1, 4, 4, 1]
