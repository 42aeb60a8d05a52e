"""Timings of networks: the records on disk, and what a table shows of them. Imports without torch.

What the papers time: videos/s at batch 1 without data loading (MotionSqueeze, Table 2), latency at batch 1 and
throughput at batch 8 (CMR, Tables 5 and 7), each on one GPU of its own. A time holds for one device alone, so a printed
one is shown beside ours and never compared with it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic

from benchmark.config.fields import Strict
from benchmark.config.run import RunConfig, of_one_view
from benchmark.cost.cache import cost_digest
from benchmark.runs.directory import runs_root
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table

_NOT_IN_SHORT = re.compile(r"\(R\)|\(TM\)|\b(NVIDIA|AMD|Intel|GeForce|Tesla|CPU|Processor|\d+-Core)\b|@|, \d+ cores?$")


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
        return " ".join(_NOT_IN_SHORT.sub(" ", self.name).split()) or self.name


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
        """A sample as milliseconds a pass or as videos a second, whichever is the column's unit."""
        if column.unit == "ms":
            return cls(1e3 * sample.median, 1e3 * sample.p10, 1e3 * sample.p90, sample, device)
        batch = sample.batch
        return cls(batch / sample.median, batch / sample.p90, batch / sample.p10, sample, device)


RowTimings = Mapping[str, Mapping[str, Timed]]
"""By row label and column. All of one table are of one device."""


def timed_columns(table: Table) -> list[Column]:
    """The table's columns that are timed."""
    return [COLUMNS[key] for key in table.columns if COLUMNS[key].batch]


def timed_config(row: Row) -> RunConfig | None:
    """What is timed of a row: its network at paper scale and at the size of one view.

    None for quoted rows, and for those that average others: they have no network of their own.
    """
    return None if row.paper_config is None else of_one_view(row.paper_config)


def latency_path(config: RunConfig, device: Device) -> Path:
    """The file of the timings of this config's network on this device."""
    # The digest of the network's cost covers its code and torch's version: after a change of either, it is timed again.
    return runs_root() / ".latency" / f"{cost_digest(config)}-{device.digest}.json"


def load_record(path: Path) -> LatencyRecord | None:
    """The timings in a file; None where it is damaged or not there."""
    try:
        return LatencyRecord.model_validate_json(path.read_bytes())
    except (OSError, pydantic.ValidationError):
        return None


def records_of(config: RunConfig) -> list[LatencyRecord]:
    """The network's timings, a record for every device that it was timed on; damaged files are as if not there."""
    paths = sorted((runs_root() / ".latency").glob(f"{cost_digest(config)}-*.json"))
    return [record for path in paths if (record := load_record(path)) is not None]


def missing_batches(config: RunConfig, device: Device, batches: Iterable[int]) -> list[int]:
    """Those of the batch sizes for which there is no timing on this device."""
    record = load_record(latency_path(config, device))
    return [batch for batch in batches if record is None or record.sample(batch) is None]


def row_timings(table: Table, lookup: Callable[[RunConfig], Sequence[LatencyRecord]] = records_of) -> RowTimings:
    """The timings of a table's rows, all on the device that fills most cells, the last used of those that fill as many.

    Rows and columns that are not timed there are left out. Of two records of one device that `lookup` gives, the later
    counts.
    """
    columns = timed_columns(table)
    if not columns:
        return {}
    by_device: dict[Device, dict[str, dict[str, Timed]]] = {}
    for row in table.rows:
        config = timed_config(row)
        for record in lookup(config) if config is not None else ():
            cells = {
                column.key: Timed.of(column, sample, record.device)
                for column in columns
                if (sample := record.sample(column.batch)) is not None
            }
            if cells:
                by_device.setdefault(record.device, {})[row.label] = cells

    def filled(device: Device) -> tuple[int, str, str]:
        cells = [timed for row in by_device[device].values() for timed in row.values()]
        return len(cells), max(timed.sample.date for timed in cells), device.digest

    return by_device[max(by_device, key=filled)] if by_device else {}
