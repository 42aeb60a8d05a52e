"""The runs of a table as the report sees them: one result per row and seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmark.runs.predictions import Predictions
from benchmark.spec.columns import COLUMNS

State = Literal["done", "running", "queued", "failed", "damaged", "unreadable", "interrupted", "pending"]
LEAST_ADVANCED: tuple[State, ...] = (
    *("damaged", "unreadable", "failed"),
    *("interrupted", "pending", "queued", "running", "done"),
)
"""What is made of several runs is as far as the least advanced of them, the first of these that occurs."""


@dataclass(frozen=True)
class SeedResult:
    """One run as the report sees it. A fused result has `members`, and `key` joins their keys by '+'.

    metrics: by name, accuracies in percent. predictions: reads them when called. env: what the run recorded of its
    commit, versions and dates, copied to PROVENANCE.json. clips: how many were evaluated. other_code: why it is not by
    today's code, if it is not. recorded: the folder of records that it comes from, if it does.
    """

    seed: int
    key: str
    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    predictions: Callable[[], Predictions] | None = None
    members: tuple[SeedResult, ...] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    clips: int = 0
    other_code: str = ""
    recorded: Path | None = None

    def value(self, column: str) -> float | None:
        """The column's metric, or None unless the run is done and the number finite."""
        number = self.metrics.get(COLUMNS[column].metric)
        return number if self.state == "done" and number is not None and math.isfinite(number) else None


RowRuns = Mapping[str, Sequence[SeedResult]]
