"""Where a report takes runs, counts and timings from: run directories, or records of what was in them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from benchmark.config.run import RunConfig
from benchmark.cost.cache import cached
from benchmark.cost.latency import LatencyRecord, records_of
from benchmark.cost.record import CostRecord
from benchmark.cost.recorded import read_cost, read_timings
from benchmark.runs.records.files import DamagedRecordError, records_root
from benchmark.runs.records.run import Record, read_record


@dataclass(frozen=True)
class Sources:
    """Where a report looks: first in run directories, and then in the records' folder.

    Attributes:
        runs: Whether run directories, and the counts and timings beside them, are read at all.
        records: Whether records are.
        trained_here: Keys of runs for which no record stands in.
        damaged: What was wrong with records of costs and timings; these are as if not there.
    """

    runs: bool = True
    records: bool = True
    trained_here: Collection[str] = ()
    damaged: dict[str, None] = field(default_factory=dict)

    def record(self, key: str, config: RunConfig) -> Record | None:
        """The record that stands in for a run. Raises StaleRunError, DamagedRecordError."""
        return read_record(config) if self.records and key not in self.trained_here else None

    def cost(self, config: RunConfig) -> CostRecord | None:
        """The counted cost of a network."""
        found = cached(config) if self.runs else None
        if found is not None or not self.records:
            return found
        try:
            return read_cost(records_root(), config)
        except DamagedRecordError as error:
            self.damaged[str(error)] = None
            return None

    def timings(self, config: RunConfig) -> list[LatencyRecord]:
        """The timings of a network, those of this machine's runs folder last."""
        found: list[LatencyRecord] = []
        if self.records:
            try:
                found += read_timings(records_root(), config)
            except DamagedRecordError as error:
                self.damaged[str(error)] = None
        return found + (records_of(config) if self.runs else [])
