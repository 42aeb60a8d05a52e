"""Which data sets a table's values are of."""

from __future__ import annotations

from benchmark.config.datasets import DATASETS
from benchmark.spec.table import Table


def measured_dataset(table: Table) -> str:
    """The data set that this protocol measures the table on."""
    configs = [row.config for row in table.rows if row.config is not None]
    return configs[0].data.dataset if configs else table.dataset


def printed_dataset(table: Table, label: str) -> str:
    """The data set of a row's printed values in columns that name none: its own at paper scale, if it has a config."""
    config = table.row(label).paper_config
    return config.data.dataset if config is not None else table.dataset


def dataset_title(name: str) -> str:
    """The data set's full name, or the given one where it is not known here."""
    return DATASETS[name].title if name in DATASETS else name
