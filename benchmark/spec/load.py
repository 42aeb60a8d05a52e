"""Load tables, bases and protocols from `tables/`, and resolve every row for a protocol.

Precedence of settings, weakest first: the class defaults, the base (and the base that it builds on), the table's `set`,
the protocol's `set`, the row's `set`. The protocol's scale factors then apply to every spatial size and channel width
that the protocol itself does not set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from benchmark.spec.columns import COLUMNS
from benchmark.spec.config import RunConfig
from benchmark.spec.models import Strict
from benchmark.spec.overrides import Layer, Setting, flatten, keys_below, problem_text, resolve
from benchmark.spec.source import Located, Problem, SpecError, did_you_mean, read_yaml
from benchmark.spec.table import Claim, CostReading, Protocol, Row, RowSpec, Table, TableSpec

Model = TypeVar("Model", bound=Strict)

REPOSITORY = Path(__file__).resolve().parents[2]


def tables_root() -> Path:
    """Folder of the specs: BENCHMARK_TABLES, or `tables/` of the repository."""
    return Path(os.environ.get("BENCHMARK_TABLES") or REPOSITORY / "tables")


def table_paths() -> dict[str, Path]:
    """Every table's id and file, in the order of papers and of numbers."""
    found = {
        f"{path.parent.name}-{path.stem}": path
        for path in sorted(tables_root().glob("*/*.yaml"))
        if path.parent.name not in ("bases", "protocols")
    }
    return found


def protocol_names() -> list[str]:
    """Names of the protocols that have a file."""
    return sorted(path.stem for path in (tables_root() / "protocols").glob("*.yaml"))


def select(targets: list[str]) -> list[str]:
    """Table ids, paper keys and paths of table files, as table ids and paths; each once, in the order given.

    Raises:
        SpecError: a target that is none of these.
    """
    known = table_paths()
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


def shown(path: Path) -> str:
    """A path as messages name it: relative to the repository or the working folder where it lies inside one."""
    for root in (REPOSITORY, Path.cwd()):
        if path.resolve().is_relative_to(root):
            return str(path.resolve().relative_to(root))
    return str(path)


def load_protocol(name: str) -> tuple[Protocol, Layer]:
    """A protocol and its overrides.

    Raises:
        SpecError: there is no such protocol, or its file has errors.
    """
    path = tables_root() / "protocols" / f"{name}.yaml"
    if not path.exists():
        where = shown(tables_root() / "protocols")
        raise SpecError([Problem(where, 0, f"no protocol '{name}'.{did_you_mean(name, protocol_names())}")])
    source = read_yaml(path, shown(path))
    protocol, problems = _parse(Protocol, source, extra={"name": name})
    if protocol is None or problems:
        raise SpecError(problems)
    return protocol, _layer(source, protocol.set, ("set",))


def load_table(target: str, protocol_name: str = "embedded", seeds: tuple[int, ...] | None = None) -> Table:
    """A table by id or path, every row resolved for the protocol.

    Args:
        target: `bqn-3b`, or the path of a table file.
        protocol_name: a file of tables/protocols/, without its ending.
        seeds: instead of the protocol's.

    Raises:
        SpecError: with every problem of the table, its bases and the protocol.
    """
    protocol, protocol_layer = load_protocol(protocol_name)
    path = table_paths().get(target, Path(target))
    source = read_yaml(path, shown(path))
    spec, problems = _parse(TableSpec, source)
    if spec is None:
        raise SpecError(problems)
    problems += _cross_checks(spec, source, path)
    base = _base_layer(spec.base, source, ("base",), problems)
    table_layer = _layer(source, spec.set, ("set",))
    rows: list[Row] = []
    for i, row in enumerate(spec.rows):
        below = _base_layer(row.base, source, ("rows", i, "base"), problems) if row.base else base
        if below is None:
            continue
        resolver = _RowResolver(
            paper=below | table_layer | _layer(source, row.set, ("rows", i, "set")),
            scaled=below | table_layer | protocol_layer | _layer(source, row.set, ("rows", i, "set")),
            where=(source.file, source.line("rows", i)),
            problems=problems,
        )
        reading_at = ("rows", i, "reading", "set") if row.reading else ("reading", "set")
        reading = row.reading or (
            spec.reading if any(COLUMNS[key].source == "counted" for key in row.printed) else None
        )
        measured = not (row.quoted or row.average)
        rows.append(
            Row(
                label=row.label,
                config=resolver.at_scale(protocol, protocol_layer) if measured else None,
                paper_config=resolver.at_paper_scale() if measured else None,
                reading_config=resolver.at_paper_scale(_layer(source, reading.set, reading_at))
                if measured and reading
                else None,
                average=row.average,
                quoted=row.quoted,
                printed=row.printed,
                printed_text={key: source.texts["rows", i, "printed", key] for key in row.printed},
                reading=reading,
                note=row.note,
            )
        )
    if problems:
        raise SpecError(problems)
    return Table(
        id=f"{spec.paper}-{spec.table}",
        paper=spec.paper,
        number=spec.table,
        caption=spec.caption,
        dataset=spec.dataset,
        label_header=spec.label,
        columns=spec.columns,
        baseline=spec.baseline or spec.rows[0].label,
        rows=tuple(rows),
        claims=spec.claims,
        protocol=protocol.name,
        seeds=protocol.seeds if seeds is None else seeds,
        note=spec.note,
    )


