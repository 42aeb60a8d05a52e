"""Results folders: files come together or not at all, and nothing is replaced by less than it holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.report.render import render
from benchmark.report.writing import ResultsError, check_writable, replace_together
from benchmark.spec.table import Table


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_that_lose_nothing_are_replaced(make: SimpleNamespace, table_3b: Table, tmp_path: Path) -> None:
    runs, costs = make.runs(table_3b), make.costs(table_3b)
    one = {label: results[:1] for label, results in runs.items()}
    assert render(table_3b, one, costs, tmp_path).paths
    more = render(table_3b, runs, costs, tmp_path)
    assert (more.lost, len(more.paths)) == ([], 8)
    assert "(3)" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize("left", ["no run", "fewer seeds", "one row", "no costs"])
def test_a_folder_that_holds_more_is_left_as_it_is(
    left: str, make: SimpleNamespace, table_3b: Table, tmp_path: Path
) -> None:
    runs, costs = make.runs(table_3b), make.costs(table_3b)
    render(table_3b, runs, costs, tmp_path)
    before = _content(tmp_path)
    fewer = {
        "no run": {},
        "fewer seeds": {label: results[:2] for label, results in runs.items()},
        "one row": {label: results for label, results in runs.items() if label != "8"},
        "no costs": runs,
    }[left]
    found = render(table_3b, fewer, {} if left == "no costs" else costs, tmp_path)
    assert found.paths == []
    assert found.lost
    assert found.markdown.startswith("# bqn-3b")
    assert _content(tmp_path) == before
    if left == "fewer seeds":
        assert "top1 of '0': 3 seeds, now 2" in found.lost
    forced = render(table_3b, fewer, {} if left == "no costs" else costs, tmp_path, force=True)
    assert forced.paths
    assert _content(tmp_path) != before


def test_what_the_table_no_longer_has_is_not_missed(make: SimpleNamespace, table_3b: Table, tmp_path: Path) -> None:
    runs, costs = make.runs(table_3b), make.costs(table_3b)
    render(table_3b, runs, costs, tmp_path)
    fewer = table_3b.model_copy(update={"rows": table_3b.rows[:3], "claims": ()})
    assert render(fewer, runs, costs, tmp_path).lost == []


def test_a_plot_that_fails_keeps_no_table_from_being_written(
    make: SimpleNamespace, table_3b: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> dict[str, bytes]:
        raise ValueError("Parse failed: $x_$")

    monkeypatch.setattr("benchmark.report.render.accuracy_against_cost", broken)
    found = render(table_3b, make.runs(table_3b), make.costs(table_3b), tmp_path)
    assert {path.name for path in found.paths} >= {"table.md", "cells.csv"}
    assert found.problems == ["bqn-3b: plot cannot be drawn: ValueError: Parse failed: $x_$"]
    assert not (tmp_path / "plot.svg").exists()


@pytest.mark.parametrize("fails_at", range(1, 5))
@pytest.mark.parametrize("how", ["fsync", "replace"])
def test_an_error_at_any_file_leaves_all_as_they_were(
    fails_at: int, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"a": "1", "b": "2", "c": "3"}
    replace_together(tmp_path, old)
    (tmp_path / "of the user").write_text("stays")
    before, count = _content(tmp_path), 0
    owner = os if how == "fsync" else Path
    real: Callable[..., object] = getattr(owner, how)

    def failing(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == fails_at:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(owner, how, failing)
    new: dict[str, str | bytes | None] = {"a": "one", "b": "two", "c": None, "d": "four", "e": "five"}
    with pytest.raises(ResultsError, match=r"No space left on device.*BENCHMARK_RESULTS"):
        replace_together(tmp_path, new)
    monkeypatch.undo()
    assert _content(tmp_path) == before
    replace_together(tmp_path, new)
    assert _content(tmp_path) == {"a": b"one", "b": b"two", "d": b"four", "e": b"five", "of the user": b"stays"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_table_whole(
    make: SimpleNamespace, table_3b: Table, small_disk: Path, tmp_path: Path
) -> None:
    """On a disk that has room for the old files and not for the new ones."""
    runs, costs = make.runs(table_3b), make.costs(table_3b)
    folder = small_disk / "bqn" / "3b"
    replace_together(folder, {"table.md": "old", "plot.png": b"old"})
    before = _content(folder)
    with pytest.raises(ResultsError, match="No space left"):
        render(table_3b, runs, costs, folder)
    assert _content(folder) == before


def test_a_folder_that_cannot_be_written_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(ResultsError, match=r"results/bqn/3b cannot be written \(Not a directory\).*BENCHMARK_RESULTS"):
        check_writable(tmp_path / "results" / "bqn" / "3b")
    check_writable(tmp_path / "new" / "bqn")
    assert list((tmp_path / "new" / "bqn").iterdir()) == []


def test_run_checks_the_results_folder_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.cli.main import main

    (tmp_path / "results").write_text("a file")
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))
    assert main(["run", "bqn-3b"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "content", [b"", b"<<<<<<< HEAD\n", b"\xff\xfe", b"label,column,kind,value,n\n0,top1,measured,1,x\n"]
)
def test_a_record_that_cannot_be_read_is_not_replaced(
    content: bytes, make: SimpleNamespace, table_3b: Table, tmp_path: Path
) -> None:
    (tmp_path / "cells.csv").write_bytes(content)
    found = render(table_3b, make.runs(table_3b), make.costs(table_3b), tmp_path)
    assert found.paths == []
    assert found.lost[0].startswith("cells.csv, which cannot be read")
    assert (tmp_path / "cells.csv").read_bytes() == content
    assert render(table_3b, make.runs(table_3b), make.costs(table_3b), tmp_path, force=True).paths
