"""Load tables, bases and protocols from `tables/`, and resolve every row for a protocol.

Precedence of settings, weakest first: the class defaults, the base (and the base that it builds on), the table's `set`
and, on another data set, its `also`, the protocol's `set` and what it has for the row's network, the row's `set` and
`also`. The protocol's scale factors then apply to every spatial size and channel width that the protocol itself does
not set. The run that a row starts from has the settings of its base and of the protocol alone.

Settings of `model.` belong to one network: a base that names another one does not inherit them, and those in a table's
`set` pass by the rows whose base is another network's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from benchmark.config.bases import base_layer, layer_at, network_of
from benchmark.config.datasets import official_splits
from benchmark.config.folders import shown, tables_root
from benchmark.config.overrides import Layer, Setting, resolve
from benchmark.config.run import RunConfig
from benchmark.config.source import Located, Problem, SpecError, did_you_mean, read_yaml
from benchmark.spec.columns import COLUMNS, printed_value
from benchmark.spec.files import parse_as, protocol_names, spec_paths
from benchmark.spec.include import Entry, Gathered, gather
from benchmark.spec.other_datasets import layer_on, other_datasets, own_settings_on, seen_from, without_settings
from benchmark.spec.sides import check_claims, named_elsewhere
from benchmark.spec.table import Protocol, Reading, Row, Table


def select(targets: list[str]) -> list[str]:
    """Table ids, paper keys and paths of table files, as table ids and paths; each once, in the order given.

    Raises:
        SpecError: a target that is none of these.
    """
    known = spec_paths()
    papers = {path.parent.name for path in known.values()}
    chosen: dict[str, None] = {}
    for target in targets:
        if target in known or target.endswith((".yaml", ".yml")):
            chosen[target] = None
        elif target in papers:
            chosen |= dict.fromkeys(name for name, path in known.items() if path.parent.name == target)
        else:
            hint = did_you_mean(target, [*known, *papers])
            raise SpecError([Problem(shown(tables_root()), 0, f"no table '{target}'.{hint}")])
    return list(chosen)


def load_protocol(name: str) -> tuple[Protocol, Layer, dict[str, Layer]]:
    """A protocol, its overrides, and its further overrides by network.

    Raises:
        SpecError: there is no such protocol, or its file has errors.
    """
    path = tables_root() / "protocols" / f"{name}.yaml"
    if not path.exists():
        where = shown(tables_root() / "protocols")
        raise SpecError([Problem(where, 0, f"no protocol '{name}'.{did_you_mean(name, protocol_names())}")])
    source = read_yaml(path, shown(path))
    protocol, problems = parse_as(Protocol, source, extra={"name": name})
    if protocol is None or problems:
        raise SpecError(problems)
    by_model = {name: layer_at(source, values, ("models", name)) for name, values in protocol.models.items()}
    return protocol, layer_at(source, protocol.set, ("set",)), by_model


def load_table(
    target: str,
    protocol_name: str = "embedded",
    seeds: tuple[int, ...] | None = None,
    dataset: str | None = None,
) -> Table:
    """A table by id or path, every row resolved for the protocol.

    Measured on another data set that it prints, `top1@hmdb51` is its `top1`, and its own is `top1@ucf101`. Costs stay
    those of its own data set, as they are printed.

    Args:
        target: `bqn-3b`, or the path of a table file.
        protocol_name: a file of tables/protocols/, without its ending.
        seeds: instead of the protocol's.
        dataset: another data set of its columns, for which it has settings (`also`); default: its own.

    Raises:
        SpecError: with every problem of the table, its bases and the protocol.
    """
    protocol, protocol_layer, for_model = load_protocol(protocol_name)
    path = spec_paths().get(target, Path(target))
    problems: list[Problem] = []
    gathered = gather(path, problems)
    if gathered is None:
        raise SpecError(problems)
    spec = gathered.spec
    problems += _cross_checks(gathered, path)
    problems += check_claims(gathered)
    if dataset == spec.dataset:
        dataset = None
    if dataset is not None:
        refused = list(without_settings(gathered, dataset, protocol, protocol_layer))
        if refused:
            raise SpecError(problems + refused)
    make = _RowMaker(protocol, protocol_layer, for_model, dataset, problems)
    rows = tuple(row for entry in gathered.entries if (row := make(entry, gathered)))
    named = named_elsewhere(gathered, dataset, problems)
    elsewhere = tuple(row for other, entry in named if (row := make(entry, other)))
    if problems:
        raise SpecError(problems)
    table = Table(
        id=f"{spec.paper}-{spec.table}",
        paper=spec.paper,
        number=spec.table,
        caption=spec.caption,
        dataset=spec.dataset,
        label_header=spec.label,
        columns=spec.columns,
        curves=spec.curves,
        baseline=spec.baseline or rows[0].label,
        rows=rows,
        claims=gathered.claims,
        elsewhere=elsewhere,
        protocol=protocol.name,
        seeds=protocol.seeds if seeds is None else seeds,
        splits=spec.splits,
        others=tuple(other_datasets(gathered)),
        note=spec.note,
    )
    return table if dataset is None else seen_from(table, dataset)


@dataclass
class _RowMaker:
    """Resolves rows as they are asked for: by a protocol, on a data set (None: the table's own)."""

    protocol: Protocol
    protocol_layer: Layer
    for_model: dict[str, Layer]
    dataset: str | None
    problems: list[Problem]

    def __call__(self, entry: Entry, gathered: Gathered) -> Row | None:
        """A row of a table; None, and problems, where its base cannot be read."""
        row, home, problems = entry.row, entry.source, self.problems
        at = ("rows", entry.index, "base") if row.base else ("base",)
        below = base_layer(row.base or entry.spec.base, home, at, problems)
        if below is None:
            return None
        shared = layer_at(home, entry.spec.set, ("set",))
        if row.base and network_of(below) != network_of(base_layer(entry.spec.base, home, ("base",), problems) or {}):
            shared = {key: value for key, value in shared.items() if not key.startswith("model.")}
        own = layer_at(home, row.set, ("rows", entry.index, "set"))
        there, own_there = layer_on(entry, self.dataset, below, shared, problems), own_settings_on(entry, self.dataset)
        measured_on = there | own | own_there
        narrowed = self.protocol_layer | self.for_model.get(network_of(measured_on), {})
        resolver = _RowResolver(
            paper=below | shared | own,
            unscaled=measured_on,
            counted=layer_at(home, entry.spec.counted, ("counted",)),
            scaled=there | narrowed | own | own_there,
            where=(home.file, home.line("rows", entry.index)),
            problems=problems,
        )
        for other in {*entry.spec.also, *row.also} if self.dataset is None and not row.quoted else ():
            problems += _problems_on(entry, other, below, shared, own)
        measured = not (row.quoted or row.average)
        config = resolver.at_scale(self.protocol, narrowed) if measured else None
        start = _start(config, entry, self.protocol, self.protocol_layer, self.for_model, problems) if config else None
        return Row(
            family=self.protocol.family_of(config) if config else "",
            label=row.label,
            config=config,
            start=start,
            splits=_splits(config, gathered, problems) if config else (),
            paper_config=resolver.at_paper_scale() if measured else None,
            readings=dict(_readings(entry, resolver if measured else None)),
            average=row.average,
            quoted=row.quoted,
            printed={key: printed_value(text, COLUMNS[key]) for key, text in entry.texts.items()},
            printed_text=entry.texts,
            note=row.note,
        )


def _problems_on(entry: Entry, dataset: str, below: Layer, shared: Layer, own: Layer) -> list[Problem]:
    """What is wrong with a row's settings on another data set, which nothing has asked for."""
    problems: list[Problem] = []
    there = layer_on(entry, dataset, below, shared, problems)
    where = (entry.source.file, entry.source.line("rows", entry.index))
    return problems + resolve(there | own | own_settings_on(entry, dataset), where)[1]


def _start(
    config: RunConfig,
    entry: Entry,
    protocol: Protocol,
    protocol_layer: Layer,
    for_model: dict[str, Layer],
    problems: list[Problem],
) -> RunConfig | None:
    """The run whose weights a row starts from; a problem where its network is another one."""
    name, at = config.train.start_from, ("rows", entry.index)
    layer = base_layer(name, entry.source, at, problems) if name else None
    if layer is None:
        return None
    narrowed, where = protocol_layer | for_model.get(network_of(layer), {}), (entry.source.file, entry.source.line(*at))
    start = _RowResolver(layer, layer, {}, layer | narrowed, where, problems).at_scale(protocol, narrowed)
    if start is None:
        return None
    free = {"pretrained", "dropout"}
    ours, theirs = (one.model.model_dump(mode="json", exclude=free) for one in (config, start))
    differing = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if differing:
        text = f"train.start_from: {name} is of another network: model.{', model.'.join(differing)} differ"
        problems.append(Problem(*where, text))
    if start.train.start_from:
        problems.append(Problem(*where, f"train.start_from: {name} itself starts from {start.train.start_from}"))
    return start


def _readings(entry: Entry, resolver: _RowResolver | None) -> Iterator[tuple[str, Reading]]:
    """How each printed cost of a row comes about: said for the column, for the row, or for the table."""
    at = ("rows", entry.index)
    for key in entry.texts:
        if COLUMNS[key].source != "counted":
            continue
        choices = (
            (entry.row.reading_of.get(key), (*at, "reading_of", key, "set")),
            (entry.row.reading, (*at, "reading", "set")),
            (entry.spec.reading, ("reading", "set")),
        )
        reading, where = next(((r, w) for r, w in choices if r is not None), (None, ()))
        if reading is not None:
            config = resolver.at_paper_scale(layer_at(entry.source, reading.set, where)) if resolver else None
            yield key, Reading(convention=reading.convention, set=reading.set, why=reading.why, config=config)


def _splits(config: RunConfig, gathered: Gathered, problems: list[Problem]) -> tuple[str, ...]:
    """The official splits that a row is measured on, as data sets; none where that is one."""
    try:
        names = official_splits(config.data.dataset, gathered.spec.splits)
    except ValueError as error:
        source = gathered.source
        problem = Problem(source.file, source.line("splits"), f"splits: {error}")
        if problem not in problems:
            problems.append(problem)
        return ()
    return names if len(names) > 1 else ()


@dataclass
class _RowResolver:
    """A row's merged settings; resolving one collects its problems instead of raising.

    `paper`: as printed, on the table's own data set; `counted`: what differs for its costs. `unscaled`: as measured,
    before the protocol; `scaled`: with what the protocol sets.
    """

    paper: Layer
    unscaled: Layer
    counted: Layer
    scaled: Layer
    where: tuple[str, int]
    problems: list[Problem]

    def _resolve(self, layer: Layer) -> RunConfig | None:
        config, found = resolve(layer, self.where)
        self.problems += found
        return _canonical(config) if config else None

    def at_paper_scale(self, variant: Layer | None = None) -> RunConfig | None:
        return self._resolve(self.paper | self.counted | (variant or {}))

    def at_scale(self, protocol: Protocol, protocol_layer: Layer) -> RunConfig | None:
        config, found = resolve(self.unscaled, self.where)
        if config is None:
            self.problems += found
            return None
        return self._resolve(self.scaled | _scaled_layer(config, protocol, protocol_layer, self.unscaled, self.where))


def _canonical(config: RunConfig) -> RunConfig:
    """Two spellings of one experiment become one config.

    A Quiet input as large as Busy's is the default, and so is a batch that one device holds.
    """
    if config.train.parts == 1 and config.train.device_batch:
        config = config.model_copy(update={"train": config.train.model_copy(update={"device_batch": None})})
    model = config.model
    if model.name != "bqn":
        return config
    update: dict[str, Any] = {}
    if model.quiet_size == config.data.size:
        update["quiet_size"] = None
    if model.quiet_segments == config.data.segments:
        update["quiet_segments"] = None
    return config.model_copy(update={"model": model.model_copy(update=update)}) if update else config


def _scaled_layer(
    config: RunConfig, protocol: Protocol, protocol_layer: Layer, origin: Layer, where: tuple[str, int]
) -> Layer:
    """The protocol's factors on every scaled field that it does not set itself, located where the field was written."""
    factors = {"spatial": protocol.spatial, "width": protocol.width}
    layer: Layer = {}

    def walk(part: pydantic.BaseModel, prefix: str) -> None:
        for name, info in type(part).model_fields.items():
            value, dotted = getattr(part, name), f"{prefix}{name}"
            extra = info.json_schema_extra
            kind = extra.get("scales") if isinstance(extra, dict) else None
            if isinstance(value, pydantic.BaseModel):
                walk(value, f"{dotted}.")
            elif kind and value is not None and dotted not in protocol_layer:
                scaled = value * factors[str(kind)]
                written = origin.get(dotted) or Setting(value, *where)
                layer[dotted] = Setting(round(scaled) if kind == "spatial" else scaled, written.file, written.line)

    walk(config, "")
    return layer


def misplaced(paper: str, number: str, source: Located, path: Path) -> Iterator[Problem]:
    """What is wrong with where a table's file lies and how it is named; one of the user's own has an id of its own."""

    def problem(message: str, key: str) -> Problem:
        return Problem(source.file, source.line(key), message)

    if Path(source.file).stem != number:
        name = Path(source.file).name
        yield problem(f"table '{number}' is in a file named '{name}': write `table: {path.stem}`", "table")
    home = spec_paths().get(f"{paper}-{number}")
    if path.resolve().is_relative_to(tables_root().resolve()):
        if path.parent.name != paper:
            yield problem(f"a table of '{paper}' is in the folder '{path.parent.name}'", "paper")
    elif home is not None:
        taken = f"'{paper}-{number}' is {shown(home)}"
        yield problem(f"{taken}; give a table of your own another `paper` or `table`", "paper")


def _cross_checks(gathered: Gathered, path: Path) -> Iterator[Problem]:
    """What no single key shows: labels that do not exist, repeated or malformed ones, unknown columns."""
    spec, source = gathered.spec, gathered.source

    def problem(message: str, *at: str | int) -> Problem:
        return Problem(source.file, source.line(*at), message)

    entries = gathered.entries
    labels = [entry.row.label for entry in entries]
    yield from misplaced(spec.paper, spec.table, source, path)
    parts = spec.label.count(" | ")
    for i, entry in enumerate(entries):
        row, at = entry.row, ("rows", entry.written)
        if labels.index(row.label) != i:
            yield problem(f"label '{row.label}' is given twice", *at, "label")
        if row.label.count(" | ") != parts:
            yield problem(f"label '{row.label}' must have {parts + 1} part(s) like '{spec.label}'", *at, "label")
        for key, text in entry.texts.items():
            value = printed_value(text, COLUMNS[key])
            if COLUMNS[key].unit == "%" and not 0 <= value <= 100:
                yield problem(f"printed.{key} is {value:g}, not a percentage", *at, "printed", key)
            if key not in spec.columns:
                yield problem(f"printed.{key} is not among the table's columns", *at, "printed", key)
        for name in row.average:
            if name not in labels:
                yield problem(f"no row '{name}' to average.{did_you_mean(name, labels)}", *at, "average")
            elif (other := entries[labels.index(name)].row).average or other.quoted:
                yield problem(f"'{name}' is not a measured row; average needs measured rows", *at, "average")
    printed_on = [name for key in spec.columns if (name := COLUMNS[key].dataset)]
    for name in spec.also:
        if name not in printed_on:
            text = f"no column is of '{name}'.{did_you_mean(name, printed_on)}"
            yield problem(text, "also", name)
    if spec.baseline is not None and spec.baseline not in labels:
        yield problem(f"no row '{spec.baseline}'.{did_you_mean(spec.baseline, labels)}", "baseline")
