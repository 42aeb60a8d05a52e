"""Printed costs beside what they count, and the sentences that say so: what the page on costs is made of. No torch.

Every number is a printed cell, or a count of `benchmark.cost`. What says how two numbers compare asks the counts first
(`check`), so that a sentence which is no longer true is not written.

A print that several tables repeat for one network is one *distinct* print. It belongs to the first table that has it,
papers in the order of their keys, so that what the thesis repeats of its papers is not counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import fill
from typing import Any

from benchmark.config.run import RunConfig, of_one_view
from benchmark.cost.audit import PLAIN, SCOPES, AuditRow, CostCell, Lookup, Verdict, audit_row, shortened
from benchmark.cost.cache import cost_digest, get
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.record import CostRecord
from benchmark.report.text.layout import Heading, flat
from benchmark.report.text.markdown import aligned
from benchmark.spec.columns import COLUMNS, MULTIPLES, Column, multiple_of, printed_value
from benchmark.spec.table import Reading, Row, Table

OURS = "checks"
"""Tables that are no paper's."""

WRAP = 118

Variant = Mapping[str, Any]


class StaleProseError(Exception):
    """A sentence of the page asserts what the counts no longer say."""


def check(holds: bool, sentence: str) -> None:
    """Refuse a sentence that does not hold.

    Raises:
        StaleProseError: it does not.
    """
    if not holds:
        raise StaleProseError(f"docs/costs.md says that {sentence}; the counts no longer say so")


@dataclass(frozen=True)
class Cost:
    """One cost of one row, in its column's unit: as printed, by the row's reading, in full, and recounted at will."""

    table: Table
    row: Row
    cell: CostCell
    lookup: Lookup

    @property
    def column(self) -> Column:
        """What is counted."""
        return COLUMNS[self.cell.column]

    @property
    def verdict(self) -> Verdict:
        """How the reading's count compares with the print.

        Raises:
            StaleProseError: nothing is printed.
        """
        if self.cell.verdict is None:
            raise StaleProseError(f"docs/costs.md has a print of {self.name}, {self.column.title}; the table has none")
        return self.cell.verdict

    @property
    def name(self) -> str:
        """Table and row, in words."""
        return f"{self.table.id}, {flat(self.row.label)}"

    @property
    def text(self) -> str:
        """As printed, digits and all."""
        return self.verdict.printed

    @property
    def printed(self) -> float:
        """The printed value."""
        return printed_value(self.text, self.column)

    @property
    def full(self) -> float:
        """By fvcore, of the network as the paper describes it."""
        return self.cell.count

    def recount(self, convention: str = PLAIN, variant: Variant | None = None) -> float:
        """By another convention, of the row's network or of a variant of it; of one view, and of no fused row."""
        record = self.lookup(of_one_view(varied(self.config, variant or {})))
        if record is None:
            raise StaleProseError(f"docs/costs.md has a count of a variant of {self.name}; it could not be counted")
        measure = CONVENTIONS[convention].macs if self.column.quantity == "macs" else CONVENTIONS[convention].params
        return measure(record, SCOPES[self.column.scope]) / MULTIPLES[self.column.unit]

    def gives(self, value: float) -> bool:
        """Whether a count, in the column's unit, is the print once it is shortened to as many digits."""
        unit = MULTIPLES[self.column.unit]
        return shortened(round(value * unit), unit, self.text) is not None

    @property
    def config(self) -> RunConfig:
        """The row's config at paper scale.

        Raises:
            StaleProseError: the row averages others.
        """
        if self.row.paper_config is None:
            raise StaleProseError(f"docs/costs.md takes {self.name} for one network; it is several, or none")
        return self.row.paper_config

    @property
    def side(self) -> int:
        """Side of the crop, in pixels, that the reading counts."""
        return of_one_view(varied(self.config, self.cell.variant)).data.size

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for the same print of the same network, in whichever tables."""
        members = (member.paper_config for member in self.table.members(self.row))
        networks = tuple((cost_digest(of_one_view(c)), c.views * (self.column.per == "video")) for c in members if c)
        return self.cell.column, self.text, networks


def _reproduced(audit: AuditRow | None, column: str) -> bool:
    verdict = audit.cells[column].verdict if audit else None
    return verdict is not None and verdict.reproduced


def varied(config: RunConfig, variant: Variant) -> RunConfig:
    """The config with other settings, by dotted key.

    Raises:
        pydantic.ValidationError: a key or a value that the config does not take.
    """
    data = config.model_dump()
    for dotted, value in variant.items():
        *parents, leaf = dotted.split(".")
        node = data
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return RunConfig.model_validate(data, strict=True)


class Costs:
    """Every printed cost of the tables; networks that are not counted yet are counted when they are asked for."""

    def __init__(self, tables: Iterable[Table], lookup: Lookup = get) -> None:
        self.tables = {table.id: table for table in tables if table.paper != OURS}
        self._lookup = lookup
        self._records: dict[str, CostRecord | None] = {}
        self._audits: dict[tuple[str, str], AuditRow | None] = {}

    def lookup(self, config: RunConfig) -> CostRecord | None:
        """The record of a config, read or counted once."""
        digest = cost_digest(config)
        if digest not in self._records:
            self._records[digest] = self._lookup(config)
        return self._records[digest]

    def at(self, table_id: str, label: str, column: str) -> Cost:
        """One cost, by table, row and column.

        Raises:
            StaleProseError: there is no such row or column, or it is not counted.
        """
        table = self.tables[table_id]
        row = next((row for row in table.rows if row.label == label), None)
        audit = self._audit(table, row) if row else None
        if row is None or audit is None or column not in audit.cells:
            raise StaleProseError(f"docs/costs.md has {table_id}, {label}, {column}; there is no such row, or no count")
        return Cost(table, row, audit.cells[column], self.lookup)

    def claim(self, claim_id: str) -> str:
        """What the paper concludes, in the table's words."""
        table = self.tables[claim_id.rpartition(".")[0]]
        return next(claim.text for claim in table.claims if claim.id == claim_id)

    @cached_property
    def printed(self) -> list[Cost]:
        """Every printed cost of a network that is built here, in the order of the tables."""
        found = []
        for table in self.tables.values():
            for row in table.rows:
                audit = self._audit(table, row)
                cells = audit.cells.values() if audit else ()
                found += [Cost(table, row, cell, self.lookup) for cell in cells if cell.verdict is not None]
        return found

    @cached_property
    def distinct(self) -> list[Cost]:
        """Those of them that repeat no earlier one."""
        first: dict[tuple[Any, ...], Cost] = {}
        for cost in self.printed:
            first.setdefault(cost.identity, cost)
        return list(first.values())

    @property
    def papers(self) -> list[str]:
        """Keys of the papers that print costs, in the order of the tables."""
        return list(dict.fromkeys(cost.table.paper for cost in self.printed))

    def unaided(self, convention: str) -> list[Cost]:
        """The distinct costs that a convention gives on the networks as the papers describe them."""
        bare = Reading(convention=convention, why="")
        audits: dict[tuple[str, str], AuditRow | None] = {}
        for table, row in {(cost.table.id, cost.row.label): (cost.table, cost.row) for cost in self.distinct}.values():
            rows = {r.label: r.model_copy(update={"readings": dict.fromkeys(r.printed, bare)}) for r in table.rows}
            bare_table = table.model_copy(update={"rows": tuple(rows.values())})
            audits[table.id, row.label] = audit_row(bare_table, rows[row.label], self.lookup)
        return [cost for cost in self.distinct if _reproduced(audits[cost.table.id, cost.row.label], cost.cell.column)]

    def _audit(self, table: Table, row: Row) -> AuditRow | None:
        key = (table.id, row.label)
        if key not in self._audits:
            self._audits[key] = audit_row(table, row, self.lookup)
        return self._audits[key]


