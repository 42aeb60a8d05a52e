"""A table on another data set: one of its columns, for which it has settings (`also`), or one of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import shown
from benchmark.config.overrides import Layer, Setting
from benchmark.config.own_data import SUFFIXES, own_folder, register
from benchmark.config.source import Problem, SpecError
from benchmark.spec.columns import COLUMNS
from benchmark.spec.include import Entry, Gathered
from benchmark.spec.protocol import ProtocolLayers
from benchmark.spec.table import Table


def own_data(dataset: str | None) -> tuple[str | None, Layer]:
    """The data set of a table's columns that is asked for, or the settings of one of the user's own.

    Raises:
        SpecError: the file of one has errors, or there is none of that name.
    """
    if dataset is None:
        return None, {}
    if dataset.endswith(SUFFIXES):
        name = register(Path(dataset))
        if name in DATASETS.built_in:
            text = f"'{name}' is {DATASETS.built_in[name].title}: give yours another `name`"
            raise SpecError([Problem(dataset, 0, text)])
    else:
        name = dataset
    info = DATASETS.get(name)
    if info is None or info.own is None:
        return name, {}
    # What the table's or the protocol's data are known for is not known of these.
    values = {"data.dataset": name, "data.symmetries": False, "data.flip": bool(info.flipped)}
    return None, {key: Setting(value, f"--dataset {dataset}", 0) for key, value in values.items()}


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
        if dataset not in DATASETS:
            others += f"; one of your own is named by its file's path, or lies in {shown(own_folder())}"
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
