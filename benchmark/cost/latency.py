"""How long networks take: forward passes timed at paper scale, and the timings kept on disk. Imports without torch.

What the papers time: videos/s at batch 1 without data loading (MotionSqueeze, Table 2), latency at batch 1 and
throughput at batch 8 (CMR, Tables 5 and 7), each on one GPU of its own. A time holds for one device alone, so a printed
one is shown beside ours and never compared with it.

`<runs root>/.latency/<network>-<device>.json`, the first digest that of the network's cost (`benchmark.cost.cache`), so
that a changed network or torch is timed again, the second that of the device.

Choices, where the papers are silent:
- The forward pass alone, in evaluation mode, on frames that are on the device already and normalised.
- fp32, as torch sets it up and as the runs have it: on NVIDIA GPUs since Ampere the convolutions are then in TF32,
  which the record says. 4-D weights are channels_last, as in a run; cuDNN keeps its default algorithms.
- Every pass is timed on its own, with the GPU waited for before and after. The median counts; the tenth and ninetieth
  percentiles say how far single passes stray.
- Weights are random: they change no shape. Random frames, since zeros would spare some kernels work.
- Other work is measured while the passes run, not read from the load average, which still remembers the training that
  has just ended, and this process's own threads.
"""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from benchmark.config.fields import Strict
from benchmark.config.run import RunConfig, of_one_view
from benchmark.cost.cache import cost_digest
from benchmark.runs.atomic import write_atomic
from benchmark.runs.directory import runs_root
from benchmark.runs.provenance import processor
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table

if TYPE_CHECKING:
    import torch
    from torch import nn

WARM_UP_PASSES, WARM_UP_SECONDS = 2, 1.0
LEAST_PASSES, SECONDS = 5, 3.0
"""At least so many passes, and at least so long."""
SPARE_CORES = 0.25
"""What an idle machine does anyway: other work up to this many cores is no disturbance."""
_NO_NAME = re.compile(r"\(R\)|\(TM\)|\b(NVIDIA|AMD|Intel|GeForce|Tesla|CPU|Processor|\d+-Core)\b|@|, \d+ cores?$")


class Device(Strict):
    """Where networks are timed: timings of two equal ones may be compared.

    Attributes:
        name: Of the GPU, or of the processor and how many cores this process may use.
        threads: Of torch on the CPU; None on a GPU, where one thread launches the kernels.
        precision: Of the arithmetic.
    """

    name: str
    threads: int | None
    precision: str

    @property
    def digest(self) -> str:
        """8 hex digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]

    @property
    def short(self) -> str:
        """The name without its maker and the number of cores: `H200`, `EPYC 7B13`."""
        return " ".join(_NO_NAME.sub(" ", self.name).split()) or self.name


class Sample(Strict):
    """Forward passes of one batch size.

    Attributes:
        batch: Clips of a pass.
        passes: How many were timed.
        median, p10, p90: Seconds of a pass.
        load: Cores that other programs kept busy meanwhile, of those this process may use; None where not known.
        crowded: Whether these and the timed network's threads were more than there are cores.
        date: UTC, ISO 8601.
        torch: Its version.
    """

    batch: int
    passes: int
    median: float
    p10: float
    p90: float
    load: float | None
    crowded: bool
    date: str
    torch: str


class LatencyRecord(Strict):
    """One network on one device: a sample for every batch size that was timed."""

    device: Device
    samples: tuple[Sample, ...]

    def sample(self, batch: int) -> Sample | None:
        """The sample of this batch size."""
        return next((sample for sample in self.samples if sample.batch == batch), None)


@dataclass(frozen=True)
class Timed:
    """What a timed column shows of a row: the median and the 10th and 90th percentile, in the column's unit.

    p10 <= value <= p90 for times and rates alike, so that the slow end is p90 of a time and p10 of a rate.
    """

    value: float
    p10: float
    p90: float
    sample: Sample
    device: Device

    @classmethod
    def of(cls, column: Column, sample: Sample, device: Device) -> Timed:
        """Read a sample as milliseconds a pass or as videos a second."""
        if column.unit == "ms":
            return cls(1e3 * sample.median, 1e3 * sample.p10, 1e3 * sample.p90, sample, device)
        batch = sample.batch
        return cls(batch / sample.median, batch / sample.p90, batch / sample.p10, sample, device)


RowTimings = Mapping[str, Mapping[str, Timed]]
"""By row label and column. All of one table are of one device."""


def timed_columns(table: Table) -> list[Column]:
    """The table's columns that are timed."""
    return [COLUMNS[key] for key in table.columns if COLUMNS[key].source == "timed"]


def timed_config(row: Row) -> RunConfig | None:
    """What is timed of a row: its network at paper scale and at the size of one view.

    None for quoted rows, and for those that average others: they have no network of their own.
    """
    return None if row.paper_config is None else of_one_view(row.paper_config)


def latency_path(config: RunConfig, device: Device) -> Path:
    """Where the timings of this config's network on this device are kept."""
    return runs_root() / ".latency" / f"{cost_digest(config)}-{device.digest}.json"


def kept(config: RunConfig) -> list[LatencyRecord]:
    """The network's timings, a record for every device that it was timed on; damaged files are as if not there."""
    paths = sorted((runs_root() / ".latency").glob(f"{cost_digest(config)}-*.json"))
    return [record for path in paths if (record := _read(path)) is not None]