@dataclass
class _RowResolver:
    """A row's merged settings; resolving one collects its problems instead of raising."""

    paper: Layer
    scaled: Layer
    where: tuple[str, int]
    problems: list[Problem]

    def _resolve(self, layer: Layer) -> RunConfig | None:
        config, found = resolve(layer, self.where)
        self.problems += found
        return _canonical(config) if config else None

    def at_paper_scale(self, variant: Layer | None = None) -> RunConfig | None:
        return self._resolve(self.paper | (variant or {}))

    def at_scale(self, protocol: Protocol, protocol_layer: Layer) -> RunConfig | None:
        paper, _ = resolve(self.paper, self.where)
        if paper is None:
            return None
        return self._resolve(self.scaled | _scaled_layer(paper, protocol, protocol_layer, self.paper, self.where))


def _canonical(config: RunConfig) -> RunConfig:
    """Two spellings of one experiment become one config: a Quiet input as large as Busy's is the default."""
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


def _base_layer(
    name: str, source: Located, at: tuple[str | int, ...], problems: list[Problem], depth: int = 0
) -> Layer | None:
    """The settings of a base and of those that it builds on; None, and a problem, where one is missing."""
    folder = tables_root() / "bases"
    path = folder / f"{name}.yaml"
    if not path.exists() or depth > 8:
        names = sorted(p.stem for p in folder.glob("*.yaml"))
        reason = f"no base '{name}' in {shown(folder)}." if depth <= 8 else f"base '{name}' builds on itself."
        problems.append(Problem(source.file, source.line(*at), f"{reason}{did_you_mean(name, names)}"))
        return None
    found = read_yaml(path, shown(path))
    values = dict(found.data)
    parent = values.pop("base", None)
    below = _base_layer(str(parent), found, ("base",), problems, depth + 1) if parent else {}
    return None if below is None else below | _layer(found, values, ())


def _layer(source: Located, values: dict[str, Any], at: tuple[str | int, ...]) -> Layer:
    def line_of(dotted: str) -> int:
        """`a.b.c` may be written as one key, as nested keys, or as a mix."""
        if (*at, dotted) in source.lines:
            return source.lines[(*at, dotted)]
        return source.line(*at, *dotted.split("."))

    return flatten(values, source.file, line_of)


def _parse(
    cls: type[Model], source: Located, extra: dict[str, Any] | None = None
) -> tuple[Model | None, list[Problem]]:
    """A file's content as `cls`, and its problems. Where only keys are unknown, the rest is used and so checked too."""
    data = {**source.data, **(extra or {})}
    try:
        return cls.model_validate(data, strict=True), []
    except pydantic.ValidationError as error:
        details = error.errors()
    problems = []
    for detail in details:
        *parents, leaf = [*detail["loc"]] or [""]
        group = cls if not parents else _model_at(cls, parents)
        valid = [key for key in keys_below(group) if "." not in key] if group else []
        text = problem_text(detail, str(leaf), valid)
        problems.append(Problem(source.file, source.line(*detail["loc"]), text))
    unknown = {detail["loc"] for detail in details if detail["type"] == "extra_forbidden"}
    if len(unknown) < len(details):
        return None, problems
    try:
        return cls.model_validate(_without(data, unknown), strict=True), problems
    except pydantic.ValidationError:
        return None, problems


