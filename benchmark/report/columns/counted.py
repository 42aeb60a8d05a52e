"""Counted columns: costs at paper scale, by our counters. A row that averages others costs the sum of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.report.cell import Cell
from benchmark.report.columns.kind import ColumnKind, Evidence, our_cell
from benchmark.report.costs import CountedCost
from benchmark.report.labels import flat
from benchmark.report.statistics.judgement import Judgement, Tested
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column, multiple_of, shown_value
from benchmark.spec.table import Row, Table


class Counted(ColumnKind):
    """See the file's first line."""

    axis = "cost"

    def cell(self, row: Row, column: Column, evidence: Evidence) -> Cell:
        """The plain count, in the multiple of the print; a note where it cannot be relied on."""
        cost = evidence.costs.get(row.label)
        value = cost.values.get(column.key) if cost else None
        doubt = cost.doubt_of(column) if cost else ""
        return our_cell(
            row,
            column,
            value,
            note=f"{column.title}: {doubt}" if doubt and value is not None else "",
            multiple=multiple_of(row.printed_text.get(column.key, "")),
            at_least=bool(doubt and cost and cost.at_least),
        )

    def text(self, cell: Cell) -> str:
        """`65.92`, `0.20K` where the column's unit shows too little of it, `≥ 1.50` of a lower bound."""
        assert cell.value is not None
        column = COLUMNS[cell.column]
        shown = shown_value(cell.value, column, column.decimals, cell.multiple)
        return f"≥ {shown}" if cell.at_least else shown

    def caption(self, table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
        """On which network costs are counted."""
        counted = any(cell.kind == "counted" for cell in cells)
        return ["GMACs and parameters are counted at paper scale."] if counted else []

    def at_end_of_table_csv(self, column: Column, cost: CountedCost | None) -> dict[str, Any]:
        """How the printed cost is interpreted."""
        found = cost.interpretations.get(column.key) if cost else None
        return {
            f"reading_{column.key}": found.value if found else None,
            f"reading_name_{column.key}": found.name if found else None,
            f"reading_verdict_{column.key}": found.verdict if found else None,
        }

    def judge(self, claim: Claim, column: Column, evidence: Evidence) -> Judgement | Tested:
        """Exactly, unless a count is in doubt: an operator is not counted, or the two counters differ unexplained."""
        found = super().judge(claim, column, evidence)
        costs = {label: cost for label in claim.labels if (cost := evidence.costs.get(label))}
        doubts = [f"{flat(label)}: {doubt}" for label, cost in costs.items() if (doubt := cost.doubt_of(column))]
        if isinstance(found, Tested) or found.state not in ("supported", "contradicted") or not doubts:
            return found
        takes = "counts without doubt: a rule for each operator, and counters that agree"
        return Judgement(claim, "not testable here", "; ".join(doubts), takes)

    def difference_text(self, column: Column, difference: float) -> str:
        """Two decimals in the column's unit; in a smaller unit where these are nothing, as in `+1.05M`."""
        if difference and round(difference, 2) == 0:
            return f"{'+' if difference > 0 else ''}{shown_value(difference, column, 2)}"
        return super().difference_text(column, difference)
