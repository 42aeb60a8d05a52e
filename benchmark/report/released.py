"""What published weights come to in a table's rows: a third kind of value, beside printed and measured ones.

They are of the authors' training, on the clips and by the views of the row; they enter no mark, mean or claim.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.plan import row_runs
from benchmark.released.stored import stored_evaluations
from benchmark.report.cell import Cell
from benchmark.report.labels import flat
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Row, Table

KIND = "released"


def released_cells(table: Table) -> list[Cell]:
    """A cell for every measured column of the rows that published weights were evaluated in."""
    return [cell for row in table.rows if row.config is not None and not row.theirs for cell in _of_row(table, row)]


def _of_row(table: Table, row: Row) -> list[Cell]:
    # Of official splits, each would need its own weights.
    runs = row_runs(row, table.seeds[:1])
    found = list(stored_evaluations(runs[0][1])) if len(runs) == 1 else []
    columns = [COLUMNS[key] for key in table.columns]
    return [
        Cell(
            row.label,
            column.key,
            KIND,
            one.metrics[column.metric],
            unit=column.unit,
            runs=(one.run.key,),
            note=f"released weights {one.name}",
            clips=len(one.predictions.ids),
        )
        for one in found
        for column in columns
        if column.kind == "measured" and not column.dataset and column.metric in one.metrics
    ]


def released_remark(cells: Sequence[Cell]) -> list[str]:
    """A sentence with the values, if there are any."""
    said: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        column = COLUMNS[cell.column]
        name = cell.note.removeprefix("released weights ")
        value = f"{column.title} {cell.value:.{column.decimals}f}"
        said.setdefault((flat(cell.row), name), []).append(value)
    if not said:
        return []
    values = "; ".join(f"{row} {', '.join(of_row)} ({name})" for (row, name), of_row in said.items())
    return [f"Released weights, trained by others and evaluated here: {values}."]
