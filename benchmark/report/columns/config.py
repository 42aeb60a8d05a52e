"""Config columns: a setting, read off the row's config at paper scale. A row that averages others has none.

A quoted row's setting is the printed one, which a claim may compare with ours: both are exact.
"""

from __future__ import annotations

from typing import Any

from benchmark.report.cell import Cell
from benchmark.report.columns.kind import ColumnKind, Evidence, our_cell
from benchmark.report.statistics.judgement import Judgement
from benchmark.spec.claim import Claim
from benchmark.spec.columns import Column
from benchmark.spec.table import Row, Table


class Config(ColumnKind):
    """See the file's first line."""

    # A setting is no result: there is nothing to compare the printed one with.
    one_entry = True
    verb = "configured"

    def cell(self, row: Row, column: Column, evidence: Evidence) -> Cell:
        """The number at the column's dotted path."""
        return our_cell(row, column, row.printed.get(column.key) if row.quoted else _setting(row, column))

    def note(self, column: Column, printed: Cell | None, ours: Cell | None) -> str:
        """What is measured here where the print, which is shown, says otherwise."""
        if not printed or not ours or None in (printed.value, ours.value) or printed.value == ours.value:
            return ""
        return f"{column.title} is {self.text(ours)} in the config measured here."

    def not_testable(self, claim: Claim, column: Column, table: Table) -> Judgement | None:
        """Everything is, quoted rows too."""
        return None


def _setting(row: Row, column: Column) -> float | None:
    node: Any = row.paper_config or row.config
    for name in column.path.split("."):
        node = getattr(node, name, None)
    return float(node) if isinstance(node, int | float) else None
