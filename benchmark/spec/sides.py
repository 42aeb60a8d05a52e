"""The sides of a table's claims: that they are rows which the metric is of, here or in another table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from benchmark.config.source import Problem, did_you_mean
from benchmark.spec.claim import EVERY_OTHER, Claim
from benchmark.spec.columns import COLUMNS
from benchmark.spec.files import table_paths
from benchmark.spec.include import Entry, Gathered, gather, is_include
from benchmark.spec.other_datasets import has_settings

SEPARATOR = " :: "


@dataclass
class _Others:
    """The other tables that a table's claims name, each read once."""

    gathered: Gathered
    _read: dict[str, Gathered | None] = field(default_factory=dict)

    @cached_property
    def paths(self) -> dict[str, Path]:
        return table_paths()

    def __getitem__(self, name: str) -> Gathered | None:
        """A table by id; the one itself is at hand. None where its file has errors, which are said when it is loaded.

        Raises:
            KeyError: there is no such table.
        """
        if name == _id(self.gathered):
            return self.gathered
        if name not in self._read:
            self._read[name] = gather(self.paths[name], [])
        return self._read[name]


def check_claims(gathered: Gathered) -> Iterator[Problem]:
    """What is wrong with a table's own claims: ids, rows, metrics, and what they repeat."""
    spec, source, others = gathered.spec, gathered.source, _Others(gathered)
    labels = [entry.row.label for entry in gathered.entries]
    given: set[str] = set()
    for i, claim in enumerate(spec.claims):
        if is_include(source, "claims", i):
            continue

        def problem(message: str, *at: str, index: int = i) -> Problem:
            return Problem(source.file, source.line("claims", index, *at), message)

        if claim.id in given:
            yield problem(f"claim id '{claim.id}' is given twice", "id")
        given.add(claim.id)
        if not claim.id.startswith(f"{_id(gathered)}."):
            yield problem(f"claim id '{claim.id}' must begin with '{_id(gathered)}.'", "id")
        for name in claim.labels:
            if name not in (EVERY_OTHER, *labels) and SEPARATOR not in name:
                yield problem(f"no row '{name}'.{did_you_mean(name, labels)}")
        if claim.metric not in spec.columns:
            yield problem(f"metric '{claim.metric}' is not among the table's columns", "metric")
        elif claim.relation == "best" and COLUMNS[claim.metric].better == "neither":
            yield problem(f"no {claim.metric} is better than another, so none is best", "relation")
        wrong = _of_repeats(claim, claim.repeats, others) if claim.repeats is not None else ""
        if wrong:
            yield problem(wrong, "repeats")


def _id(gathered: Gathered) -> str:
    return f"{gathered.spec.paper}-{gathered.spec.table}"


def _of_repeats(claim: Claim, repeats: str, others: _Others) -> str:
    """What is wrong with the claim that another repeats; "" for nothing."""
    table = repeats.rpartition(".")[0]
    try:
        other = others[table]
    except KeyError:
        return f"no table '{table}' whose claim could be repeated.{did_you_mean(table, list(others.paths))}"
    if other is None:
        return ""
    first = next((made for made in other.claims if made.id == repeats), None)
    if first is None:
        return f"no claim '{repeats}'.{did_you_mean(repeats, [made.id for made in other.claims])}"
    if first.metric != claim.metric:
        return f"{repeats} is about {first.metric}, not {claim.metric}: it is another claim"
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
    others = _Others(gathered)
    for i, claim in enumerate(gathered.spec.claims):
        if is_include(gathered.source, "claims", i):
            continue
        for name in claim.labels:
            table, separator, label = name.partition(SEPARATOR)
            if not separator or name in own or name in found:
                continue
            try:
                other = others[table]
                wrong = _of_side(label, claim.metric, other, others) if other else f"'{table}' has errors of its own"
            except KeyError:
                other, wrong = None, f"no table '{table}'.{did_you_mean(table, list(others.paths))}"
            if wrong:
                problems.append(Problem(gathered.source.file, gathered.source.line("claims", i), wrong))
            elif other is not None:
                found |= {f"{table}{SEPARATOR}{key}": (other, entry) for key, entry in _with_members(other, label)}
    return [(other, _renamed(entry, _id(other), dataset)) for other, entry in found.values()]


def _of_side(label: str, metric: str, other: Gathered, others: _Others) -> str:
    """What keeps a row of another table from being a side; "" for nothing."""
    table, dataset = _id(other), others.gathered.spec.dataset
    if other is others.gathered:
        return f"'{label}' is of this table: leave '{table}{SEPARATOR}' out"
    labels = [entry.row.label for entry in other.entries]
    if label not in labels:
        return f"'{table}' has no row '{label}'.{did_you_mean(label, labels)}"
    if metric not in other.spec.columns:
        return f"'{table}' has no column {metric}"
    if other.spec.dataset != dataset:
        return f"'{table}' prints values of {other.spec.dataset}, this table of {dataset}"
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
