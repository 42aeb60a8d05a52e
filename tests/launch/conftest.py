"""Runs whose process is a stand-in for the network's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from benchmark.config.run import RunConfig
from benchmark.launch import local
from benchmark.launch.local import run_all, slots
from benchmark.runs.directory import RunDir

SideBySide = Callable[[Mapping[str, RunConfig]], set[frozenset[str]]]


@pytest.fixture
def side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SideBySide:
    """Brings runs of these names to their ends in three places, and returns which were seen together."""

    def bring(configs: Mapping[str, RunConfig]) -> set[frozenset[str]]:
        runs = [RunDir(tmp_path / name) for name in configs]
        for run, config in zip(runs, configs.values(), strict=True):
            run.prepare(config)
        script = (
            "import sys, time, pathlib; time.sleep(0.3); (pathlib.Path(sys.argv[1]) / 'result.json').write_text('{}')"
        )
        monkeypatch.setattr(local, "JOB", [sys.executable, "-c", script])
        together: set[frozenset[str]] = set()
        outcome = run_all(runs, slots(3, "cpu"), lambda active, _: together.add(frozenset(r.path.name for r in active)))
        assert len(outcome.done) == len(runs)
        return together

    return bring
