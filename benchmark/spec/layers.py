"""What a table, its bases and one of its rows say about the row's run, before any protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmark.config.bases import Bases, axis_of, composed, layer_at, names_at, read_bases
from benchmark.config.overrides import Layer, Setting, stacked
from benchmark.config.source import Problem
from benchmark.spec.include import Entry
from benchmark.spec.table import OnDataset


@dataclass(frozen=True)
class RowLayers:
    """The settings of a row, the weakest first.

    Attributes:
        bases: By axis, the base that the row names, or else its table.
        of_table: The table's `set`.
        of_row: The row's `set`.
    """

    bases: Bases
    of_table: Layer
    of_row: Layer

    def with_protocol(self, protocol: Layer) -> Layer:
        """All settings as one layer: those of a protocol are stronger than the table's and weaker than the row's."""
        return stacked(composed(self.bases), self.of_table, protocol, self.of_row)

    @property
    def as_written(self) -> Layer:
        """All settings as one layer, without any protocol's."""
        return self.with_protocol({})

    def with_settings(self, settings: Layer) -> RowLayers:
        """With settings that are stronger than the row's own."""
        return replace(self, of_row=stacked(self.of_row, settings))

    def with_bases(self, bases: Bases) -> RowLayers:
        """The same network with other bases of the other axes: what table and row set for the network remains."""
        return RowLayers(self.bases | bases, _of_network(self.of_table), _of_network(self.of_row))


def _of_network(layer: Layer) -> Layer:
    return {key: setting for key, setting in layer.items() if axis_of(key) == "network"}


def layers_of(entry: Entry, dataset: str | None, problems: list[Problem]) -> RowLayers | None:
    """The layers of a row on a data set, None for the table's own; None, and problems, where a base cannot be read.

    A base replaces that of its axis which the table names, and one of a network what the table sets for its own. What a
    table or row says for another data set (`also`) is stronger than what it says otherwise.
    """
    source, at = entry.source, ("rows", entry.index)
    on_table, on_row = (also.get(dataset or "", OnDataset()) for also in (entry.spec.also, entry.row.also))
    also, row_also = ("also", str(dataset)), (*at, "also", str(dataset))
    places = (
        (entry.spec.base, ("base",)),
        (entry.row.base, (*at, "base")),
        (on_table.base, (*also, "base")),
        (on_row.base, (*row_also, "base")),
    )
    read = [read_bases(names_at(source, names, place), problems) for names, place in places]
    found = [bases for bases in read if bases is not None]
    if len(found) < len(read):
        return None
    bases = {axis: layer for one in found for axis, layer in one.items()}
    of_table = layer_at(source, entry.spec.set, ("set",))
    if any("network" in replacing for replacing in found[1:]):
        of_table = {key: setting for key, setting in of_table.items() if axis_of(key) != "network"}
    of_row = _set_by_row(entry)
    if dataset is not None:
        there = {"data.dataset": Setting(dataset, source.file, source.line(*also))}
        of_table = stacked(of_table, there, layer_at(source, on_table.set, (*also, "set")))
        of_row = stacked(of_row, layer_at(source, on_row.set, (*row_also, "set")))
    return RowLayers(bases, of_table, of_row)


def _set_by_row(entry: Entry) -> Layer:
    """A row's `set`; of a row of a sweep, the values that it has of the swept keys are written there."""
    source, at = entry.source, ("rows", entry.index)
    swept = {key: value for key, value in entry.row.set.items() if (*at, "sweep", key) in source.lines}
    rest = {key: value for key, value in entry.row.set.items() if key not in swept}
    return {**layer_at(source, rest, (*at, "set")), **layer_at(source, swept, (*at, "sweep"))}
