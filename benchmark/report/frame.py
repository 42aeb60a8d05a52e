"""The cells of tables as a pandas DataFrame, from the runs and counts that there are, and records of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.cost.audit import audit_table
from benchmark.cost.latency import row_timings
from benchmark.report.cells import build_cells
from benchmark.report.costs import counted_cost
from benchmark.report.sources import Sources
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
    sources = Sources()
    frames = []
    for name in select(list(tables)):
        table = load_table(name, protocol, seeds, dataset)
        costs = {row.label: counted_cost(row) for row in audit_table(table, sources.cost)}
        timings = row_timings(table, sources.timings)
        frames.append(cells_frame(table, build_cells(table, collect(table, sources=sources), costs, timings)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
