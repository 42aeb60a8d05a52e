"""What a kind of column is asked: for the cells of our values, how these are shown, and what they say of claims."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from benchmark.cost.latency import RowTimings
from benchmark.report.cell import Cell
from benchmark.report.costs import CountedCost
from benchmark.report.labels import listed
from benchmark.report.statistics.compare import Comparison, Contrast
from benchmark.report.statistics.judgement import Judgement, Tested
from benchmark.report.statistics.relations import check_sizes, exact_difference, lhs_minus_rhs
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table


@dataclass(frozen=True)
class Evidence:
    """What is known of a table's rows: their runs (in `comparison`), and by label their costs and timings."""

    comparison: Comparison
    costs: Mapping[str, CountedCost]
    timings: RowTimings

    @property
    def table(self) -> Table:
        """The table."""
        return self.comparison.table


class ColumnKind(ABC):
    """A kind of column. What stands here is of a kind whose values are exact, with nothing special about them.

    Methods that take `columns` and `cells` get those of this kind in the table, printed cells among them.

    Attributes:
        is_result: Whether a value is an experiment's result on a data set: its best and second best are marked, and the
            table warns where the printed ones are of another data set.
        axis: Which axis of a plot of accuracy against cost such a column may be.
        one_entry: Whether a row shows one value, the printed one where there is one, instead of printed beside ours.
        verb: What is done to get a value of ours, as a verdict says it; "" for the kind's name.
        cell_fields: Further fields of cells.csv, in tables with such a column, and the types of those that are numbers.
    """

    is_result: ClassVar[bool] = False
    axis: ClassVar[Literal["value", "cost", ""]] = ""
    one_entry: ClassVar[bool] = False
    verb: ClassVar[str] = ""
    cell_fields: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def cell(self, row: Row, column: Column, evidence: Evidence) -> Cell:
        """Our value of a row, with what there is to say of it. Of a row that averages others, the kind says what."""

    def is_shown(self, table: Table, column: Column) -> bool:
        """Whether our value stands in the rendered table."""
        return True

    def text(self, cell: Cell) -> str:
        """Our value as shown in the rendered table; the cell has one."""
        return f"{cell.value:.{COLUMNS[cell.column].decimals}f}"

    def heading(self, column: Column, cells: Sequence[Cell]) -> str:
        """What stands above our values."""
        return column.kind

    def note(self, column: Column, printed: Cell | None, ours: Cell | None) -> str:
        """A footnote on a row's printed and own value together, beside the notes of the cells themselves."""
        return ""

    def caption(self, table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
        """Sentences of the table's caption."""
        return []

    def remarks(self, table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
        """Sentences below the table."""
        return []

    def in_cells_csv(self, cell: Cell) -> dict[str, Any]:
        """The values of `cell_fields`."""
        return {}

    def in_table_csv(self, column: Column, ours: Cell | None, contrast: Contrast | None) -> dict[str, Any]:
        """Fields of table.csv that follow our value; `contrast` is the row's difference from the baseline row."""
        return {}

    def at_end_of_table_csv(self, column: Column, cost: CountedCost | None) -> dict[str, Any]:
        """Fields of table.csv that follow those of all columns."""
        return {}

    def contrasts(self, column: Column, comparison: Comparison) -> list[Contrast]:
        """The other rows against the baseline row, with the error of their difference."""
        return []

    def judge(self, claim: Claim, column: Column, evidence: Evidence) -> Judgement | Tested:
        """The state of a claim; `Tested` where that waits for the correction over the table's other claims.

        Of exact values the difference alone decides.
        """
        if refused := self.not_testable(claim, column, evidence.table):
            return refused
        found = {label: self.cell(evidence.table.row(label), column, evidence).value for label in claim.labels}
        absent = [label for label, value in found.items() if value is None]
        if absent:
            return Judgement(claim, "not measured yet", f"not counted: {listed(absent)}", f"cost {evidence.table.id}")
        values = {label: value for label, value in found.items() if value is not None}
        difference, holds = exact_difference(claim, values)
        shown = self.difference_text(column, lhs_minus_rhs(claim, difference))
        reason = f"{self.verb or column.kind} difference {shown}".rstrip()
        return Judgement(claim, "supported" if holds else "contradicted", reason, sizes=check_sizes(claim, values))

    def not_testable(self, claim: Claim, column: Column, table: Table) -> Judgement | None:
        """Why no values of ours can ever decide the claim; None where they can."""
        quoted = [label for label in claim.labels if table.row(label).quoted]
        if not quoted:
            return None
        reason = f"quoted from other papers: {listed(quoted)}"
        return Judgement(claim, "not testable here", reason, "a row of our own for each of them")

    def difference_text(self, column: Column, difference: float) -> str:
        """A difference of exact values, for a verdict."""
        return f"{difference:+.2f} {column.unit}"


def our_cell(row: Row, column: Column, value: float | None, **further: Any) -> Cell:
    """A cell of ours, which is missing without a value."""
    return Cell(row.label, column.key, "missing" if value is None else column.kind, value, unit=column.unit, **further)
