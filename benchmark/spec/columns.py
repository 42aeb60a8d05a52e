"""The columns that a table may have: their titles, units and where their values come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """A quantity. `source` says where our value comes from; `better` which way an improvement points.

    measured: from runs, in percent. counted: from the cost counters at paper scale. config: read off the resolved
    config at the dotted `path`.
    """

    key: str
    title: str
    unit: str
    source: Literal["measured", "counted", "config"]
    better: Literal["higher", "lower", "neither"]
    decimals: int = 1
    path: str = ""


COLUMNS: dict[str, Column] = {
    column.key: column
    for column in (
        Column("top1", "Top-1", "%", "measured", "higher"),
        Column("top5", "Top-5", "%", "measured", "higher"),
        Column("mean_class_acc", "Mean class acc.", "%", "measured", "higher"),
        Column("gmacs", "GMACs", "G", "counted", "lower", decimals=2),
        Column("mparams", "Params", "M", "counted", "lower", decimals=2),
        Column("num_bplc", "# BPLC", "", "config", "neither", decimals=0, path="model.num_bplc"),
    )
}