def paragraph(text: str) -> str:
    """A template's text, filled to lines of `WRAP` characters."""
    return fill(" ".join(text.split()), WRAP, break_long_words=False, break_on_hyphens=False)


def shown(value: float, cost: Cost) -> str:
    """A count with three decimals, in the multiple of the print; one decimal where it is large."""
    multiple = multiple_of(cost.text) if cost.cell.verdict else ""
    scaled = value * MULTIPLES[cost.column.unit] / MULTIPLES[multiple or cost.column.unit]
    return f"{scaled:.{1 if scaled >= 1e3 else 3}f}{multiple}"


def g(value: float) -> str:
    """A number in a sentence."""
    return f"{value:.{0 if value >= 1e3 else 1 if value >= 100 else 2}f}"


def comparison(costs: Sequence[Cost], **more: Sequence[float]) -> str:
    """Printed beside counted, a line a cost; `more` are further columns by title, with _ for a space."""
    titles = [name.replace("_", " ") for name in more]
    headings = [Heading(head, numeric=False) for head in ("row", "cost")]
    headings += [Heading("printed"), Heading("reading", numeric=False), Heading("by it")]
    headings += [Heading(title) for title in ("in full", *titles)]
    lines = []
    for i, cost in enumerate(costs):
        reading = cost.cell.reading if cost.verdict.reproduced else f"none; {cost.cell.reading}"
        counts = [cost.verdict.count, cost.full, *(column[i] for column in more.values())]
        numbers = [shown(count, cost) for count in counts]
        lines.append([cost.name, cost.column.title, cost.text, reading, *numbers])
    return aligned(headings, lines)
