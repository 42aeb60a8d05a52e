"""Write everything that is known of a table into its results folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.cost.latency import RowTimings
from benchmark.launch.rundir import write_atomic
from benchmark.report.cells import NO_TIMINGS, CountedCost, RowRuns, build_cells
from benchmark.report.claims import judge
from benchmark.report.compare import Comparison, Contrast
from benchmark.report.curves import curves
from benchmark.report.fuse import with_fused
from benchmark.report.latex import latex
from benchmark.report.layout import lay_out
from benchmark.report.markdown import markdown
from benchmark.report.plot import accuracy_against_cost
from benchmark.report.tables import cells_csv, provenance_json, table_csv
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table


def render(
    table: Table,
    runs: RowRuns,
    costs: Mapping[str, CountedCost],
    out_dir: Path,
    provenance: Mapping[str, Any] | None = None,
    timings: RowTimings = NO_TIMINGS,
) -> list[Path]:
    """Render the table at whatever stage its runs are, and return the files, seven or nine.

    Each file appears whole or not at all, and only where its content changed: the same runs give the same bytes.
    """
    complete = with_fused(table, runs)
    cells = build_cells(table, complete, costs, timings)
    comparison = Comparison(table, complete)
    contrasts = baseline_contrasts(table, comparison)
    judgements = [judge(claim, table, comparison, costs, timings) for claim in table.claims]
    layout = lay_out(table, cells, costs)
    first = next((c.column for c in contrasts), None)
    contents: dict[str, str | bytes] = {
        "cells.csv": cells_csv(table, cells),
        "table.csv": table_csv(table, cells, costs, contrasts),
        "table.md": markdown(table, layout, [c for c in contrasts if c.column == first], judgements),
        "table.tex": latex(table, layout),
        "PROVENANCE.json": provenance_json(table, complete, provenance),
    }
    contents |= {f"plot.{kind}": image for kind, image in accuracy_against_cost(table, cells).items()}
    contents |= {f"curves.{kind}": image for kind, image in curves(table, cells).items()}
    out_dir.mkdir(parents=True, exist_ok=True)
    return [_write(out_dir / name, content) for name, content in contents.items()]


def baseline_contrasts(table: Table, comparison: Comparison) -> list[Contrast]:
    """Every other row against the baseline row, on every measured column, where both have finished a seed."""
    return [
        contrast
        for key in table.columns
        if COLUMNS[key].source == "measured" and not COLUMNS[key].dataset
        for row in table.rows
        if row.label != table.baseline and (contrast := comparison.contrast(row.label, table.baseline, key))
    ]


def _write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    if not path.exists() or path.read_bytes() != data:
        write_atomic(path, data)
    return path
