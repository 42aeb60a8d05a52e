"""What the command line says of a request that it does not understand."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmark.cli.main import build_parser, main
from benchmark.cli.rendering import results_folder
from benchmark.cli.text import tables_as_typed
from benchmark.spec.load import load_table


def test_a_misspelt_command_gets_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shwo", "bqn-3b"]) == 2
    assert capsys.readouterr().err == "no command 'shwo'. Did you mean 'show'?\n"


def test_a_table_that_is_not_there_gets_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "bqn-33b"]) == 2
    assert capsys.readouterr().err == "tables: no table 'bqn-33b'. Did you mean 'bqn-3b'?\n"


def test_a_table_with_settings_of_the_request_says_so_and_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    given = ["--set", "train.lr=0.1", "--set", "data.size = 64"]
    assert main(["render", "bqn-3b", *given]) == 0
    folder = tmp_path / "results/bqn/3b/data.size=64,train.lr=0.1"
    said = " ".join((folder / "table.md").read_text().split())
    assert "Every measured row has train.lr=0.1, data.size = 64, whatever the table and its files say." in said
    assert not (tmp_path / "results/bqn/3b/table.md").exists()
    names = {results_folder(load_table("bqn-3b", asked=(f"data.resize=[{n}, 64]",))).name for n in (32, 48)}
    assert len(names) == 2
    assert all(name.startswith("data.resize=_") for name in names)
    capsys.readouterr()
    assert main(["records", "add", "bqn-3b", *given]) == 2
    assert capsys.readouterr().err == "records are of tables as their files have them: leave --set out\n"


def test_a_command_is_said_again_with_what_chose_its_runs() -> None:
    given = ["bqn-3b", "own file.yaml", "--protocol", "paper", "--seeds", "4,", "--set", "data.resize=[64, 64]"]
    arguments = build_parser().parse_args(["status", *given])
    assert arguments.seeds == (4,)
    assert build_parser().parse_args(["status", *shlex.split(tables_as_typed(arguments))]) == arguments
    assert tables_as_typed(build_parser().parse_args(["status", "--all"])) == "--all"
