"""The cost audit: every printed cost of a table against what is counted. Imports without torch.

A printed number is *reproduced* where a count, truncated or rounded (half up) to the printed digits, is the print.
There is no tolerance. A row is judged by the reading that its table declares: a convention, on the row's network or on
a variant of it. Where that fails, the nearest of all conventions on both networks is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, Literal

from benchmark.config.run import RunConfig, of_one_view
from benchmark.cost.cache import cached
from benchmark.cost.conventions import CONVENTIONS, MATRIX, Convention
from benchmark.cost.record import GIGA, CostRecord
from benchmark.spec.columns import COLUMNS, MULTIPLES, Column, multiple_of, printed_value
from benchmark.spec.table import Reading, Row, Table

Lookup = Callable[[RunConfig], CostRecord | None]
How = Literal[
    "truncated", "rounded", "truncated or rounded", "as views times a truncated count", "as views times a rounded count"
]

PLAIN = "fvcore"
"""The convention that our own cost columns use, and that a row without a reading is judged by."""

PRODUCTS = ("conv", "matrix products")
"""What both counters count. They differ in nothing else that torch counts, so that here a difference is a fault."""

TOLERANCE = 5e-3
"""Share of a count by which the counters may differ in products before it is a doubt.

fvcore's rule for a product of matrices leaves out the batch where only the right operand has one. That is known, and
0.4 % at most in the papers' networks (temporal squeezing); by more, it is as wrong as any other difference.
"""


@dataclass(frozen=True)
class Verdict:
    """How a count compares with a print.

    Attributes:
        printed: As printed, digits and all.
        count: By the row's reading, in the column's unit.
        how: Which way of shortening the count gives the print; None where neither does.
        nearest: Where neither does, the convention and the network that come nearest, as text.
        nearest_count: Their count, in the column's unit; `nearest_shown` in that of the print.
    """

    printed: str
    count: float
    how: How | None
    nearest: str = ""
    nearest_count: float | None = None
    nearest_shown: str = ""

    @property
    def reproduced(self) -> bool:
        """Whether the reading gives the print."""
        return self.how is not None

    def text(self) -> str:
        """In words."""
        if self.how:
            return f"reproduced, {self.how}"
        return f"not reproduced; nearest {self.nearest_shown} by {self.nearest}"


@dataclass(frozen=True)
class CostCell:
    """One cost of one row: the plain count, and what the printed number is read as.

    Attributes:
        count: By fvcore, of the network that is trained, in the column's unit.
        convention, variant, why: Of the reading; `variant` the settings in which its network differs.
        reading_count: By the reading; None where nothing is printed.
        verdict: None where nothing is printed.
    """

    column: str
    count: float
    convention: str = PLAIN
    variant: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    reading_count: float | None = None
    verdict: Verdict | None = None

    @property
    def reading(self) -> str:
        """The convention, and the settings in which the counted network differs from the one trained."""
        settings = ", ".join(f"{key}={value}" for key, value in self.variant.items())
        return f"{self.convention}{f' with {settings}' if settings else ''}"


@dataclass(frozen=True)
class AuditRow:
    """One row of the audit. Costs of a row that averages others are the sums over these.

    Attributes:
        cells: By column: the table's cost columns, and always `gmacs` and `mparams`.
        torch_gmacs: By torch's counter, of the network that is trained.
        torch_difference: (fvcore - torch) / fvcore.
        difference_by_operator: What makes it up, in 1e9 MACs.
        uncounted: Calls and elements of arithmetic that fvcore leaves out, by operator.
        unclassified: Calls of operators of which it is not known whether they do arithmetic, or what they do cannot be
            counted: the counts of MACs then only say how many there are at least.
    """

    label: str
    cells: dict[str, CostCell]
    torch_gmacs: float
    torch_difference: float
    difference_by_operator: dict[str, float]
    uncounted: dict[str, tuple[int, int]]
    unclassified: dict[str, int]

    @property
    def disagreement(self) -> float:
        """By how much the counters differ in convolutions and matrix products, as a share of the larger count.

        That torch counts no normalisation, resizing or pooling is explained, and no part of it.
        """
        difference = sum(abs(self.difference_by_operator.get(name, 0.0)) for name in PRODUCTS)
        larger = max(self.cells["gmacs"].count, self.torch_gmacs)
        return difference / larger if larger else 0.0

    @property
    def doubt(self) -> str:
        """Why the counts of MACs are not to be relied on; "" where they are. Parameters are beyond doubt."""
        if self.unclassified:
            return f"not counted: {', '.join(f'{name} {calls}x' for name, calls in self.unclassified.items())}"
        if self.disagreement > TOLERANCE:
            return f"the counters differ by {self.disagreement:.1%} (audit.md)"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "doubt": self.doubt}


def shortened(count: int, unit: float, printed: str) -> How | None:
    """Which way of shortening `count / unit` to the digits of `printed` gives `printed`, if any.

    Args:
        count: A whole number of MACs or parameters.
        unit: What the print is in, for instance 1e9; a multiple in the print itself (`7.13K`) is stronger.
        printed: "65.9", "47.4", "121", "7.13K".
    """
    if multiple := multiple_of(printed):
        printed, unit = printed[:-1], MULTIPLES[multiple]
    exact, target = Decimal(count) / Decimal(int(unit)), Decimal(printed)
    truncated = exact.quantize(target, ROUND_DOWN) == target
    rounded = exact.quantize(target, ROUND_HALF_UP) == target
    if truncated and rounded:
        return "truncated or rounded"
    return "truncated" if truncated else "rounded" if rounded else None


def _views_times(count: int, views: int, unit: float, printed: str) -> How | None:
    """Whether the print is the number of views times one view's count, cut to whole units or to a tenth before."""
    exact, target = Decimal(count) / Decimal(int(unit)), Decimal(printed)
    for digits in (Decimal(1), Decimal("0.1")):
        if exact.quantize(digits, ROUND_DOWN) * views == target:
            return "as views times a truncated count"
        if exact.quantize(digits, ROUND_HALF_UP) * views == target:
            return "as views times a rounded count"
    return None


