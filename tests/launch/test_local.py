"""Places to run, and what becomes of runs that end in every way, with stand-ins for the network's process."""

import sys
from pathlib import Path

import pytest

from benchmark.config.run import EvalConfig, RunConfig
from benchmark.launch import local
from benchmark.launch.local import Outcome, run_all, slots
from benchmark.runs.directory import EXIT_CLAIMED, RunDir
from tests.launch.conftest import SideBySide


def test_one_place_per_core_with_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    places = slots(3, "cpu")
    assert len(places) == 3
    assert all(place.environment["OMP_NUM_THREADS"] == "1" for place in places)


def test_the_users_choice_of_gpus_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in slots()] == ["5", "7"]
    assert ["CUDA_VISIBLE_DEVICES" in place.environment for place in slots(device="cuda:1")] == [False]


def test_a_gpus_loader_has_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.delenv("BENCHMARK_WORKERS", raising=False)
    for found, workers in ((16, "7"), (2, "1")):
        monkeypatch.setattr(local, "usable_cores", lambda found=found: found)
        assert [place.environment["BENCHMARK_WORKERS"] for place in slots()] == [workers] * 2
        [alone] = slots(device="cuda:1")
        assert alone.environment["BENCHMARK_WORKERS"] == str(found - 1)
    monkeypatch.setenv("BENCHMARK_WORKERS", "3")  # the user's own choice reaches the runs as it is
    assert all("BENCHMARK_WORKERS" not in place.environment for place in slots())
    assert all("BENCHMARK_WORKERS" not in place.environment for place in slots(2, "cpu"))


def test_every_ending_is_told_apart_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [RunDir(tmp_path / name) for name in ("done", "fails", "elsewhere", "last")]
    script = (
        "import sys, pathlib; run = pathlib.Path(sys.argv[1])\n"
        "if run.name in ('done', 'last'): (run / 'result.json').write_text('{}')\n"
        f"sys.exit({{'fails': 1, 'elsewhere': {EXIT_CLAIMED}}}.get(run.name, 0))"
    )
    for seed, run in enumerate(runs):
        run.prepare(RunConfig(seed=seed))
    monkeypatch.setattr(local, "JOB", [sys.executable, "-c", script])
    seen: list[int] = []

    def tick(active: list[RunDir], outcome: Outcome) -> None:
        assert len(active) <= 2
        seen.append(outcome.ended)

    outcome = run_all(runs, slots(2, "cpu"), tick)
    assert {run.path.name for run in outcome.done} == {"done", "last"}
    assert [run.path.name for run in outcome.failed] == ["fails"]
    assert [run.path.name for run in outcome.elsewhere] == ["elsewhere"]
    assert seen[-1] == 4


def test_what_trains_alike_waits_for_the_first_of_them(side_by_side: SideBySide) -> None:
    together = side_by_side(
        {"one": RunConfig(), "two": RunConfig(eval=EvalConfig(clips=2)), "other": RunConfig(seed=1)}
    )
    assert {"one", "other"} in together
    assert not any({"one", "two"} <= names for names in together)
