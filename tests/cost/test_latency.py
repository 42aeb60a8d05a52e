"""Timings: what a pass takes, how it is kept, and which device a table shows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.cost import latency
from benchmark.cost.cache import cost_digest
from benchmark.cost.latency import (
    Device,
    LatencyRecord,
    OtherWork,
    Sample,
    describe,
    kept,
    latency_path,
    missing_batches,
    row_timings,
    time_config,
    time_network,
    timed_config,
)
from benchmark.runs.atomic import write_atomic
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Row, Table

CPU = torch.device("cpu")
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


class Sleeper(nn.Module):
    """Takes a known time, and now and then much longer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((self.training, torch.is_grad_enabled()))
        time.sleep(0.1 if len(self.calls) % 4 == 0 else 0.01)
        return x


def test_passes_are_in_evaluation_mode_without_gradients_and_the_median_ignores_stragglers() -> None:
    network = Sleeper()
    found = time_network(network, (3, 2, 3, 4, 4), CPU, seconds=0.3)
    assert set(network.calls) == {(False, False)}
    assert found.batch == 3
    assert latency.LEAST_PASSES <= found.passes <= len(network.calls) - latency.WARM_UP_PASSES
    assert 0.01 <= found.p10 <= found.median < 0.05 < found.p90


def test_a_slow_network_still_has_the_fewest_passes() -> None:
    found = time_network(Sleeper(), (1, 1, 3, 2, 2), CPU, seconds=0.0)
    assert found.passes == latency.LEAST_PASSES


def test_a_pass_without_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one clip"):
        time_network(Sleeper(), (0, 1, 3, 2, 2), CPU)


def test_more_segments_take_longer_and_so_do_more_clips() -> None:
    def seconds(segments: int, batch: int) -> float:
        config = RunConfig(model=SMALL.model, data=DataConfig(size=64, segments=segments))
        found = time_config(config, (batch,), CPU, seconds=0.05).sample(batch)
        assert found is not None
        assert found.p10 <= found.median <= found.p90
        return found.median

    # In turns, and the best of each, since whatever else runs here comes and goes.
    rounds = [(seconds(4, 1), seconds(64, 1), seconds(4, 16)) for _ in range(3)]
    one, long, many = (min(taken) for taken in zip(*rounds, strict=True))
    assert min(long, many) > 1.5 * one


def test_a_record_is_kept_by_network_and_device_and_grows_by_batch_size() -> None:
    here = describe(CPU)
    assert (here.precision, here.threads) == ("fp32", torch.get_num_threads())
    assert missing_batches(SMALL, here, (1, 8)) == [1, 8]
    first = time_config(SMALL, (8,), CPU, seconds=0.05)
    assert missing_batches(SMALL, here, (1, 8)) == [1]
    both = time_config(SMALL, (1,), CPU, seconds=0.05)
    assert [entry.batch for entry in both.samples] == [1, 8]
    assert both.sample(8) == first.sample(8)
    assert kept(SMALL) == [both]
    assert both.samples[0].torch == torch.__version__
    assert latency_path(SMALL, here).name == f"{cost_digest(SMALL)}-{here.digest}.json"
    again = time_config(SMALL, (8,), CPU, seconds=0.05)
    assert again.sample(1) == both.sample(1)
    assert len(again.samples) == 2


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
    assert kept(SMALL) == []
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


def test_other_work_is_all_work_less_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 4.0])
    busy, own = iter([100.0, 108.0]), iter([10.0, 12.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(latency, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(latency, "_own_seconds", lambda: next(own))
    assert OtherWork().cores() == pytest.approx((8 - 2) / 4)


def test_the_system_counts_what_this_process_does_as_work() -> None:
    before, own = latency._busy_seconds(), latency._own_seconds()
    if before is None:
        pytest.skip("this system keeps no count of its cores' work")
    while latency._own_seconds() - own < 0.3:
        sum(range(10_000))
    after = latency._busy_seconds()
    assert after is not None
    assert after - before > 0.2


@pytest.mark.parametrize(("load", "crowded"), [(None, False), (0.1, False), (1.2, False), (1.4, True), (2.0, True)])
def test_a_timing_is_crowded_once_the_threads_and_other_programs_exceed_the_cores(
    load: float | None, crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "usable_cores", lambda: torch.get_num_threads() + 1)
    monkeypatch.setattr(OtherWork, "cores", lambda self: load)
    found = time_network(nn.Flatten(), (1, 1, 3, 2, 2), CPU, seconds=0.0)
    assert (found.load, found.crowded) == (load, crowded)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_waited_for() -> None:
    device = torch.device("cuda")
    assert describe(device).threads is None
    layer = nn.Linear(8192, 8192, bias=False).to(device)
    found = time_network(nn.Sequential(*[layer] * 50), (1, 1, 64, 128, 8192), device, seconds=0.5)
    # 8192 positions through 50 square layers: 55 TFLOP, which no GPU does in 30 ms in fp32.
    assert found.median > 0.03


def test_columns_of_a_table_are_timed_at_batch_one_and_eight() -> None:
    assert {COLUMNS[key].batch for key in table(A=SMALL).columns} == {1, 8}
