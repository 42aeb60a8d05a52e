"""Rows as they are run: their settings resolved for a protocol and a data set, with every problem collected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmark.config.bases import base_names, layer_at, read_bases
from benchmark.config.datasets import official_splits
from benchmark.config.overrides import Layer, Setting, resolve, stacked
from benchmark.config.run import RunConfig
from benchmark.config.scaling import canonical, scaled_down
from benchmark.config.source import Problem
from benchmark.spec.columns import COLUMNS, printed_value
from benchmark.spec.include import Entry, Gathered
from benchmark.spec.layers import RowLayers, layers_of
from benchmark.spec.protocol import ProtocolLayers
from benchmark.spec.table import Reading, Row

Where = tuple[str, int]
"""File and line."""


@dataclass(frozen=True)
class RowResolver:
    """Resolves rows by a protocol; `problems` learns what is wrong with them.

    Attributes:
        dataset: Another that the table prints, on which they are measured; None: the table's own.
        on: Settings of one of the user's own, on which they are measured in its place; costs stay the printed one's.
        asked: Settings of the request, stronger than those of any file.
    """

    protocol: ProtocolLayers
    dataset: str | None
    problems: list[Problem]
    on: Layer = field(default_factory=dict)
    asked: Layer = field(default_factory=dict)

    def row(self, entry: Entry, gathered: Gathered) -> Row | None:
        """A row of a table; None, and problems, where its bases cannot be read."""
        row, where = entry.row, _where(entry)
        of_any_kind: dict[str, Any] = {
            "label": row.label,
            "average": row.average,
            "quoted": row.quoted,
            "other_seeds": row.other_seeds,
            "printed": {key: printed_value(text, COLUMNS[key]) for key, text in entry.texts.items()},
            "printed_text": entry.texts,
            "note": row.note,
        }
        if row.quoted or row.average:
            return Row(**of_any_kind, readings=dict(self._readings(entry, None)))
        printed = self._layers(entry, None)
        layers = self._layers(entry, self.dataset, self.on)
        if printed is None or layers is None:
            return None
        if not printed.bases:
            self.problems.append(Problem(*where, f"row '{row.label}' has no base, and the table has none"))
            return None
        self._check_elsewhere(entry)
        config, layer = self.measured(layers, where)
        start = self._start(layers, layer["train.start_from"], where) if config and config.train.start_from else None
        return Row(
            **of_any_kind,
            config=config,
            family=self.protocol.protocol.family_of(config) if config else "",
            start=start,
            splits=self._splits(config, gathered) if config else (),
            paper_config=self._counted(entry, printed),
            readings=dict(self._readings(entry, printed)),
        )

    def settings(self, entry: Entry) -> tuple[RunConfig, Layer] | None:
        """The run of a measured row, and all settings that it comes from; None, and problems, where it has none."""
        layers = self._layers(entry, self.dataset, self.on)
        config, layer = self.measured(layers, _where(entry)) if layers else (None, {})
        return (config, layer) if config else None

    def _layers(self, entry: Entry, dataset: str | None, on: Layer | None = None) -> RowLayers | None:
        layers = layers_of(entry, dataset, self.problems)
        return layers.with_settings(stacked(on or {}, self.asked)) if layers else None

    def measured(self, layers: RowLayers, where: Where) -> tuple[RunConfig | None, Layer]:
        """The run at the protocol's scale, and all settings that it comes from."""
        whole = self._resolved(layers.as_written, where)
        if whole is None:
            return None, {}
        of_protocol = self.protocol.layer(whole)
        in_small = scaled_down(whole, self.protocol.factors, left=of_protocol)
        layer = stacked(layers.with_protocol(of_protocol), in_small)
        config = self._resolved(layer, where)
        return (canonical(config) if config else None), layer

    def _resolved(self, layer: Layer, where: Where) -> RunConfig | None:
        config, found = resolve(layer, where)
        self.problems.extend(found)
        return config

    def _check_elsewhere(self, entry: Entry) -> None:
        """Find what is wrong with a row's settings on other data sets, which nothing has asked for."""
        for other in {*entry.spec.also, *entry.row.also} - {self.dataset}:
            layers = layers_of(entry, other, self.problems)
            if layers is not None:
                self._resolved(layers.as_written, _where(entry))

    def _start(self, layers: RowLayers, named: Setting, where: Where) -> RunConfig | None:
        """The run whose weights a row starts from: its own network with the bases that `train.start_from` names."""
        names = [Setting(name, named.file, named.line) for name in base_names(named.value)]
        bases = read_bases(names, self.problems)
        if bases is None:
            return None
        start, _ = self.measured(layers.with_bases(bases), where)
        if "network" in bases or (start and start.train.start_from):
            reason = "is of the row's own network" if "network" in bases else "cannot start from another one itself"
            self.problems.append(
                Problem(named.file, named.line, f"train.start_from: the run that comes first {reason}")
            )
        return start

    def _splits(self, config: RunConfig, gathered: Gathered) -> tuple[str, ...]:
        """The official splits that a row is measured on, as data sets; none where that is one."""
        try:
            names = official_splits(config.data.dataset, gathered.spec.splits)
        except ValueError as error:
            source = gathered.source
            self.problems.append(Problem(source.file, source.line("splits"), f"splits: {error}"))
            return ()
        return names if len(names) > 1 else ()

    def _counted(self, entry: Entry, printed: RowLayers, variant: Layer | None = None) -> RunConfig | None:
        """The run at paper scale, as its costs are counted, or a variant of it."""
        counted = layer_at(entry.source, entry.spec.counted, ("counted",))
        config = self._resolved(stacked(printed.as_written, counted, variant or {}), _where(entry))
        return canonical(config) if config else None

    def _readings(self, entry: Entry, printed: RowLayers | None) -> Iterator[tuple[str, Reading]]:
        """How each printed cost of a row comes about: said for the column, for the row, or for the table."""
        at = ("rows", entry.index)
        for key in entry.texts:
            if not COLUMNS[key].quantity:
                continue
            choices = (
                (entry.row.reading_of.get(key), (*at, "reading_of", key, "set")),
                (entry.row.reading, (*at, "reading", "set")),
                (entry.spec.reading, ("reading", "set")),
            )
            reading, place = next(((r, w) for r, w in choices if r is not None), (None, ()))
            if reading is not None:
                variant = layer_at(entry.source, reading.set, place)
                config = self._counted(entry, printed, variant) if printed else None
                yield key, Reading(convention=reading.convention, set=reading.set, why=reading.why, config=config)


def _where(entry: Entry) -> Where:
    return entry.source.file, entry.source.line("rows", entry.index)
