"""The records of timings: which timing a file is of, and which device a table shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.cost.cache import cost_digest
from benchmark.cost.latency import (
    Device,
    LatencyRecord,
    Sample,
    latency_path,
    missing_batches,
    records_of,
    row_timings,
    timed_config,
)
from benchmark.runs.atomic import write_atomic
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Row, Table

SMALL = RunConfig(model=TsmResNetConfig(depth=18, width=0.125), data=DataConfig(size=32, segments=2))
OTHER = SMALL.model_copy(update={"data": DataConfig(size=40, segments=2)})
GPU = Device(name="NVIDIA H200", threads=None, precision="fp32 (convolutions in TF32)")
LAPTOP = Device(name="Intel(R) Core(TM) i7-1065G7 CPU @ 1.30GHz, 4 cores", threads=4, precision="fp32")


@pytest.fixture(autouse=True)
def _own_runs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))


def sample(batch: int, median: float = 0.02, date: str = "2026-01-01T00:00:00+00:00") -> Sample:
    return Sample(
        batch=batch,
        passes=9,
        median=median,
        p10=0.9 * median,
        p90=1.25 * median,
        load=0.0,
        crowded=False,
        date=date,
        torch="2.11.0",
    )


def keep(config: RunConfig, device: Device, *samples: Sample) -> None:
    path = latency_path(config, device)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, LatencyRecord(device=device, samples=samples).model_dump_json())


def table(**rows: RunConfig | None) -> Table:
    """A table with three timed columns; rows without a config are quoted."""
    return Table(
        id="mine-t1",
        paper="mine",
        number="t1",
        caption="",
        dataset="something-v1",
        label_header="Model",
        columns=("latency_ms", "throughput", "speed"),
        baseline=next(iter(rows)),
        rows=tuple(
            Row(label=label, config=config, paper_config=config, quoted=config is None)
            for label, config in rows.items()
        ),
        protocol="embedded",
        seeds=(0,),
    )


def test_another_network_device_or_thread_count_is_timed_anew() -> None:
    keep(SMALL, LAPTOP, sample(1))
    assert missing_batches(SMALL, LAPTOP, (1,)) == []
    assert missing_batches(OTHER, LAPTOP, (1,)) == [1]
    assert missing_batches(SMALL, LAPTOP.model_copy(update={"threads": 1}), (1,)) == [1]
    assert missing_batches(SMALL, GPU, (1,)) == [1]
    recipe = SMALL.model_copy(update={"seed": 4, "train": TrainConfig(epochs=9)})
    assert missing_batches(recipe, LAPTOP, (1,)) == []


@pytest.mark.parametrize("damage", [b"", b"{", b'{"device": 1}', b"\xff"])
def test_a_damaged_file_is_as_if_not_there(damage: bytes) -> None:
    keep(SMALL, LAPTOP, sample(1))
    latency_path(SMALL, LAPTOP).write_bytes(damage)
    assert records_of(SMALL) == []
    assert missing_batches(SMALL, LAPTOP, (1,)) == [1]


def test_a_row_is_timed_at_the_size_of_one_view() -> None:
    config = SMALL.model_copy(update={"eval": EvalConfig(clips=2, crops=3, scale=40)})
    assert cost_digest(timed_config(Row(label="A", paper_config=config)) or SMALL) == cost_digest(OTHER)
    assert timed_config(Row(label="B", quoted=True)) is None


def test_milliseconds_and_videos_a_second_come_from_the_batch_that_the_column_names() -> None:
    keep(SMALL, GPU, sample(1, 0.02), sample(8, 0.1))
    row = row_timings(table(A=SMALL, other=None))["A"]
    ms = row["latency_ms"]
    assert (ms.value, ms.p10, ms.p90) == pytest.approx((20.0, 18.0, 25.0))
    assert (ms.sample, ms.device) == (sample(1, 0.02), GPU)
    assert row["throughput"].value == pytest.approx(80.0)
    assert row["speed"].value == pytest.approx(50.0)
    for timed in row.values():
        assert timed.p10 <= timed.value <= timed.p90
    # A rate's tenth percentile is where its slowest passes are.
    assert row["speed"].p10 == pytest.approx(1 / 0.025)


def test_a_table_shows_the_device_that_fills_most_cells_then_the_last_used() -> None:
    both = table(A=SMALL, B=OTHER)
    assert row_timings(both) == {}
    keep(SMALL, LAPTOP, sample(1, date="2026-03-01T00:00:00+00:00"))
    keep(SMALL, GPU, sample(1))
    keep(OTHER, GPU, sample(8))
    found = row_timings(both)
    assert {timed.device.name for row in found.values() for timed in row.values()} == {GPU.name}
    assert {label: set(row) for label, row in found.items()} == {"A": {"latency_ms", "speed"}, "B": {"throughput"}}
    keep(OTHER, LAPTOP, sample(8))
    assert row_timings(both)["B"]["throughput"].device == LAPTOP
    assert row_timings(both.model_copy(update={"columns": ("top1",)})) == {}


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA GeForce RTX 3090", "RTX 3090"),
        ("Tesla V100-SXM2-16GB", "V100-SXM2-16GB"),
        ("AMD EPYC 7B13 64-Core Processor, 2 cores", "EPYC 7B13"),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz, 1 cores", "Xeon 2.20GHz"),
        ("AMD", "AMD"),
    ],
)
def test_the_short_name_of_a_device(name: str, short: str) -> None:
    assert Device(name=name, threads=None, precision="fp32").short == short


def test_columns_of_a_table_are_timed_at_batch_one_and_eight() -> None:
    assert {COLUMNS[key].batch for key in table(A=SMALL).columns} == {1, 8}
