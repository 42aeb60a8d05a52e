"""Cells: one value of one row and column, where it came from, and how it reads in a table.

A column has up to two cells per row: the printed one, and ours (measured, counted, timed or read off the config).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any, Literal

from benchmark.cost.latency import RowTimings, Timed
from benchmark.report.fuse import with_fused
from benchmark.report.results import RowRuns, SeedResult, State
from benchmark.spec.columns import COLUMNS, Column, multiple_of, shown_value
from benchmark.spec.table import Row, Table

Kind = Literal["printed", "measured", "counted", "config", "timed", "quoted", "missing"]
ALWAYS_COUNTED = ("gmacs", "mparams")
"""Counted in any case, and shown unless the paper prints a cost of another kind."""
NO_TIMINGS: RowTimings = MappingProxyType({})


@dataclass(frozen=True)
class ReadCost:
    """The count that is meant to explain a printed cost: its value, the reading's name, and whether it succeeds."""

    value: float
    name: str
    verdict: str


@dataclass(frozen=True)
class CountedCost:
    """The costs of a row at paper scale by column: plain counts, and what the printed ones are read as.

    Attributes:
        doubt: Why the counts of MACs cannot be relied on; "" where they can.
        at_least: Whether there are as many MACs at least, since not everything is counted.
    """

    values: Mapping[str, float]
    readings: Mapping[str, ReadCost] = field(default_factory=dict)
    doubt: str = ""
    at_least: bool = False

    def doubt_of(self, column: Column) -> str:
        """Why the count of a column cannot be relied on; "" where it can, as that of parameters always can."""
        return self.doubt if column.quantity == "macs" else ""


@dataclass(frozen=True)
class Cell:
    """One value: `n` of `wanted` seeds make up a measured one, `values` are theirs; `text` overrides the digits.

    `multiple`: K, M or G, where the value is shown in another than the column's. `clips`: that each of its runs was
    evaluated on. `timed`: of a timed one, the device,
    the spread of its `n` passes and the rest; its value is their median. `at_least`: of a counted one, of which not
    everything is counted.
    """

    row: str
    column: str
    kind: Kind
    value: float | None = None
    sd: float | None = None
    n: int = 0
    wanted: int = 0
    unit: str = ""
    runs: tuple[str, ...] = ()
    state: State | None = None
    values: tuple[tuple[int, float], ...] = ()
    text: str = ""
    note: str = ""
    multiple: str = ""
    timed: Timed | None = None
    clips: int = 0
    at_least: bool = False

    def display(self) -> str:
        """As shown in a table: `51.4 ± 0.3 (3)`, `51.4` for one seed, `51.5 ± 0.2 (2/3)`, `…` running, `–` missing.

        A timed one is the median and the slow end, `12.3 (p90 12.9)` of a time and `81.2 (p10 79.0)` of a rate.
        """
        if self.value is None:
            return {"running": "…", "pending": "–", "done": "–"}.get(self.state or "pending", str(self.state))
        if self.text:
            return self.text
        decimals = COLUMNS[self.column].decimals
        if self.kind == "counted":
            shown = shown_value(self.value, COLUMNS[self.column], decimals, self.multiple)
            return f"≥ {shown}" if self.at_least else shown
        shown = f"{self.value:.{decimals}f}"
        if self.timed:
            slow = ("p90", self.timed.p90) if COLUMNS[self.column].better == "lower" else ("p10", self.timed.p10)
            return f"{shown} ({slow[0]} {slow[1]:.{decimals}f})"
        if self.kind != "measured":
            return shown
        if self.sd is not None:
            shown += f" ± {self.sd:.{decimals}f}"
        if self.n < self.wanted:
            return f"{shown} ({self.n}/{self.wanted})"
        return f"{shown} ({self.n})" if self.n > 1 else shown


def shown_columns(table: Table) -> tuple[Column, ...]:
    """The printed columns in order, then GMACs and parameters unless the paper prints costs of its own kind."""
    quantities = {COLUMNS[key].quantity for key in table.columns if COLUMNS[key].source == "counted"}
    extra = tuple(key for key in ALWAYS_COUNTED if COLUMNS[key].quantity not in quantities)
    return tuple(COLUMNS[key] for key in table.columns + extra)


