"""What a pass is timed to take, and how the timing is kept."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import DataConfig, RunConfig
from benchmark.cost import timing
from benchmark.cost.cache import cost_digest
from benchmark.cost.latency import latency_path, missing_batches, records_of
from benchmark.cost.machine_load import OtherPrograms
from benchmark.cost.timing import LEAST_PASSES, WARM_UP_PASSES, describe_device, time_config, time_network

CPU = torch.device("cpu")
SMALL = RunConfig(model=TsmResNetConfig(depth=18, width=0.125), data=DataConfig(size=32, segments=2))


@pytest.fixture(autouse=True)
def _own_runs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))


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
    assert LEAST_PASSES <= found.passes <= len(network.calls) - WARM_UP_PASSES
    assert 0.01 <= found.p10 <= found.median < 0.05 < found.p90


def test_a_slow_network_still_has_the_fewest_passes() -> None:
    found = time_network(Sleeper(), (1, 1, 3, 2, 2), CPU, seconds=0.0)
    assert found.passes == LEAST_PASSES


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
    rounds = [(seconds(2, 1), seconds(64, 1), seconds(2, 32)) for _ in range(5)]
    one, long, many = (min(taken) for taken in zip(*rounds, strict=True))
    assert min(long, many) > 1.5 * one


def test_a_record_is_kept_by_network_and_device_and_grows_by_batch_size() -> None:
    here = describe_device(CPU)
    assert (here.precision, here.threads) == ("fp32", torch.get_num_threads())
    assert missing_batches(SMALL, here, (1, 8)) == [1, 8]
    first = time_config(SMALL, (8,), CPU, seconds=0.05)
    assert missing_batches(SMALL, here, (1, 8)) == [1]
    both = time_config(SMALL, (1,), CPU, seconds=0.05)
    assert [entry.batch for entry in both.samples] == [1, 8]
    assert both.sample(8) == first.sample(8)
    assert records_of(SMALL) == [both]
    assert both.samples[0].torch == torch.__version__
    assert latency_path(SMALL, here).name == f"{cost_digest(SMALL)}-{here.digest}.json"
    again = time_config(SMALL, (8,), CPU, seconds=0.05)
    assert again.sample(1) == both.sample(1)
    assert len(again.samples) == 2


@pytest.mark.parametrize(("load", "crowded"), [(None, False), (0.1, False), (1.2, False), (1.4, True), (2.0, True)])
def test_a_timing_is_crowded_once_the_threads_and_other_programs_exceed_the_cores(
    load: float | None, crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "usable_cores", lambda: torch.get_num_threads() + 1)
    monkeypatch.setattr(OtherPrograms, "cores", lambda self: load)
    found = time_network(nn.Flatten(), (1, 1, 3, 2, 2), CPU, seconds=0.0)
    assert (found.load, found.crowded) == (load, crowded)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_waited_for() -> None:
    device = torch.device("cuda")
    assert describe_device(device).threads is None
    layer = nn.Linear(8192, 8192, bias=False).to(device)
    found = time_network(nn.Sequential(*[layer] * 50), (1, 1, 64, 128, 8192), device, seconds=0.5)
    # 8192 positions through 50 square layers: 55 TFLOP, which no GPU does in 30 ms in fp32.
    assert found.median > 0.03
