"""The cells of a table, and how each reads."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from benchmark.cost.latency import RowTimings
from benchmark.report.cell import Cell
from benchmark.report.columns.kind import Evidence
from benchmark.report.columns.kinds import KINDS
from benchmark.report.costs import CountedCost
from benchmark.report.fuse import with_fused
from benchmark.report.results import RowRuns
from benchmark.report.statistics.compare import Comparison
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table

ALWAYS_COUNTED = ("gmacs", "mparams")
"""Counted in any case, and shown unless the paper prints a cost of another kind."""
NO_TIMINGS: RowTimings = MappingProxyType({})


def shown_columns(table: Table) -> tuple[Column, ...]:
    """The printed columns in order, then GMACs and parameters unless the paper prints costs of its own kind."""
    quantities = {COLUMNS[key].quantity for key in table.columns}
    extra = tuple(key for key in ALWAYS_COUNTED if COLUMNS[key].quantity not in quantities)
    return tuple(COLUMNS[key] for key in table.columns + extra)


def build_cells(
    table: Table, runs: RowRuns, costs: Mapping[str, CountedCost], timings: RowTimings = NO_TIMINGS
) -> list[Cell]:
    """Every cell of the table, row by row, at whatever stage its runs are. `runs` may hold fused rows already."""
    evidence = Evidence(Comparison(table, with_fused(table, runs)), costs, timings)
    cells: list[Cell] = []
    shown = shown_columns(table)
    columns = shown + tuple(COLUMNS[key] for key in ALWAYS_COUNTED if COLUMNS[key] not in shown)
    for row in table.rows:
        for column in columns:
            cells.append(_printed(row, column))
            if not row.quoted:
                cells.append(KINDS[column.kind].cell(row, column, evidence))
    return cells


def display(cell: Cell) -> str:
    """A cell as shown in a table: `51.4 ± 0.3 (3)`, `51.4` for one seed, `…` running, `–` missing; see its kind."""
    if cell.value is None:
        return {"running": "…", "pending": "–", "done": "–"}.get(cell.state or "pending", str(cell.state))
    column = COLUMNS[cell.column]
    if cell.kind == column.kind:
        return KINDS[column.kind].text(cell)
    return cell.text or f"{cell.value:.{column.decimals}f}"


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