def build_cells(
    table: Table, runs: RowRuns, costs: Mapping[str, CountedCost], timings: RowTimings = NO_TIMINGS
) -> list[Cell]:
    """Every cell of the table, row by row, at whatever stage its runs are. `runs` may hold fused rows already."""
    complete = with_fused(table, runs)
    cells: list[Cell] = []
    shown = shown_columns(table)
    columns = shown + tuple(COLUMNS[key] for key in ALWAYS_COUNTED if COLUMNS[key] not in shown)
    for row in table.rows:
        for column in columns:
            cells.append(_printed(row, column))
            if not row.quoted:
                timed = timings.get(row.label, {}).get(column.key)
                cells.append(_ours(table, row, column, complete[row.label], costs.get(row.label), timed))
    return cells


def find_cell(cells: Sequence[Cell], row: str, column: str, ours: bool) -> Cell | None:
    """The printed or our cell of a row and column; None where a quoted row has none of ours."""
    pair = [cell for cell in cells if cell.row == row and cell.column == column]
    return pair[1] if ours and len(pair) > 1 else None if ours or not pair else pair[0]


def printed_dataset(table: Table, label: str) -> str:
    """The data set of a row's printed values in columns that name none: its own at paper scale, if it has a config."""
    config = table.row(label).paper_config
    return config.data.dataset if config is not None else table.dataset


def config_value(row: Row, column: Column) -> float | None:
    """The number at the column's dotted path of the row's config."""
    node: Any = row.paper_config or row.config
    for name in column.path.split("."):
        node = getattr(node, name, None)
    return float(node) if isinstance(node, int | float) else None


def _printed(row: Row, column: Column) -> Cell:
    if column.key not in row.printed:
        return Cell(row.label, column.key, "missing", unit=column.unit)
    return Cell(
        row.label,
        column.key,
        "quoted" if row.quoted else "printed",
        row.printed[column.key],
        unit=column.unit,
        text=row.printed_text.get(column.key, ""),
    )


def _ours(
    table: Table,
    row: Row,
    column: Column,
    results: Sequence[SeedResult],
    cost: CountedCost | None,
    timed: Timed | None,
) -> Cell:
    if column.source == "measured" and column.dataset:
        return Cell(row.label, column.key, "missing", unit=column.unit)
    if column.source == "measured":
        return _measured(table, row, column, results)
    if column.source == "timed":
        return _timed(row, column, timed)
    kind: Kind = "counted" if column.source == "counted" else "config"
    value = (cost.values.get(column.key) if cost else None) if kind == "counted" else config_value(row, column)
    doubt = cost.doubt_of(column) if cost and kind == "counted" else ""
    return Cell(
        row.label,
        column.key,
        kind if value is not None else "missing",
        value,
        unit=column.unit,
        note=f"{column.title}: {doubt}" if doubt and value is not None else "",
        multiple=multiple_of(row.printed_text.get(column.key, "")),
        at_least=bool(doubt and cost and cost.at_least),
    )


def _timed(row: Row, column: Column, timed: Timed | None) -> Cell:
    if timed is None:
        return Cell(row.label, column.key, "missing", unit=column.unit)
    sample = timed.sample
    beside = f"timed while other programs took {sample.load:.1f} cores" if sample.crowded else ""
    return Cell(
        row.label, column.key, "timed", timed.value, n=sample.passes, unit=column.unit, note=beside, timed=timed
    )


def _measured(table: Table, row: Row, column: Column, results: Sequence[SeedResult]) -> Cell:
    values = tuple((r.seed, v) for r in results if (v := r.value(column.key)) is not None)
    unfinished = [r for r in results if r.value(column.key) is None]
    state = _worst_news(unfinished)
    note = "; ".join(
        f"seed {r.seed}: {r.note}" if r.note else f"seed {r.seed} {r.state}"
        for r in results
        if r.note or (values and r in unfinished and r.state != "pending")
    )
    numbers = [v for _, v in values]
    return Cell(
        row.label,
        column.key,
        "measured" if values else "missing",
        fmean(numbers) if numbers else None,
        stdev(numbers) if len(numbers) > 1 else None,
        len(numbers),
        len(table.seeds),
        column.unit,
        tuple(r.key for r in results if r.value(column.key) is not None),
        state,
        values,
        note=note,
        clips=min((r.clips for r in results if r.value(column.key) is not None), default=0),
    )


def _worst_news(unfinished: Sequence[SeedResult]) -> State:
    """What a reader most needs to know of the runs that are not in the cell: a failure before one in progress."""
    states: tuple[State, ...] = ("damaged", "failed", "running", "queued", "interrupted", "pending")
    return next((s for s in states if any(r.state == s for r in unfinished)), "done")
