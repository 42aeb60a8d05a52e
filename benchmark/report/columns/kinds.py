"""The kinds of columns by name, which is the `kind` of a column in `spec.columns`. Captions speak in this order."""

from __future__ import annotations

from benchmark.report.columns.config import Config
from benchmark.report.columns.counted import Counted
from benchmark.report.columns.kind import ColumnKind
from benchmark.report.columns.measured import Measured
from benchmark.report.columns.timed import Timed

KINDS: dict[str, ColumnKind] = {
    "measured": Measured(),
    "counted": Counted(),
    "timed": Timed(),
    "config": Config(),
}
