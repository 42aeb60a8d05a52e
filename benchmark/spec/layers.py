"""What a table, its bases and one of its rows say about the row's run, before any protocol."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.spec.bases import Bases, axis_of, composed, layer_at, names_at, network_of, read_bases
from benchmark.spec.include import Entry
from benchmark.spec.overrides import Layer, Setting, stacked
from benchmark.spec.source import Located, Problem


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

    @property
    def network(self) -> str:
        """Name of the row's network."""
        return network_of(self.as_written)

    def with_bases(self, bases: Bases) -> RowLayers:
        """The same network with other bases of the other axes: of what table and row set, what the network is remains."""
        return RowLayers(self.bases | bases, _of_network(self.of_table), _of_network(self.of_row))


def _of_network(layer: Layer) -> Layer:
    return {key: setting for key, setting in layer.items() if axis_of(key) == "network"}


def layers_of(entry: Entry, dataset: str | None, problems: list[Problem]) -> RowLayers | None:
    """The layers of a row on a data set, None for the table's own; None, and problems, where a base cannot be read.

    What is said under `also` for another data set is stronger than what the same table or row says for its own. A base
    replaces that of its axis, and what the table's `set` has for this axis.
    """
    source, at = entry.source, ("rows", entry.index)
    table_also, row_also = (also.get(dataset or "", {}) for also in (entry.spec.also, entry.row.also))
    bases: Bases = {}
    replaced: set[str] = set()
    for written, place in (
        (entry.spec.base, ("base",)),
        (entry.row.base, (*at, "base")),
        (table_also.get("base", ()), ("also", str(dataset), "base")),
        (row_also.get("base", ()), (*at, "also", str(dataset), "base")),
    ):
        found = read_bases(names_at(source, written, place), problems)
        if found is None:
            return None
        replaced |= found.keys() if place != ("base",) else set()
        bases |= found
    of_table = layer_at(source, entry.spec.set, ("set",))
    of_table = {key: setting for key, setting in of_table.items() if axis_of(key) not in replaced}
    of_row = layer_at(source, entry.row.set, (*at, "set"))
    if dataset is None:
        return RowLayers(bases, of_table, of_row)
    there = {"data.dataset": Setting(dataset, source.file, source.line("also", dataset))}
    of_table = stacked(of_table, there, _settings(source, table_also, ("also", dataset)))
    return RowLayers(bases, of_table, stacked(of_row, _settings(source, row_also, (*at, "also", dataset))))


def _settings(source: Located, also: dict[str, object], at: tuple[str | int, ...]) -> Layer:
    """What an `also` sets beside its `base`."""
    return layer_at(source, {key: value for key, value in also.items() if key != "base"}, at)
