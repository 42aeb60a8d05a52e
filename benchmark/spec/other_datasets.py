"""A table on another data set than its own: one that it prints columns of and has settings for, under `also`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmark.config.source import Problem
from benchmark.spec.columns import COLUMNS
from benchmark.spec.include import Entry, Gathered
from benchmark.spec.protocol import ProtocolLayers
from benchmark.spec.table import Table


def other_datasets(gathered: Gathered) -> list[str]:
    """The data sets of a table's columns, besides its own, that all of its measured rows have settings for."""
    named = dict.fromkeys(COLUMNS[key].dataset for key in gathered.spec.columns if COLUMNS[key].dataset)
    measured = [entry for entry in gathered.entries if not (entry.row.quoted or entry.row.average)]
    return [name for name in named if measured and all(has_settings(entry, name) for entry in measured)]


def has_settings(entry: Entry, dataset: str) -> bool:
    """Whether a row, or the table that it was written in, says how it is measured on another data set."""
    return dataset in entry.spec.also or dataset in entry.row.also


def without_settings(gathered: Gathered, dataset: str, protocol: ProtocolLayers) -> Iterator[Problem]:
    """Why a table cannot be measured on another data set, if so."""
    spec, source = gathered.spec, gathered.source
    name, there = f"{spec.paper}-{spec.table}", other_datasets(gathered)
    if dataset not in there:
        others = f"; others that it is: {', '.join(there)}" if there else ""
        yield Problem(source.file, source.line("columns"), f"{name} is not measured on '{dataset}'{others}")
    elif "data.dataset" in protocol.of_all:
        on = protocol.of_all["data.dataset"].value
        text = f"the protocol {protocol.protocol.name} measures every table on {on}: --dataset is for --protocol paper"
        yield Problem(source.file, source.line("columns"), text)


def seen_from(table: Table, dataset: str) -> Table:
    """The table with another data set's columns as those that are measured, and its own under their data set's name."""

    def key_there(key: str) -> str:
        column = COLUMNS[key]
        if not column.metric:
            return key
        return column.base if column.dataset == dataset else f"{key}@{table.dataset}" if not column.dataset else key

    def there(values: dict[str, Any]) -> dict[str, Any]:
        return {key_there(key): value for key, value in values.items()}

    rows, elsewhere = (
        tuple(
            row.model_copy(update={"printed": there(row.printed), "printed_text": there(row.printed_text)})
            for row in part
        )
        for part in (table.rows, table.elsewhere)
    )
    claims = tuple(claim.model_copy(update={"metric": key_there(claim.metric)}) for claim in table.claims)
    columns = tuple(key_there(key) for key in table.columns)
    changes = {"dataset": dataset, "other": True, "rows": rows, "elsewhere": elsewhere}
    return table.model_copy(update={**changes, "claims": claims, "columns": columns})