def cost_columns(table: Table) -> list[Column]:
    """The counted columns of a table: GMACs and parameters in any case."""
    keys = dict.fromkeys([*table.columns, "gmacs", "mparams"])
    return [COLUMNS[key] for key in keys if COLUMNS[key].source == "counted"]


SCOPES = {"network": "", "representation": "representation", "inserts": "backbone.inserts"}
"""Scope of a column -> the module that it is the cost of."""


def audit_table(table: Table, lookup: Lookup = cached) -> list[AuditRow]:
    """Audit the rows of a table whose costs are counted; quoted rows and uncounted ones are left out."""
    return [audit for row in table.rows if (audit := audit_row(table, row, lookup)) is not None]


def audit_row(table: Table, row: Row, lookup: Lookup = cached) -> AuditRow | None:
    """Audit one row, or None where it is quoted or not counted yet."""
    members = [] if row.quoted else table.members(row)
    plain = _counted((member.paper_config for member in members), lookup)
    if not plain:
        return None
    cells = {column.key: _cell(column, row, members, plain, lookup) for column in cost_columns(table)}
    if None in cells.values():
        return None
    records = [network.record for network in plain]
    macs = sum(record.macs for record in records)
    torch_macs = sum(sum(record.torch_macs.values()) for record in records)
    return AuditRow(
        label=row.label,
        cells={key: cell for key, cell in cells.items() if cell is not None},
        torch_gmacs=torch_macs / GIGA,
        torch_difference=(macs - torch_macs) / macs if macs else 0.0,
        difference_by_operator=_difference(records),
        uncounted=_uncounted(records),
        unclassified=_unclassified(records),
    )


def row_configs(row: Row) -> list[RunConfig]:
    """Every config that a measured row's costs are counted on, at the size of one view."""
    configs = [row.paper_config, *(reading.config for reading in row.readings.values())]
    return [of_one_view(config) for config in configs if config is not None]


@dataclass(frozen=True)
class _Network:
    record: CostRecord
    views: int


