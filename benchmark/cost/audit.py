"""The cost audit: every printed cost of a table against what is counted. Imports without torch.

A printed number is *reproduced* where a count, truncated or rounded (half up) to the printed digits, is the print.
There is no tolerance. A row is judged by the reading that its table declares: a convention, on the row's network or on
a variant of it. Where that fails, the nearest of all conventions on both networks is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, Literal

from benchmark.cost.cache import cached
from benchmark.cost.conventions import CONVENTIONS, MATRIX, Convention
from benchmark.cost.record import GIGA, MEGA, CostRecord
from benchmark.spec.config import RunConfig
from benchmark.spec.table import Row, Table

Lookup = Callable[[RunConfig], CostRecord | None]
How = Literal["truncated", "rounded", "truncated or rounded"]

PLAIN = "fvcore"
"""The convention that our own cost columns use, and that a row without a reading is judged by."""

TORCH_MATRIX = frozenset({"addmm", "mm", "bmm", "baddbmm"})


@dataclass(frozen=True)
class Verdict:
    """How a count compares with a print.

    Attributes:
        printed: As printed, digits and all.
        count: By the row's reading, in units of 1e9 MACs or 1e6 parameters.
        how: Which way of shortening the count gives the print; None where neither does.
        nearest: Where neither does, the convention and the network that come nearest, as text.
        nearest_count: Their count.
    """

    printed: str
    count: float
    how: How | None
    nearest: str = ""
    nearest_count: float | None = None

    @property
    def reproduced(self) -> bool:
        """Whether the reading gives the print."""
        return self.how is not None

    def text(self) -> str:
        """In words."""
        if self.how:
            return f"reproduced, {self.how}"
        return f"not reproduced; nearest {self.nearest_count:.3f} by {self.nearest}"


@dataclass(frozen=True)
class AuditRow:
    """One row of the audit. Costs of a row that averages others are the sums over these.

    Attributes:
        gmacs, mparams: Plain count: fvcore and all parameters, of the network that is trained.
        torch_gmacs: By torch's counter.
        torch_difference: (fvcore - torch) / fvcore.
        difference_by_operator: What makes it up, in 1e9 MACs.
        uncounted: Calls and elements of arithmetic that fvcore leaves out, by operator.
        unclassified: Calls of operators of which it is not known whether they do arithmetic.
        convention, why: Of the reading.
        variant: The settings in which the reading's network differs from the one trained.
        reading_gmacs, reading_mparams: By the reading.
        gmacs_verdict, mparams_verdict: None where nothing is printed.
    """

    label: str
    gmacs: float
    mparams: float
    torch_gmacs: float
    torch_difference: float
    difference_by_operator: dict[str, float]
    uncounted: dict[str, tuple[int, int]]
    unclassified: dict[str, int]
    convention: str
    variant: dict[str, Any]
    why: str
    reading_gmacs: float
    reading_mparams: float
    gmacs_verdict: Verdict | None
    mparams_verdict: Verdict | None

    @property
    def reading(self) -> str:
        """The convention, and the settings in which the counted network differs from the one trained."""
        settings = ", ".join(f"{key}={value}" for key, value in self.variant.items())
        return f"{self.convention}{f' with {settings}' if settings else ''}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def shortened(count: int, unit: int, printed: str) -> How | None:
    """Which way of shortening `count / unit` to the digits of `printed` gives `printed`, if any.

    Args:
        count: A whole number of MACs or parameters.
        unit: What the print is in, for instance 1e9.
        printed: "65.9", "47.4", "121".
    """
    exact, target = Decimal(count) / unit, Decimal(printed)
    truncated = exact.quantize(target, ROUND_DOWN) == target
    rounded = exact.quantize(target, ROUND_HALF_UP) == target
    if truncated and rounded:
        return "truncated or rounded"
    return "truncated" if truncated else "rounded" if rounded else None


def audit_table(table: Table, lookup: Lookup = cached) -> list[AuditRow]:
    """Audit the rows of a table whose costs are counted; quoted rows and uncounted ones are left out."""
    return [audit for row in table.rows if (audit := audit_row(table, row, lookup)) is not None]


def audit_row(table: Table, row: Row, lookup: Lookup = cached) -> AuditRow | None:
    """Audit one row, or None where it is quoted or not counted yet."""
    convention = CONVENTIONS[row.reading.convention if row.reading else PLAIN]
    members = [] if row.quoted else table.members(row)
    plain = _records((member.paper_config for member in members), lookup)
    read = _records((member.reading_config or member.paper_config for member in members), lookup)
    if not plain or not read:
        return None
    networks = {"the network that is trained": plain, "the reading's network": read}
    macs = sum(record.macs for record in plain)
    torch_macs = sum(sum(record.torch_macs.values()) for record in plain)
    return AuditRow(
        label=row.label,
        gmacs=macs / GIGA,
        mparams=sum(record.params for record in plain) / MEGA,
        torch_gmacs=torch_macs / GIGA,
        torch_difference=(macs - torch_macs) / macs if macs else 0.0,
        difference_by_operator=_difference(plain),
        uncounted=_uncounted(plain),
        unclassified=_unclassified(plain),
        convention=convention.name,
        variant=dict(row.reading.set) if row.reading else {},
        why=row.reading.why if row.reading else "",
        reading_gmacs=sum(convention.macs(record) for record in read) / GIGA,
        reading_mparams=sum(convention.params(record) for record in read) / MEGA,
        gmacs_verdict=_verdict(row, "gmacs", GIGA, convention, Convention.macs, read, networks),
        mparams_verdict=_verdict(row, "mparams", MEGA, convention, Convention.params, read, networks),
    )


def _records(configs: Iterable[RunConfig | None], lookup: Lookup) -> list[CostRecord] | None:
    """The records of all configs, or None if one is missing."""
    records = []
    for config in configs:
        record = lookup(config) if config is not None else None
        if record is None:
            return None
        records.append(record)
    return records


def _verdict(
    row: Row,
    column: str,
    unit: int,
    convention: Convention,
    measure: Callable[[Convention, CostRecord], int],
    read: list[CostRecord],
    networks: Mapping[str, list[CostRecord]],
) -> Verdict | None:
    if column not in row.printed:
        return None
    printed = row.printed_text.get(column) or str(row.printed[column])
    count = sum(measure(convention, record) for record in read)
    how = shortened(count, unit, printed)
    if how:
        return Verdict(printed, count / unit, how)
    candidates = [
        (abs(total / unit - float(printed)), f"{candidate.name} on {name}", total / unit)
        for name, records in networks.items()
        for candidate in CONVENTIONS.values()
        for total in [sum(measure(candidate, record) for record in records)]
    ]
    _, nearest, nearest_count = min(candidates)
    return Verdict(printed, count / unit, None, nearest, nearest_count)


def _difference(records: list[CostRecord]) -> dict[str, float]:
    """Operators for which fvcore and torch differ: fvcore less torch, in 1e9 MACs."""
    left: Counter[str] = Counter()
    for record in records:
        for operator, macs in record.by_operator().items():
            left["matrix products" if operator in MATRIX - {"conv"} else operator] += macs
        for operator, macs in record.torch_macs.items():
            name = "conv" if operator == "convolution" else "matrix products" if operator in TORCH_MATRIX else operator
            left[name] -= macs
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
