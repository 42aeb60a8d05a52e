"""The sides of a table's claims: that they are rows which the metric is of, here or in another table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS
from benchmark.spec.files import table_paths
from benchmark.spec.include import Entry, Gathered, gather, is_include
from benchmark.spec.other_datasets import has_settings
from benchmark.spec.source import Problem, did_you_mean

SEPARATOR = " :: "


def check_claims(gathered: Gathered) -> Iterator[Problem]:
    """What is wrong with a table's own claims: ids, rows, metrics, and what they repeat."""
    spec, source = gathered.spec, gathered.source
    labels = [entry.row.label for entry in gathered.entries]
    expected = f"{spec.paper}-{spec.table}"
    given: set[str] = set()
    written = [i for i in range(len(spec.claims)) if not is_include(source, "claims", i)]
    for i in written:
        claim = spec.claims[i]

        def problem(message: str, *at: str, index: int = i) -> Problem:
            return Problem(source.file, source.line("claims", index, *at), message)

        if claim.id in given:
            yield problem(f"claim id '{claim.id}' is given twice", "id")
        given.add(claim.id)
        if not claim.id.startswith(f"{expected}."):
            yield problem(f"claim id '{claim.id}' must begin with '{expected}.'", "id")
        for name in claim.labels:
            if name != "*" and name not in labels and SEPARATOR not in name:
                yield problem(f"no row '{name}'.{did_you_mean(name, labels)}")
        if claim.metric not in spec.columns:
            yield problem(f"metric '{claim.metric}' is not among the table's columns", "metric")
        elif claim.relation == "best" and COLUMNS[claim.metric].better == "neither":
            yield problem(f"no {claim.metric} is better than another, so none is best", "relation")
        if claim.repeats is not None and (wrong := _repeats(claim, gathered)):
            yield problem(wrong, "repeats")


def _repeats(claim: Claim, gathered: Gathered) -> str:
    """What is wrong with the claim that another repeats; "" for nothing."""
    table, spec, known = str(claim.repeats).rpartition(".")[0], gathered.spec, table_paths()
    if table == f"{spec.paper}-{spec.table}":
        claims = gathered.claims
    elif table in known:
        other = gather(known[table], [])
        if other is None:
            return ""  # its own file's errors are said when it is loaded
        claims = other.claims
    else:
        return f"no table '{table}' whose claim could be repeated.{did_you_mean(table, list(known))}"
    first = next((other for other in claims if other.id == claim.repeats), None)
    if first is None:
        return f"no claim '{claim.repeats}'.{did_you_mean(str(claim.repeats), [other.id for other in claims])}"
    if first.metric != claim.metric:
        return f"{first.id} is about {first.metric}, not {claim.metric}: it is another claim"
    return ""


def named_elsewhere(gathered: Gathered, dataset: str | None, problems: list[Problem]) -> list[tuple[Gathered, Entry]]:
    """The rows of other tables that claims name, and those that these average, under the names that claims use.

    Args:
        gathered: The table whose claims are meant.
        dataset: Another data set that it is measured on; a row without settings for it is as if quoted.
        problems: Learns of a table or a row that there is not, or one that does not print the metric.
    """
    own = {entry.row.label for entry in gathered.entries}
    found: dict[str, tuple[Gathered, Entry]] = {}
    others: dict[str, Gathered | None] = {}
    for i, claim in enumerate(gathered.spec.claims):
        if is_include(gathered.source, "claims", i):
            continue
        for name in claim.labels:
            table, separator, label = name.partition(SEPARATOR)
            if not separator or name in own or name in found:
                continue
            if table not in others:
                others[table] = gather(table_paths()[table], []) if table in table_paths() else None
            other = others[table]
            wrong = _unknown(table, other, label, claim.metric, gathered)
            if wrong:
                line = gathered.source.line("claims", i)
                problems.append(Problem(gathered.source.file, line, wrong))
            elif other is not None:
                found |= {f"{table}{SEPARATOR}{key}": (other, entry) for key, entry in _with_members(other, label)}
    return [(other, _renamed(entry, name.partition(SEPARATOR)[0], dataset)) for name, (other, entry) in found.items()]


def _unknown(table: str, other: Gathered | None, label: str, metric: str, gathered: Gathered) -> str:
    """What keeps a row of another table from being a side; "" for nothing."""
    spec = gathered.spec
    if table not in table_paths():
        return f"no table '{table}'.{did_you_mean(table, list(table_paths()))}"
    if other is None:
        return f"'{table}' has errors of its own"
    if table == f"{spec.paper}-{spec.table}":
        return f"'{label}' is of this table: leave '{table}{SEPARATOR}' out"
    labels = [entry.row.label for entry in other.entries]
    if label not in labels:
        return f"'{table}' has no row '{label}'.{did_you_mean(label, labels)}"
    if metric not in other.spec.columns:
        return f"'{table}' has no column {metric}"
    if other.spec.dataset != spec.dataset:
        return f"'{table}' prints values of {other.spec.dataset}, this table of {spec.dataset}"
    return ""


def _with_members(other: Gathered, label: str) -> Iterator[tuple[str, Entry]]:
    entries = {entry.row.label: entry for entry in other.entries}
    for name in (label, *entries[label].row.average):
        if name in entries:
            yield name, entries[name]


def _renamed(entry: Entry, table: str, dataset: str | None) -> Entry:
    changes: dict[str, object] = {
        "label": f"{table}{SEPARATOR}{entry.row.label}",
        "average": tuple(f"{table}{SEPARATOR}{member}" for member in entry.row.average),
    }
    if dataset is not None and not has_settings(entry, dataset):
        changes |= {"quoted": True, "average": ()}
    return replace(entry, row=entry.row.model_copy(update=changes))
