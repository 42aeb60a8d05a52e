"""Load tables from `tables/`, every row resolved for a protocol.

A setting of a row is the strongest of these, from the weakest on:

1. the default of its config class;
2. the bases, each of one axis: those that the row names, else the table's (`benchmark.config.bases`);
3. the table's `set`, without what it says of its own network where the row names another one;
4. the protocol's `set`, and what it has for the row's network under `models`;
5. the row's `set`;
6. for a spatial size or a channel width that the protocol does not set: what 1 to 5 make of it, times its factor.

On another data set of the table, `also` stands beside 2, 3 and 5: its bases replace those of their axes, its settings
follow those of the `set` beside it. The run that a row starts from has the row's network, with what 3 and 5 say of it,
and the bases of the other axes that `train.start_from` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.config.folders import shown, tables_roots
from benchmark.config.overrides import layer_of_texts
from benchmark.config.source import Located, Problem, SpecError, did_you_mean
from benchmark.spec.columns import COLUMNS, printed_value
from benchmark.spec.files import spec_paths
from benchmark.spec.include import Gathered, gather
from benchmark.spec.other_datasets import other_datasets, own_data, seen_from, without_settings
from benchmark.spec.protocol import load_protocol
from benchmark.spec.rows import RowResolver
from benchmark.spec.sides import check_claims, named_elsewhere
from benchmark.spec.table import Protocol, Row, Table


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
            raise SpecError([Problem(", ".join(map(shown, tables_roots())), 0, f"no table '{target}'.{hint}")])
    return list(chosen)


def load_table(
    target: str,
    protocol_name: str = "embedded",
    seeds: tuple[int, ...] | None = None,
    dataset: str | None = None,
    asked: tuple[str, ...] = (),
) -> Table:
    """A table by id or path, every row resolved for the protocol.

    Measured on another data set that it prints, `top1@hmdb51` is its `top1`, and its own is `top1@ucf101`. Costs stay
    those of its own data set, as they are printed.

    Args:
        target: `bqn-3b`, or the path of a table file.
        protocol_name: a file of tables/protocols/, without its ending.
        seeds: instead of the protocol's.
        dataset: another data set of its columns, for which it has settings (`also`), or one of the user's own, by name
            or by the path of its file; default: its own.
        asked: further settings of every measured row, as `train.lr=0.1`, stronger than those of any file.

    Raises:
        SpecError: with every problem of the table, its bases and the protocol.
    """
    gathered, resolver = open_table(target, protocol_name, dataset, asked)
    rows = tuple(row for entry in gathered.entries if (row := resolver.row(entry, gathered)))
    named = named_elsewhere(gathered, resolver.dataset, resolver.problems)
    elsewhere = tuple(row for other, entry in named if (row := resolver.row(entry, other)))
    if resolver.problems:
        raise SpecError(resolver.problems)
    table = _table(gathered, rows, elsewhere, resolver.protocol.protocol, seeds)
    on = str(resolver.on["data.dataset"].value) if resolver.on else ""
    table = table.model_copy(update={"asked": asked, "on": on})
    return table if resolver.dataset is None else seen_from(table, resolver.dataset)


def open_table(
    target: str, protocol_name: str, dataset: str | None, asked: Sequence[str] = ()
) -> tuple[Gathered, RowResolver]:
    """A table's file with all that it includes, and what resolves its rows; its problems are those found so far.

    Raises:
        SpecError: the file is no table, or it is not measured on this data set.
    """
    protocol, settings = load_protocol(protocol_name), layer_of_texts(asked)
    path = spec_paths().get(target, Path(target))
    problems: list[Problem] = []
    gathered = gather(path, problems)
    if gathered is None:
        raise SpecError(problems)
    problems += [*_cross_checks(gathered, path), *check_claims(gathered)]
    dataset, on = own_data(dataset)
    if dataset == gathered.spec.dataset:
        dataset = None
    if dataset is not None and (refused := list(without_settings(gathered, dataset, protocol))):
        raise SpecError(problems + refused)
    return gathered, RowResolver(protocol, dataset, problems, on, settings)


def _table(
    gathered: Gathered,
    rows: tuple[Row, ...],
    elsewhere: tuple[Row, ...],
    protocol: Protocol,
    seeds: tuple[int, ...] | None,
) -> Table:
    """The table of these rows."""
    spec = gathered.spec
    return Table(
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


def misplaced(paper: str, number: str, source: Located, path: Path) -> Iterator[Problem]:
    """What is wrong with where a table's file lies and how it is named; one of the user's own has an id of its own."""

    def problem(message: str, key: str) -> Problem:
        return Problem(source.file, source.line(key), message)

    if Path(source.file).stem != number:
        name = Path(source.file).name
        yield problem(f"table '{number}' is in a file named '{name}': write `table: {path.stem}`", "table")
    home = spec_paths().get(f"{paper}-{number}")
    if any(path.resolve().is_relative_to(root.resolve()) for root in tables_roots()):
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