def missing_batches(config: RunConfig, device: Device, batches: Iterable[int]) -> list[int]:
    """Those of the batch sizes for which there is no timing on this device."""
    record = _read(latency_path(config, device))
    return [batch for batch in batches if record is None or record.sample(batch) is None]


def row_timings(table: Table) -> RowTimings:
    """The timings of a table's rows, all on the device that fills most cells, the last used of those that fill as many.

    Rows and columns that are not timed there are left out.
    """
    columns = timed_columns(table)
    configs = {row.label: config for row in table.rows if (config := timed_config(row)) is not None} if columns else {}
    found: dict[Device, dict[str, dict[str, Timed]]] = {}
    for label, config in configs.items():
        for record in kept(config):
            for column in columns:
                sample = record.sample(column.batch)
                if sample is not None:
                    row = found.setdefault(record.device, {}).setdefault(label, {})
                    row[column.key] = Timed.of(column, sample, record.device)

    def filled(device: Device) -> tuple[int, str, str]:
        cells = [timed for row in found[device].values() for timed in row.values()]
        return len(cells), max(timed.sample.date for timed in cells), device.digest

    return found[max(found, key=filled)] if found else {}


def describe(device: torch.device) -> Device:
    """The device as timings name it. Imports torch."""
    import torch

    if device.type != "cuda":
        return Device(name=processor(), threads=torch.get_num_threads(), precision="fp32")
    tf32 = torch.backends.cudnn.allow_tf32 and torch.cuda.get_device_capability(device) >= (8, 0)
    precision = "fp32 (convolutions in TF32)" if tf32 else "fp32"
    return Device(name=torch.cuda.get_device_name(device), threads=None, precision=precision)


def time_config(
    config: RunConfig, batches: Iterable[int], device: torch.device, seconds: float = SECONDS
) -> LatencyRecord:
    """Time the config's network for these batch sizes, keep the result beside those of other sizes, and return both.

    Raises:
        ValueError: The network could not be built, or a batch size is below 1.
        RuntimeError: As of torch, for instance where the GPU's memory does not suffice. Batches before it are kept.
    """
    import torch

    from benchmark.models.build import build_model

    where = describe(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(config.model.model_copy(update={"pretrained": None}), config.data).to(device)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    shape = (config.frames, 2 if config.modality == "flow" else 3, config.data.size, config.data.size)
    path = latency_path(config, where)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = _read(path) or LatencyRecord(device=where, samples=())
    for batch in batches:
        sample = time_network(network, (batch, *shape), device, seconds)
        others = [other for other in record.samples if other.batch != batch]
        samples = tuple(sorted([*others, sample], key=lambda sample: sample.batch))
        record = LatencyRecord(device=where, samples=samples)
        write_atomic(path, record.model_dump_json(indent=1) + "\n")
    return record


def time_network(
    network: nn.Module, input_shape: tuple[int, ...], device: torch.device, seconds: float = SECONDS
) -> Sample:
    """Time forward passes of a network that is on its device.

    Args:
        network: Put into evaluation mode.
        input_shape: (B, T, C, H, W), B clips a pass.
        device: The network's.
        seconds: Passes go on for so long, and until there are LEAST_PASSES of them.

    Raises:
        ValueError: B is below 1.
    """
    import torch

    if input_shape[0] < 1:
        raise ValueError(f"a pass has at least one clip, not {input_shape[0]}")
    network.eval()
    x = torch.randn(input_shape, generator=torch.Generator().manual_seed(0)).to(device)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def one_pass() -> float:
        wait()
        start = time.perf_counter()
        network(x)
        wait()
        return time.perf_counter() - start

    with torch.no_grad():
        _repeat(one_pass, WARM_UP_PASSES, min(seconds, WARM_UP_SECONDS))
        other_work = OtherWork()
        taken = _repeat(one_pass, LEAST_PASSES, seconds)
        load = other_work.cores()
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    p10, p90 = np.percentile(taken, [10, 90]).tolist()
    return Sample(
        batch=input_shape[0],
        passes=len(taken),
        median=statistics.median(taken),
        p10=p10,
        p90=p90,
        load=load,
        crowded=load is not None and load > max(usable_cores() - threads, 0) + SPARE_CORES,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        torch=torch.__version__,
    )


def _repeat(one_pass: Callable[[], float], least: int, seconds: float) -> list[float]:
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < least or time.perf_counter() - start < seconds:
        taken.append(one_pass())
    return taken


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


class OtherWork:
    """What other programs do on the cores that this process may use, from its creation on."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), _busy_seconds(), _own_seconds()

    def cores(self) -> float | None:
        """Cores that they kept busy, on average; None where the system does not tell."""
        started, busy_before, own_before = self._start
        busy = _busy_seconds()
        if busy is None or busy_before is None:
            return None
        others = (busy - busy_before) - (_own_seconds() - own_before)
        # The system counts in hundredths of a second, so that the difference may fall below zero.
        return round(max(others, 0.0) / (time.perf_counter() - started), 2)


def _own_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system


def _busy_seconds() -> float | None:
    """CPU time spent since the system started, by all programs, on the cores that this process may use."""
    names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
        # user, nice, system; idle and iowait are no work; irq, softirq, and steal: what the host gave to others.
        ticks = [sum(map(int, (*line[1:4], *line[6:9]))) for line in lines if line and line[0] in names]
    except (OSError, ValueError):
        return None
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if any(ticks) else None


def _read(path: Path) -> LatencyRecord | None:
    try:
        return LatencyRecord.model_validate_json(path.read_bytes())
    except (OSError, pydantic.ValidationError):
        return None
