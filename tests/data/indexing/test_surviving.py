"""A worker process that dies takes one item with it, and no more. (Workers import this file: it imports little.)"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmark.data.indexing.probing import FileLog, Probed, examine, surviving


def _dies_on_seven(numbers: Sequence[int]) -> list[int]:
    if 7 in numbers:
        os._exit(1)
    return [-n for n in numbers]


def test_a_crash_costs_the_item_on_which_it_happened() -> None:
    found = dict[int, int | None]()
    for batch, result in surviving(_dies_on_seven, list(range(12)), 2, 2):
        found.update(dict.fromkeys(batch) if result is None else dict(zip(batch, result, strict=True)))
    assert found == {n: None if n == 7 else -n for n in range(12)}


def _never_comes_back_from_two(root: Path, path: str, known: Probed | None) -> Probed:
    while path == "2":
        time.sleep(1)
    return Probed(path, 1, 1, "ok", 3)


def test_a_file_that_never_comes_back_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_STALL_SECONDS", "1")
    monkeypatch.setattr("benchmark.data.indexing.probing.BATCH", 2)
    paths = [str(i) for i in range(6)]
    found = examine(tmp_path, paths, FileLog(tmp_path / "log.jsonl"), _never_comes_back_from_two, workers=2)
    assert {path: record.state for path, record in found.items()} == {p: "corrupt" if p == "2" else "ok" for p in paths}
    assert "never came back" in found["2"].reason
