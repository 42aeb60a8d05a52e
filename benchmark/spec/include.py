"""A table's rows and claims, its own and those that it includes from other tables.

`rows` and `claims` of a table file may hold `{include: <table id>, ...}` entries (`IncludeRows`, `IncludeClaims`), and
`rows` a `{sweep: ...}` entry (`SweepRows`), which is a row for every combination of some values. An included row keeps
the settings, the base and the readings of the table that it was written in, so a thesis table that repeats a paper's
table is the same runs, not a copy that can drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydantic

from benchmark.config.folders import shown
from benchmark.config.parse import parse_as, problem_text
from benchmark.config.source import Located, Problem, did_you_mean, read_yaml
from benchmark.spec.claim import EVERY_OTHER, Claim, IncludeClaims
from benchmark.spec.files import table_paths
from benchmark.spec.table import IncludeRows, RowSpec, SweepRows, TableSpec

DEEPEST = 4


@dataclass(frozen=True)
class Entry:
    """A row, and where it was written.

    Attributes:
        row: As it reads in the including table.
        texts: Printed cells, digits and all.
        source, spec, index: The file and the table that the row's settings are from, and its place there.
        written: Its place, or that of the include, in the including table's file.
    """

    row: RowSpec
    texts: dict[str, str]
    source: Located
    spec: TableSpec
    index: int
    written: int


@dataclass(frozen=True)
class Gathered:
    """A table as written, with all its rows and claims."""

    spec: TableSpec
    source: Located
    entries: list[Entry]
    claims: tuple[Claim, ...]


def is_include(source: Located, part: str, index: int) -> bool:
    """Whether the file has an include at this place of its rows or claims."""
    return _has(source, part, index, "include")


def _has(source: Located, part: str, index: int, key: str) -> bool:
    item = source.data[part][index]
    return isinstance(item, Mapping) and key in item


def gather(path: Path, problems: list[Problem], depth: int = 0) -> Gathered | None:
    """Read a table file and all that it includes; None, and problems, where it cannot be read as a table."""
    source = read_yaml(path, shown(path))
    spec, found = parse_as(TableSpec, _with_stand_ins(source))
    problems += found
    if spec is None:
        return None
    entries: list[Entry] = []
    renamed: dict[str, dict[str, str]] = {}
    others: dict[str, Gathered] = {}
    for i, row in enumerate(spec.rows):
        if _has(source, "rows", i, "sweep"):
            entries += _swept(source, spec, i, problems)
            continue
        if not is_include(source, "rows", i):
            texts = {key: source.texts["rows", i, "printed", key] for key in row.printed}
            entries.append(Entry(row, texts, source, spec, i, i))
            continue
        include = _parsed(IncludeRows, source, ("rows", i), problems)
        if include is None:
            continue
        other = others.get(include.include) or _other(include.include, source, ("rows", i), problems, depth)
        if other is not None and other.spec.dataset != spec.dataset:
            here, there = spec.dataset, other.spec.dataset
            text = f"'{include.include}' prints values of {there}, this table of {here}: its rows would be {there}'s"
            problems.append(Problem(source.file, source.line("rows", i, "include"), text))
        if other is not None:
            others[include.include] = other
            names = renamed.setdefault(include.include, {})
            entries += _taken(include, other, source, i, spec, names, problems)
    claims: list[Claim] = []
    for i, claim in enumerate(spec.claims):
        if not is_include(source, "claims", i):
            claims.append(_written_out(claim, entries, source, i, problems))
            continue
        wanted = _parsed(IncludeClaims, source, ("claims", i), problems)
        if wanted is None:
            continue
        other = others.get(wanted.include)
        if other is None:
            message = f"claims of '{wanted.include}', but no row of it is included"
            problems.append(Problem(source.file, source.line("claims", i), message))
            continue
        ids = [other_claim.id for other_claim in other.claims]
        problems += [
            Problem(
                source.file,
                source.line("claims", i),
                f"'{wanted.include}' has no claim '{name}'.{did_you_mean(name, ids)}",
            )
            for name in wanted.only
            if name not in ids
        ]
        claims += _claims(wanted, other, spec, renamed[wanted.include], len(claims))
    return Gathered(spec, source, entries, tuple(claims))


def _written_out(claim: Claim, entries: list[Entry], source: Located, index: int, problems: list[Problem]) -> Claim:
    """The claim with every other row by name, where it has "*"."""
    if claim.rhs != (EVERY_OTHER,):
        return claim
    others = [entry for entry in entries if entry.row.label not in claim.lhs]
    printing = [entry for entry in others if claim.metric in entry.texts] or others
    if not printing:
        problems.append(Problem(source.file, source.line("claims", index, "rhs"), "the table has no other row"))
        return claim
    return claim.model_copy(update={"rhs": tuple(entry.row.label for entry in printing)})


def _swept(source: Located, spec: TableSpec, index: int, problems: list[Problem]) -> list[Entry]:
    sweep = _parsed(SweepRows, source, ("rows", index), problems)
    try:
        return [Entry(row, {}, source, spec, index, index) for row in sweep.expand()] if sweep else []
    except ValueError as error:
        problems.append(Problem(source.file, source.line("rows", index, "label"), str(error)))
        return []


def _with_stand_ins(source: Located) -> Located:
    """The file with a nameless row or claim where it includes others, so that the rest is checked as a table."""
    data = dict(source.data)
    rows, claims = data.get("rows"), data.get("claims")
    if isinstance(rows, tuple):
        data["rows"] = tuple(
            {"label": f"row {i}"} if is_include(source, "rows", i) or _has(source, "rows", i, "sweep") else row
            for i, row in enumerate(rows)
        )
    if isinstance(claims, tuple):
        stand_in = {"id": "", "lhs": "", "relation": ">", "rhs": EVERY_OTHER, "metric": "top1", "text": ""}
        data["claims"] = tuple(stand_in if is_include(source, "claims", i) else claim for i, claim in enumerate(claims))
    return replace(source, data=data)


def _parsed(cls: Any, source: Located, at: tuple[str | int, ...], problems: list[Problem]) -> Any:
    """The include at this place, or None and its problems."""
    part, index = at
    try:
        return cls.model_validate(source.data[part][index], strict=True)
    except pydantic.ValidationError as error:
        for detail in error.errors():
            leaf = str(detail["loc"][-1]) if detail["loc"] else ""
            text = problem_text(detail, leaf, list(cls.model_fields))
            problems.append(Problem(source.file, source.line(*at, *detail["loc"]), text))
        return None


def _other(
    name: str, source: Located, at: tuple[str | int, ...], problems: list[Problem], depth: int
) -> Gathered | None:
    known = table_paths()
    if name not in known:
        message = f"no table '{name}' to include.{did_you_mean(name, list(known))}"
        problems.append(Problem(source.file, source.line(*at, "include"), message))
        return None
    if depth >= DEEPEST:
        problems.append(Problem(source.file, source.line(*at, "include"), f"'{name}' includes itself"))
        return None
    return gather(known[name], problems, depth + 1)


def _taken(
    include: IncludeRows,
    other: Gathered,
    source: Located,
    at: int,
    spec: TableSpec,
    names: dict[str, str],
    problems: list[Problem],
) -> list[Entry]:
    """The rows that an include asks for, under their new labels; `names` learns these."""
    by_label = {entry.row.label: entry for entry in other.entries}
    wanted = [include.row] if include.row is not None else list(include.rows or by_label)
    taken = []
    for label in wanted:
        if label not in by_label:
            message = f"'{include.include}' has no row '{label}'.{did_you_mean(label, list(by_label))}"
            problems.append(Problem(source.file, source.line("rows", at), message))
            continue
        names[label] = include.label or f"{include.prefix}{label}{include.suffix}"
    for label in (label for label in wanted if label in by_label):
        entry = by_label[label]
        changed = {key: source.texts["rows", at, "printed", key] for key in include.printed}
        texts = {key: text for key, text in (entry.texts | changed).items() if key in spec.columns}
        row = entry.row.model_copy(
            update={
                "label": names[label],
                "average": tuple(names.get(member, member) for member in entry.row.average),
                "note": entry.row.note if include.note is None else include.note,
            }
        )
        taken.append(replace(entry, row=row, texts=texts, written=at))
    return taken


def _claims(wanted: IncludeClaims, other: Gathered, spec: TableSpec, names: dict[str, str], before: int) -> list[Claim]:
    """The other table's claims whose rows and columns are all here, in the order that is asked for."""
    taken: list[Claim] = []
    by_id = {claim.id: claim for claim in other.claims}
    for claim in (by_id[name] for name in wanted.only or by_id if name in by_id):
        here = all(label in names for label in claim.labels) and claim.metric in spec.columns
        if not here:
            continue
        number = f"{spec.paper}-{spec.table}.{before + len(taken) + 1:02d}"
        lhs, rhs = (tuple(names[label] for label in side) for side in (claim.lhs, claim.rhs))
        changes = {"id": number, "lhs": lhs, "rhs": rhs, "where": wanted.where, "repeats": claim.id}
        taken.append(claim.model_copy(update=changes))
    return taken
