"""The cells of tables as a pandas DataFrame, from the runs and counts that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.cost.audit import AuditRow, audit_table
from benchmark.cost.latency import row_timings
from benchmark.report.cells import CountedCost, ReadCost, build_cells
from benchmark.spec.load import load_table, select

if TYPE_CHECKING:
    from pandas import DataFrame


def cells(
    *tables: str, protocol: str = "embedded", seeds: tuple[int, ...] | int | None = None, dataset: str | None = None
) -> DataFrame:
    """Every cell of some tables: a row each, with its value, where it came from and the runs behind it.

    ```
    import benchmark

    found = benchmark.cells("bqn-3b", "msnet-8")
    found[(found.kind == "measured") & (found.column == "top1")].pivot(index="label", columns="table", values="value")
    ```

    Args:
        tables: ids (`bqn-3b`), paper keys (`bqn`: all its tables) or paths of YAML files.
        protocol: where the rows are measured.
        seeds: how many, or which, instead of the protocol's.
        dataset: another data set that the table prints.

    Returns:
        The columns of cells.csv (`cells_frame`), `runs` as tuples of keys and `values` as dicts
        from seed to value. A cell without a value has kind "missing", and `note` says why.

    Raises:
        SpecError: there is no such table, or its file has errors.
    """
    import pandas as pd

    from benchmark.report.collect import collect
    from benchmark.report.text.csv_files import cells_frame

    seeds = tuple(range(seeds)) if isinstance(seeds, int) else seeds
    frames = []
    for name in select(list(tables)):
        table = load_table(name, protocol, seeds, dataset)
        costs = {row.label: counted_cost(row) for row in audit_table(table)}
        frames.append(cells_frame(table, build_cells(table, collect(table), costs, row_timings(table))))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def counted_cost(row: AuditRow) -> CountedCost:
    """What a table shows of an audit: the reading only where there is a print that it explains."""
    readings = {
        key: ReadCost(cell.verdict.count, cell.reading, cell.verdict.text())
        for key, cell in row.cells.items()
        if cell.verdict is not None
    }
    counts = {key: cell.count for key, cell in row.cells.items()}
    return CountedCost(counts, readings, row.doubt, at_least=bool(row.unclassified))