def _without(value: Any, paths: set[tuple[str | int, ...]], at: tuple[str | int, ...] = ()) -> Any:
    """A copy of nested data that lacks the values at `paths`."""
    if isinstance(value, dict):
        return {k: _without(v, paths, (*at, k)) for k, v in value.items() if (*at, k) not in paths}
    if isinstance(value, tuple):
        return tuple(_without(v, paths, (*at, i)) for i, v in enumerate(value))
    return value


def _model_at(cls: type[Strict], path: list[str | int]) -> type[Strict] | None:
    """The config class of an item such as ('rows', 3) or ('claims', 0)."""
    kinds: dict[str | int, type[Strict]] = {"rows": RowSpec, "claims": Claim, "reading": CostReading}
    named = [kinds[part] for part in path if part in kinds]
    return named[-1] if named and not (path and path[-1] in ("set", "printed")) else None


def _cross_checks(spec: TableSpec, source: Located, path: Path) -> Iterator[Problem]:
    """What no single key shows: labels that do not exist, repeated or malformed ones, unknown columns."""

    def problem(message: str, *at: str | int) -> Problem:
        return Problem(source.file, source.line(*at), message)

    labels = [row.label for row in spec.rows]
    expected = f"{spec.paper}-{spec.table}"
    if Path(source.file).stem != spec.table:
        name = Path(source.file).name
        yield problem(f"table '{spec.table}' is in a file named '{name}': write `table: {path.stem}`", "table")
    home = table_paths().get(expected)
    if path.resolve().is_relative_to(tables_root().resolve()):
        if path.parent.name != spec.paper:
            yield problem(f"a table of '{spec.paper}' is in the folder '{path.parent.name}'", "paper")
    elif home is not None:
        yield problem(f"'{expected}' is {shown(home)}; give a table of your own another `paper` or `table`", "paper")
    parts = spec.label.count(" | ")
    for i, row in enumerate(spec.rows):
        if labels.index(row.label) != i:
            yield problem(f"label '{row.label}' is given twice", "rows", i, "label")
        if row.label.count(" | ") != parts:
            yield problem(f"label '{row.label}' must have {parts + 1} part(s) like '{spec.label}'", "rows", i, "label")
        for key in row.printed:
            if COLUMNS[key].unit == "%" and not 0 <= row.printed[key] <= 100:
                yield problem(f"printed.{key} is {row.printed[key]:g}, not a percentage", "rows", i, "printed", key)
            if key not in spec.columns:
                yield problem(f"printed.{key} is not among the table's columns", "rows", i, "printed", key)
        for name in row.average:
            if name not in labels:
                yield problem(f"no row '{name}' to average.{did_you_mean(name, labels)}", "rows", i, "average")
            elif spec.rows[labels.index(name)].average or spec.rows[labels.index(name)].quoted:
                yield problem(f"'{name}' is not a measured row; average needs measured rows", "rows", i, "average")
    if spec.baseline is not None and spec.baseline not in labels:
        yield problem(f"no row '{spec.baseline}'.{did_you_mean(spec.baseline, labels)}", "baseline")
    for i, claim in enumerate(spec.claims):
        if any(other.id == claim.id for other in spec.claims[:i]):
            yield problem(f"claim id '{claim.id}' is given twice", "claims", i, "id")
        if not claim.id.startswith(f"{expected}."):
            yield problem(f"claim id '{claim.id}' must begin with '{expected}.'", "claims", i, "id")
        for name in (claim.lhs, *claim.rhs):
            if name not in labels:
                yield problem(f"no row '{name}'.{did_you_mean(name, labels)}", "claims", i)
        if claim.metric not in spec.columns:
            yield problem(f"metric '{claim.metric}' is not among the table's columns", "claims", i, "metric")
