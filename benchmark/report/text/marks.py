"""Which cells a table marks as best and second best of their column, as papers do.

Only accuracies and other metrics are marked, printed values and ours apart. The marks say nothing about significance.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.report.cell import Cell
from benchmark.report.columns.kinds import KINDS
from benchmark.report.datasets import printed_dataset
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table

BEST, SECOND = "best", "second"
LEAST = 3
"""Values that a column needs before any is marked."""

Marks = dict[tuple[str, str, bool], str]
"""(row, column, ours) -> BEST or SECOND."""


def best_and_second(table: Table, cells: Sequence[Cell]) -> Marks:
    """The marks of a table's cells; none where fewer than three rows compete or all are equal."""
    theirs = {row.label for row in table.rows if row.theirs}
    groups: dict[tuple[str, bool, str], dict[str, float]] = {}
    for cell in cells:
        column = COLUMNS[cell.column]
        if cell.row in theirs or cell.value is None or not KINDS[column.kind].is_result or column.better == "neither":
            continue
        ours = cell.kind == column.kind
        # What reads the same is marked the same.
        value = round(cell.value, column.decimals) if ours else cell.value
        # Rows compete where they are of one data set.
        dataset = "" if column.dataset else printed_dataset(table, cell.row)
        groups.setdefault((cell.column, ours, dataset), {})[cell.row] = value
    marks: Marks = {}
    for (key, ours, _), values in groups.items():
        ranked = sorted(set(values.values()), reverse=COLUMNS[key].better == "higher")
        if len(values) < LEAST or len(ranked) < 2:
            continue
        mark_of = {ranked[0]: BEST, ranked[1]: SECOND}
        marks |= {(row, key, ours): mark_of[value] for row, value in values.items() if value in mark_of}
    return marks