def _counted(configs: Iterable[RunConfig | None], lookup: Lookup) -> list[_Network] | None:
    """The records of all configs, or None if one is missing."""
    networks = []
    for config in configs:
        record = lookup(of_one_view(config)) if config is not None else None
        if config is None or record is None:
            return None
        networks.append(_Network(record, config.views))
    return networks


def _total(convention: Convention, column: Column, networks: list[_Network]) -> int:
    """The column's quantity, as a whole number, summed over networks."""
    within = SCOPES[column.scope]
    measure = Convention.macs if column.quantity == "macs" else Convention.params
    return sum(
        measure(convention, network.record, within) * (network.views if column.per == "video" else 1)
        for network in networks
    )


def _cell(column: Column, row: Row, members: Iterable[Row], plain: list[_Network], lookup: Lookup) -> CostCell | None:
    """The cost of one column; None where the reading's network is not counted yet."""
    unit = MULTIPLES[column.unit]
    count = _total(CONVENTIONS[PLAIN], column, plain) / unit
    if column.key not in row.printed:
        return CostCell(column.key, count)
    reading = row.readings.get(column.key)
    read = _counted((_reading_config(member, row, reading, column) for member in members), lookup)
    if read is None:
        return None
    convention = CONVENTIONS[reading.convention if reading else PLAIN]
    verdict = _verdict(row.printed_text[column.key], column, convention, plain, read)
    variant, why = (dict(reading.set), reading.why) if reading else ({}, "")
    return CostCell(column.key, count, convention.name, variant, why, verdict.count, verdict)


def _reading_config(member: Row, row: Row, reading: Reading | None, column: Column) -> RunConfig | None:
    """A fused row is read as its members are."""
    own = member.readings.get(column.key) if member is not row else reading
    return own.config if own and own.config else member.paper_config


def _verdict(
    printed: str, column: Column, convention: Convention, plain: list[_Network], read: list[_Network]
) -> Verdict:
    unit = MULTIPLES[column.unit]
    count = _total(convention, column, read)
    how = shortened(count, unit, printed)
    if how is None and column.per == "video" and len(read) == 1:
        how = _views_times(count // read[0].views, read[0].views, unit, printed)
    if how:
        return Verdict(printed, count / unit, how)
    target = printed_value(printed, column)
    networks = {"the network that is trained": plain, "the reading's network": read}
    candidates = [
        (abs(total / unit - target), f"{candidate.name} on {name}", total / unit)
        for name, several in networks.items()
        for candidate in CONVENTIONS.values()
        for total in [_total(candidate, column, several)]
    ]
    _, nearest, nearest_count = min(candidates)
    multiple = multiple_of(printed)
    shown = nearest_count * unit / MULTIPLES[multiple or column.unit]
    return Verdict(printed, count / unit, None, nearest, nearest_count, f"{shown:.3f}{multiple}")


def _difference(records: list[CostRecord]) -> dict[str, float]:
    """Operators for which fvcore and torch differ: fvcore less torch, in 1e9 MACs."""
    left: Counter[str] = Counter()
    for record in records:
        for operator, macs in record.by_operator().items():
            left["matrix products" if operator in MATRIX - {"conv"} else operator] += macs
        for operator, macs in record.torch_macs.items():
            left["conv" if operator == "convolution" else "matrix products"] -= macs
    return {name: macs / GIGA for name, macs in sorted(left.items(), key=lambda item: -abs(item[1])) if macs}


def _uncounted(records: list[CostRecord]) -> dict[str, tuple[int, int]]:
    calls: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for entry in (entry for record in records for entry in record.uncounted if entry.kind == "arithmetic"):
        calls[entry.operator] += entry.calls
        elements[entry.operator] += entry.elements
    return {operator: (calls[operator], elements[operator]) for operator in sorted(calls)}


def _unclassified(records: list[CostRecord]) -> dict[str, int]:
    calls: Counter[str] = Counter()
    for entry in (entry for record in records for entry in record.uncounted if entry.kind == "unknown"):
        calls[entry.operator] += entry.calls
    return dict(sorted(calls.items()))
