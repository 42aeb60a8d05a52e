"""The printed costs of all tables beside our counts of the same networks, and recounts of their variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark.config.run import RunConfig, of_one_view
from benchmark.cost.audit import PLAIN, SCOPES, AuditRow, CostCell, Lookup, audit_row
from benchmark.cost.cache import cost_digest, get
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.record import CostRecord
from benchmark.cost.verdict import Verdict, shortened
from benchmark.report.labels import flat
from benchmark.spec.columns import COLUMNS, MULTIPLES, Column, multiple_of, printed_value
from benchmark.spec.table import Reading, Row, Table
from tools.pages import StalePageError

NO_PAPER = "checks"
"""Where a paper's key would be, in tables of our own."""

Variant = Mapping[str, Any]
"""Settings by dotted key, in which a network differs from a row's."""


@dataclass(frozen=True)
class Cost:
    """One cost of one row, in its column's unit: as printed, by the row's reading, in full, and recounted at will."""

    table: Table
    row: Row
    cell: CostCell
    lookup: Lookup

    @property
    def name(self) -> str:
        """Table and row, in words."""
        return f"{self.table.id}, {flat(self.row.label)}"

    @property
    def column(self) -> Column:
        """What is counted."""
        return COLUMNS[self.cell.column]

    @property
    def config(self) -> RunConfig:
        """The row's config at paper scale.

        Raises:
            StalePageError: the row averages others.
        """
        if self.row.paper_config is None:
            raise StalePageError(f"docs/costs.md takes {self.name} for one network; it is several, or none")
        return self.row.paper_config

    @property
    def verdict(self) -> Verdict:
        """How the count by the row's reading compares with the print.

        Raises:
            StalePageError: nothing is printed.
        """
        if self.cell.verdict is None:
            raise StalePageError(f"docs/costs.md has a print of {self.name}, {self.column.title}; the table has none")
        return self.cell.verdict

    @property
    def as_printed(self) -> str:
        """The print, digits and all."""
        return self.verdict.printed

    @property
    def printed(self) -> float:
        """The print as a number."""
        return printed_value(self.as_printed, self.column)

    @property
    def reproduced(self) -> bool:
        """Whether the count by the row's reading gives the print."""
        return self.verdict.reproduced

    @property
    def convention(self) -> str:
        """The convention of the row's reading."""
        return self.cell.convention

    @property
    def variant(self) -> Variant:
        """The settings in which the reading's network differs from the one described."""
        return self.cell.variant

    @property
    def side(self) -> int:
        """Side of the crop, in pixels, of the reading's network."""
        return of_one_view(varied(self.config, self.variant)).data.size

    @property
    def full(self) -> float:
        """The count by fvcore, of the network as the paper describes it."""
        return self.cell.count

    @property
    def by_reading(self) -> float:
        """The count by the reading's convention, of the reading's network."""
        return self.verdict.count

    @property
    def as_counted(self) -> float:
        """The count by fvcore, of the reading's network."""
        return self.recount(PLAIN, self.variant)

    def recount(self, convention: str = PLAIN, variant: Variant | None = None) -> float:
        """The count by any convention, of the row's network or of a variant of it; of one view, and of no fused row."""
        record = self.lookup(of_one_view(varied(self.config, variant or {})))
        if record is None:
            raise StalePageError(f"docs/costs.md has a count of a variant of {self.name}; it could not be counted")
        measure = CONVENTIONS[convention].macs if self.column.quantity == "macs" else CONVENTIONS[convention].params
        return measure(record, SCOPES[self.column.scope]) / MULTIPLES[self.column.unit]

    def gives(self, count: float) -> bool:
        """Whether a count, in the column's unit, is the print once it is shortened to as many digits."""
        unit = MULTIPLES[self.column.unit]
        return shortened(round(count * unit), unit, self.as_printed) is not None

    def shown(self, count: float) -> str:
        """A count with three decimals, in the multiple of the print; one decimal where it is large."""
        multiple = multiple_of(self.as_printed) if self.cell.verdict else ""
        scaled = count * MULTIPLES[self.column.unit] / MULTIPLES[multiple or self.column.unit]
        return f"{scaled:.{1 if scaled >= 1e3 else 3}f}{multiple}"

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for the same print of the same network, in whichever tables."""
        members = (member.paper_config for member in self.table.members(self.row))
        networks = tuple((cost_digest(of_one_view(c)), c.views * (self.column.per == "video")) for c in members if c)
        return self.cell.column, self.as_printed, networks


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
        self.tables = {table.id: table for table in tables if table.paper != NO_PAPER}
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
            StalePageError: there is no such row or column, or it is not counted.
        """
        table = self.tables.get(table_id)
        row = next((row for row in table.rows if row.label == label), None) if table else None
        audit = self._audit(table, row) if table and row else None
        if table is None or row is None or audit is None or column not in audit.cells:
            raise StalePageError(f"docs/costs.md has {table_id}, {label}, {column}; there is no such row, or no count")
        return Cost(table, row, audit.cells[column], self.lookup)

    def claim(self, claim_id: str) -> str:
        """What the paper concludes, in the table's words.

        Raises:
            StalePageError: the table has no such claim.
        """
        table = self.tables.get(claim_id.rpartition(".")[0])
        for claim in table.claims if table else ():
            if claim.id == claim_id:
                return claim.text
        raise StalePageError(f"docs/costs.md quotes claim {claim_id}; there is none")

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
        """The printed costs that repeat no earlier one of the same network."""
        # A repeated print belongs to the first table that has it, papers in the order of their keys: what the thesis
        # repeats of its papers, whose keys come before its own, is not counted twice.
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


def _reproduced(audit: AuditRow | None, column: str) -> bool:
    verdict = audit.cells[column].verdict if audit else None
    return verdict is not None and verdict.reproduced
