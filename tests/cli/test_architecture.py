"""Architecture tables as a user asks for them: alone, among a paper's other tables, and by a path."""

import csv
import json
from pathlib import Path

import pytest

from benchmark.cli.main import main

SPEC = """\
kind: architecture
paper: mine
table: layers
caption: Layers.
networks:
  net: {base: network/tsm_r50, set: {model.depth: 18}}
rows:
  - {label: stem, at: backbone.conv1, operation: "1x7x7, 64, stride 1,2,2", output: below}
  - {label: pool, at: backbone.maxpool, operation: "1x2x2 max pool, stride 2", output: Tx56x56, note: Drawn so.}
"""


@pytest.fixture(autouse=True)
def _empty_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "layers.yaml"
    path.write_text(SPEC)
    return str(path)


@pytest.mark.parametrize("command", [["run", "--time"], ["render"], ["cost"], ["run", "--protocol", "smoke"]])
def test_the_check_is_written_and_printed(
    command: list[str], spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command[0], spec, *command[1:]]) == 0
    out = capsys.readouterr().out
    folder = tmp_path / "results" / "mine" / "layers"
    assert {path.name for path in folder.iterdir()} == {"table.md", "table.csv", "table.tex"}
    assert (folder / "table.md").read_text().rstrip() in out
    assert "1 of 2 layers agree in all that is printed." in " ".join(out.split())
    assert "Differs: kernel 1x3x3; printed 1x2x2." in out
    assert "Drawn so." in out
    with (folder / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["layer"], line["our_output"], line["agrees"]) for line in lines] == [
        ("stem", "8x112x112", "True"),
        ("pool", "8x56x56", "False"),
    ]
    tex = (folder / "table.tex").read_text()
    assert r"pool\textsuperscript{1,2} & 1x2x2 max pool, stride 2 & 1x3x3 max pool, 64, stride 1,2,2" in tex
    assert not any(line.strip(" &\\") == "" for line in tex.split("\n") if "&" in line)


def test_rendering_again_changes_nothing(spec: str, tmp_path: Path) -> None:
    assert main(["render", spec]) == 0
    files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "results").rglob("table.*")}
    assert main(["render", spec]) == 0
    assert files == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_networks_that_say_the_same_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "msnet-9"]) == 0
    lines = [[c.strip(" ¹²³⁴") for c in line.split("|")[1:-1]] for line in capsys.readouterr().out.split("\n")]
    networks = {line[0]: [other[1] for other in lines if other[:1] == line[:1]] for line in lines if len(line) == 7}
    assert networks["conv_1"] == networks["head"] == ["all"]
    assert networks["res_3"] == ["ResNet-18", "TSM ResNet-18", "ResNet-50", "TSM ResNet-50"]


@pytest.mark.parametrize("command", ["plan", "status", "time", "submit"])
def test_there_is_nothing_to_train(command: str, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, spec, *(["--cluster", "dev"] if command == "submit" else [])]) == 0
    out = capsys.readouterr().out
    assert out == "Nothing to train or time for mine-layers: `run` compares the printed layers with ours.\n"


def test_beside_other_tables_it_asks_for_no_run(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", spec, "bqn-3b"]) == 0
    assert "ask for 4 runs; 0 are shared, so 4 are needed" in capsys.readouterr().out
    assert main(["status", "bqn-3b", spec]) == 0
    assert "4 runs: 4 pending." in capsys.readouterr().out


def test_json(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*arguments: str) -> object:
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    costs = answer("cost", spec)
    assert isinstance(costs, dict)
    assert [(c["layer"], c["agrees"]) for c in costs["mine-layers"]] == [("stem", True), ("pool", False)]
    folder = tmp_path / "results" / "mine" / "layers"
    names = ["table.csv", "table.md", "table.tex"]
    assert answer("render", spec) == {"mine-layers": [str(folder / name) for name in names]}
    assert answer("status", spec) == []
    plan, shown = answer("plan", spec), answer("show", spec)
    assert isinstance(plan, dict)
    assert isinstance(shown, list)
    assert (plan["runs"], plan["run_list"]) == (0, [])
    assert shown[0]["layers"][0]["operations"] == {"net": "1x7x7, 64, stride 1,2,2"}


def test_list_and_show(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    order = [entry["table"] for entry in entries]
    assert order[order.index("thesis-4.1") - 1 :][:3] == ["thesis-3.13", "thesis-4.1", "thesis-4.2"]
    assert entries[order.index("thesis-4.1")] | {"caption": ""} == {
        "table": "thesis-4.1",
        "caption": "",
        "rows": 6,
        "claims": 0,
        "runs": 0,
        "done": 0,
    }
    assert main(["show", "thesis-4.1"]) == 0
    out = capsys.readouterr().out
    assert "[1x1x1,128; 1x3x3,128; 1x1x1,512] x4, RNL / CPA" in out
    assert "backbone.layer2" in out


def test_a_mistake_is_reported_beside_those_of_other_tables(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(spec).write_text(SPEC.replace("1x7x7, 64", "7x7, 64"))
    assert main(["run", spec, str(tmp_path / "missing.yaml")]) == 2
    err = capsys.readouterr().err
    assert "layers.yaml:8: operation: cannot read" in err
    assert "missing.yaml: no such file" in err
    Path(spec).write_text(SPEC.replace("backbone.maxpool", "backbone.minpool"))
    assert main(["run", spec]) == 2
    assert "layers.yaml:9: net: no module 'minpool'" in capsys.readouterr().err
