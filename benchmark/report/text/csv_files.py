"""cells.csv and table.csv (raw numbers), and PROVENANCE.json. Nothing here is rounded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.report.cell import Cell, find_cell
from benchmark.report.cells import shown_columns
from benchmark.report.columns.kinds import KINDS
from benchmark.report.costs import CountedCost
from benchmark.report.results import SeedResult
from benchmark.report.statistics.compare import Contrast
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

CELL_FIELDS = (
    *("table", "row", "label", "column", "kind", "value", "sd"),
    *("n", "wanted", "unit", "runs", "values", "note"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet evaluates."""


def cells_frame(table: Table, cells: Sequence[Cell]) -> DataFrame:
    """A row per cell: its place, value and origin, raw.

    Columns: `row` counts from 1; `kind` is printed, quoted, missing or that of the column (`report.columns`); `value`
    and `sd` are in `unit`, `n` of `wanted` seeds are in a measured one; `runs` is a tuple of run keys, `values` a dict
    from seed to value. The value of a timed cell is the median of `n` passes, its percentiles are in the same unit.
    """
    import pandas as pd

    position = {row.label: i for i, row in enumerate(table.rows, 1)}
    lines = [
        {
            "table": table.id,
            "row": position[cell.row],
            "label": cell.row,
            "column": cell.column,
            "kind": cell.kind,
            "value": cell.value,
            "sd": cell.sd,
            "n": cell.n if cell.wanted or cell.n else None,
            "wanted": cell.wanted or None,
            "unit": cell.unit,
            "runs": cell.runs,
            "values": dict(cell.values),
            "note": "; ".join(part for part in (_state(cell), cell.note) if part),
            **KINDS[COLUMNS[cell.column].kind].in_cells_csv(cell),
        }
        for cell in cells
    ]
    further = {name: dtype for key in table.columns for name, dtype in KINDS[COLUMNS[key].kind].cell_fields.items()}
    frame = pd.DataFrame(lines, columns=[*CELL_FIELDS, *further])
    numbers = {name: dtype for name, dtype in further.items() if dtype}
    return frame.astype({"value": "float64", "sd": "float64", "n": "Int64", "wanted": "Int64", **numbers})


def cells_csv(frame: DataFrame) -> str:
    """cells.csv: a line per cell; `runs` are keys, `values` are seed=value, both separated by blanks."""
    shown = frame.assign(
        runs=[" ".join(keys) for keys in frame["runs"]],
        values=[" ".join(f"{seed}={value!r}" for seed, value in held.items()) for held in frame["values"]],
    )
    return shown.to_csv(index=False, lineterminator="\n")


def _state(cell: Cell) -> str:
    return str(cell.state) if cell.kind == "missing" and cell.state else ""


def table_csv(
    table: Table, cells: Sequence[Cell], costs: Mapping[str, CountedCost], contrasts: Sequence[Contrast]
) -> str:
    """One line per row. Differences are from the baseline row, with their simultaneous 95 % interval and p (Dunnett).

    A cost of which not everything is counted is left empty; cells.csv has what is counted, and a note. Labels are text
    to a spreadsheet, whatever they begin with; cells.csv has them as they are.
    """
    import pandas as pd

    by_pair = {(c.lhs, c.column): c for c in contrasts}
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {"label": spreadsheet_text(row.label)}
        for column in shown_columns(table):
            key = column.key
            printed = find_cell(cells, row.label, key, ours=False)
            ours = find_cell(cells, row.label, key, ours=True)
            line[f"printed_{key}"] = printed.value if printed else None
            if column.dataset:
                continue
            line[f"{column.kind}_{key}"] = ours.value if ours and not ours.at_least else None
            line |= KINDS[column.kind].in_table_csv(column, ours, by_pair.get((row.label, key)))
        for column in shown_columns(table):
            line |= KINDS[column.kind].at_end_of_table_csv(column, costs.get(row.label))
        lines.append(line)
    frame = pd.DataFrame(lines)
    counts = [name for name in frame.columns if name.startswith("n_")]
    return frame.astype(dict.fromkeys(counts, "Int64")).to_csv(index=False, lineterminator="\n")


def spreadsheet_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula: one that would be is led by an apostrophe."""
    return f"'{text}" if text[:1] in FORMULA else text


def provenance_json(
    table: Table, runs: Mapping[str, Sequence[SeedResult]], given: Mapping[str, Any] | None = None
) -> str:
    """Where the numbers come from: every run with its rows, seed, state and what it recorded of itself.

    Commits, versions and dates are those of the runs, so that rendering the same runs again changes nothing. `given`
    joins the top level; what varies from one rendering to the next does not belong there.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    lab_of = {row.label: row.theirs for row in table.rows}
    for label, results in runs.items():
        lab = lab_of.get(label, "")
        for result in results:
            for run in result.members or (result,):
                if run.key:
                    entry = {"key": run.key, "seed": run.seed, "state": run.state, "rows": [], "env": dict(run.env)}
                    entry |= {"other_code": run.other_code} if run.other_code else {}
                    rows = found.setdefault((run.key, lab), {**entry, **({"lab": lab} if lab else {})})["rows"]
                    if label not in rows:
                        rows.append(label)
    whole = {
        "table": table.id,
        "protocol": table.protocol,
        "seeds": list(table.seeds),
        "runs": [found[place] for place in sorted(found)],
    }
    return json.dumps(whole | dict(given or {}), indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"
