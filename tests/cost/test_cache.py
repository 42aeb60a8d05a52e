"""The cache of counted costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.cost import cache
from benchmark.cost.cache import cached, cost_digest, cost_path, get

SMALL = RunConfig(model=TsmResNetConfig(depth=18, width=0.125), data=DataConfig(size=32, segments=2))


@pytest.fixture(autouse=True)
def _own_runs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))


def test_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cached(SMALL) is None
    record = get(SMALL)
    monkeypatch.setattr("benchmark.cost.counters.count", lambda config: pytest.fail("counted again"))
    assert get(SMALL) == cached(SMALL) == record
    assert [path.name for path in cost_path(SMALL).parent.iterdir()] == [f"{cost_digest(SMALL)}.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b'{"input_shape": [1]}', b"\xff\xfe"])
def test_a_damaged_file_is_counted_again(damage: bytes) -> None:
    record = get(SMALL)
    cost_path(SMALL).write_bytes(damage)
    assert cached(SMALL) is None
    assert get(SMALL) == cached(SMALL) == record


def test_what_does_not_change_the_network_does_not_change_the_digest() -> None:
    same = SMALL.model_copy(update={"seed": 3, "train": TrainConfig(epochs=8), "eval": EvalConfig(crops=3)})
    assert cost_digest(same) == cost_digest(SMALL)
    pretrained = RunConfig(model=TsmResNetConfig(pretrained="imagenet", dropout=0.8))
    assert cost_digest(pretrained) == cost_digest(RunConfig(model=TsmResNetConfig()))


@pytest.mark.parametrize(
    "other",
    [
        RunConfig(model=TsmResNetConfig(depth=18, width=0.25), data=SMALL.data),
        RunConfig(model=SMALL.model, data=DataConfig(size=32, segments=4)),
        RunConfig(model=SMALL.model, data=DataConfig(size=40, segments=2)),
        RunConfig(model=SMALL.model, data=DataConfig(size=32, segments=2, dataset="motionpairs")),
    ],
)
def test_what_changes_the_network_changes_the_digest(other: RunConfig) -> None:
    assert cost_digest(other) != cost_digest(SMALL)


def test_code_and_versions_are_part_of_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cost_digest(SMALL)
    monkeypatch.setattr(cache, "_version", lambda package: "0")
    other_version = cost_digest(SMALL)
    monkeypatch.setattr(cache, "_code_digest", lambda: "0")
    assert len({before, other_version, cost_digest(SMALL)}) == 3
