"""Small runs, and runs whose process is a stand-in for the network's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch

from benchmark.config.run import RunConfig
from benchmark.data.datasets import prepare
from benchmark.launch import local
from benchmark.launch.job import execute
from benchmark.launch.local import Outcome, make_slots, run_all
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from tests.data.trees import ucf_tree
from tests.launch.small import SMALL

SideBySide = Callable[[Mapping[str, RunConfig]], set[frozenset[str]]]


@pytest.fixture
def side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SideBySide:
    """Brings runs of these names to their ends in three slots, and returns which were seen together."""

    def bring(configs: Mapping[str, RunConfig]) -> set[frozenset[str]]:
        runs = [RunDir(tmp_path / name) for name in configs]
        for run, config in zip(runs, configs.values(), strict=True):
            run.prepare(config)
        script = (
            "import sys, time, pathlib; time.sleep(0.3); (pathlib.Path(sys.argv[1]) / 'result.json').write_text('{}')"
        )
        monkeypatch.setattr(local, "JOB", [sys.executable, "-c", script])
        together: set[frozenset[str]] = set()

        def tick(active: list[RunDir], _: Outcome) -> None:
            together.add(frozenset(run.path.name for run in active))

        outcome = run_all(runs, make_slots(3, "cpu"), tick)
        assert len(outcome.done) == len(runs)
        return together

    return bring


@pytest.fixture
def ucf101(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small UCF101 for runs in this process, which leave torch's settings as they were."""
    for name, value in (("DATA", "made"), ("UCF101", "ucf")):
        monkeypatch.setenv(f"BENCHMARK_{name}", str(tmp_path / value))
    ucf_tree(tmp_path / "ucf")
    prepare("ucf101", workers=1)
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture
def made(ucf101: None, tmp_path: Path) -> Callable[..., RunDir]:
    """Brings a run of a config to its end in a folder of that name."""

    def make(folder: str = "runs", config: RunConfig = SMALL) -> RunDir:
        run = RunDir(tmp_path / folder / run_key(config))
        run.prepare(config)
        execute(run, device="cpu")
        return run

    return make
