"""Settings of a table that are no mistakes, and yet may not do what their author expects."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.config.bases import BaseNames, base_names, composed, todays_names
from benchmark.config.overrides import Layer, resolve
from benchmark.config.source import Problem
from benchmark.spec.include import Gathered
from benchmark.spec.layers import RowLayers, layers_of
from benchmark.spec.load import open_table


def doubtful_settings(target: str, protocol_name: str = "embedded", dataset: str | None = None) -> list[Problem]:
    """What a table without errors sets in vain, or by halves, each once, in the order of its lines.

    Raises:
        SpecError: the table cannot be read.
    """
    gathered, resolver = open_table(target, protocol_name, dataset)
    found: set[Problem] = set(_former_names(gathered))
    for entry in gathered.entries:
        layers = None if entry.row.quoted or entry.row.average else layers_of(entry, resolver.dataset, [])
        config, _ = resolve(layers.as_written, ("", 0)) if layers is not None else (None, [])
        if layers is not None and config is not None:
            stronger = resolver.protocol.layer(config)
            found.update(_in_vain(layers, stronger, resolver.protocol.protocol.name))
            found.update(_batch_without_rate(layers, stronger))
    return sorted(found)


def _former_names(gathered: Gathered) -> Iterator[Problem]:
    """Bases by names that they no longer have."""
    source = gathered.source
    written: list[tuple[BaseNames, tuple[str | int, ...]]] = [(gathered.spec.base, ("base",))]
    written += [(entry.row.base, ("rows", entry.index, "base")) for entry in gathered.entries if entry.source is source]
    for names, at in written:
        for name in base_names(names):
            if (today := todays_names(name)) != (name,):
                yield Problem(source.file, source.line(*at), f"base '{name}' is now written [{', '.join(today)}]")


def _in_vain(layers: RowLayers, stronger: Layer, protocol: str) -> Iterator[Problem]:
    """What the table's `set` says and the protocol says otherwise, which is the stronger of the two."""
    for key, setting in layers.of_table.items():
        ruling = stronger.get(key)
        if ruling is not None and key not in layers.of_row and ruling.value != setting.value:
            yield Problem(
                setting.file,
                setting.line,
                f"'{key}' has no effect on protocol '{protocol}', which sets it to {ruling.value}"
                f" ({ruling.file}:{ruling.line}); set in a row, it stands",
            )


def _batch_without_rate(layers: RowLayers, stronger: Layer) -> Iterator[Problem]:
    """Another batch size than the recipe's, of base and protocol, at the recipe's learning rate."""
    recipe = composed(layers.bases) | stronger
    own = {key: setting for key, setting in layers.of_table.items() if key not in stronger} | layers.of_row
    batch, usual = own.get("train.batch_size"), recipe.get("train.batch_size")
    if batch is not None and usual is not None and batch.value != usual.value and "train.lr" not in own:
        yield Problem(
            batch.file,
            batch.line,
            f"'train.batch_size' is {batch.value}, the recipe's is {usual.value} ({usual.file}:{usual.line}), and"
            " 'train.lr' is still the recipe's: it usually goes with the batch size",
        )
