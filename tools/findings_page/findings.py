"""What our runs came to, against what the papers print and claim: verdicts, orders of rows, and levels of difficulty.

Verdicts are those of the rendered tables (claims.csv of the results folder); differences between rows are made again
from the records of the runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from benchmark.config.datasets import AXES, LEVEL_COUNT
from benchmark.report.claims.all_claims import Entry, distinct, gather_claims
from benchmark.report.collect import collect
from benchmark.report.columns.measured import lacks
from benchmark.report.fuse import with_fused
from benchmark.report.recorded_tables import TableEntry
from benchmark.report.sources import Sources
from benchmark.report.statistics.compare import Comparison, Contrast
from benchmark.report.statistics.noise import read_noise
from benchmark.report.statistics.printed import difference_errors, printed_clips
from benchmark.report.statistics.stats import t_quantile
from benchmark.spec.claim import first_made
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Table

RHO = 0.4
"""The correlation of rows' hits by which printed differences are judged: docs/statistics.md."""
PROTOCOL = "embedded"


@dataclass(frozen=True)
class Measured:
    """A table with runs of its rows."""

    table: Table
    comparison: Comparison = field(repr=False)

    @property
    def column(self) -> Column | None:
        """The first column that is both printed and measured; None where there is none."""
        printed = {key for row in self.table.rows for key in row.printed}
        columns = (COLUMNS[key] for key in self.table.columns)
        return next(
            (
                column
                for column in columns
                if column.kind == "measured"
                and not column.dataset
                and column.key in printed
                and lacks(self.table, column) is None
            ),
            None,
        )

    @property
    def seeds(self) -> int:
        """Of the row that has most."""
        return max((sum(r.state == "done" for r in runs) for runs in self.comparison.runs.values()), default=0)


@dataclass(frozen=True)
class Pair:
    """Two rows that are printed and measured: first - second in percent, by the print and by our runs.

    Attributes:
        printed_apart, ours_apart: Whether the difference exceeds its 95 % error; None where that is not known.
    """

    first: str
    second: str
    printed: float
    ours: float
    printed_apart: bool | None
    ours_apart: bool | None

    @property
    def same_order(self) -> bool | None:
        """Whether both have one sign; None for a tie in print."""
        return None if self.printed == 0 else (self.printed > 0) == (self.ours > 0)


@dataclass(frozen=True)
class Order:
    """How far the printed order of a table's rows is ours."""

    table: Table
    rows: int
    seeds: int
    pairs: tuple[Pair, ...]

    @property
    def alike(self) -> int:
        """Pairs in the same order, whatever their error."""
        return sum(pair.same_order is True for pair in self.pairs)

    @property
    def ordered(self) -> int:
        """Pairs that the print does not tie."""
        return sum(pair.same_order is not None for pair in self.pairs)

    @property
    def told_apart(self) -> int:
        """Pairs whose difference in our runs exceeds its error."""
        return sum(pair.ours_apart is True for pair in self.pairs)

    @property
    def both(self) -> tuple[Pair, ...]:
        """Pairs that the print and our runs both tell apart."""
        return tuple(pair for pair in self.pairs if pair.printed_apart and pair.ours_apart)

    @property
    def opposite(self) -> tuple[Pair, ...]:
        """Of these, those in the other order."""
        return tuple(pair for pair in self.both if pair.same_order is False)


@dataclass(frozen=True)
class Steps:
    """A difference of two rows at the levels of an axis, easiest first, and the half width of each 95 % interval."""

    axis: str
    differences: tuple[float, ...]
    halves: tuple[float, ...]

    @property
    def change(self) -> float:
        """From the easiest to the hardest level, in units of its standard error; their clips are not the same."""
        half = math.hypot(self.halves[0], self.halves[-1])
        return t_quantile(math.inf) * (self.differences[-1] - self.differences[0]) / half if half else 0.0


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict, as the rendered table gives it.

    Attributes:
        again: Ids of the claims that repeat it.
        steps: The deciding difference by axis and level; () where it is not of a graded data set, or has no error.
    """

    entry: Entry
    again: tuple[str, ...] = ()
    steps: tuple[Steps, ...] = ()

    @property
    def state(self) -> str:
        """The verdict."""
        return self.entry.ours

    @property
    def of_accuracy(self) -> bool:
        """Whether the claim is on what is measured, and not on a count or a time."""
        return COLUMNS[self.entry.claim.metric].kind == "measured"

    @property
    def uneven(self) -> Steps | None:
        """The axis along which the difference changes most, where it changes beyond its error (5 %, three axes)."""
        most = max(self.steps, key=lambda steps: abs(steps.change), default=None)
        return most if most is not None and abs(most.change) > t_quantile(math.inf, 1 - 0.05 / len(AXES)) else None


@dataclass(frozen=True)
class Findings:
    """All claims of the papers, those that repeat others left out, and the tables that were measured."""

    claims: tuple[Finding, ...]
    measured: tuple[Measured, ...]
    tables: tuple[Table, ...]

    @property
    def papers(self) -> tuple[str, ...]:
        """Their keys."""
        return tuple(dict.fromkeys(table.paper for table in self.tables))

    @property
    def orders(self) -> tuple[Order, ...]:
        """Of every measured table with two rows or more that are printed too."""
        return tuple(order for one in self.measured if (order := order_of(one)).pairs)

    def of(self, paper: str = "", state: str = "", accuracy: bool | None = None) -> list[Finding]:
        """The claims of a paper, in a state, on accuracies or on anything else."""
        return [
            one
            for one in self.claims
            if paper in ("", one.entry.table.paper) and state in ("", one.state) and accuracy in (None, one.of_accuracy)
        ]

    def claim(self, name: str) -> Finding:
        """A claim by its id, or that of a repeat. Raises KeyError."""
        found = next((one for one in self.claims if name in (one.entry.claim.id, *one.again)), None)
        if found is None:
            raise KeyError(name)
        return found

    def count(self, state: str, accuracy: bool | None = True) -> int:
        """Claims in a state."""
        return len(self.of(state=state, accuracy=accuracy))


def gather(tables: Sequence[Table], recorded: Iterable[TableEntry], results: Path) -> Findings:
    """Everything that the page is made of.

    Args:
        tables: of the papers.
        recorded: tables with records.
        results: the results folder, rendered.
    """
    measured = [measure(entry.load()) for entry in recorded if entry.protocol == PROTOCOL and not entry.dataset]
    by_table = {one.table.id: one.comparison for one in measured}
    entries = gather_claims(tables, results)
    again: dict[str, list[str]] = {}
    for name, first in first_made({entry.claim.id: entry.claim for entry in entries}).items():
        again.setdefault(first, []).append(name)
    claims = tuple(
        Finding(
            entry,
            tuple(name for name in again[entry.claim.id] if name != entry.claim.id),
            steps_of(entry, by_table.get(entry.table.id)),
        )
        for entry in distinct(entries)
    )
    papers = {table.paper for table in tables}
    return Findings(claims, tuple(one for one in measured if one.table.paper in papers), tuple(tables))


def measure(table: Table) -> Measured:
    """The table's runs, from records alone."""
    runs = collect(table, sources=Sources(runs=False))
    return Measured(table, Comparison(table, with_fused(table, runs), read_noise(table.protocol)))


def steps_of(entry: Entry, comparison: Comparison | None) -> tuple[Steps, ...]:
    """The difference that decided a claim on top-1 accuracy, at every level."""
    if comparison is None or entry.claim.metric != "top1" or entry.pair is None:
        return ()
    larger, smaller = entry.pair
    found = []
    for axis in AXES:
        at = [comparison.contrast(larger, smaller, f"top1_{axis}_{n + 1}") for n in range(LEVEL_COUNT)]
        known = [(one.difference, one.estimate.half_width()) for one in at if one is not None and one.estimate]
        if len(known) < LEVEL_COUNT:
            return ()
        found.append(Steps(axis, *(tuple(numbers) for numbers in zip(*known, strict=True))))
    return tuple(found)


def order_of(measured: Measured) -> Order:
    """Every pair of rows that are printed and measured."""
    table, column, comparison = measured.table, measured.column, measured.comparison
    if column is None:
        return Order(table, 0, measured.seeds, ())
    values = {row.label: row.printed[column.key] for row in table.rows if column.key in row.printed}
    labels = [label for label in values if comparison.values(label, column.key)]
    pairs = []
    for first, second in combinations(labels, 2):
        contrast = comparison.contrast(first, second, column.key)
        assert contrast is not None
        printed = round(values[first] - values[second], 9)
        error = difference_errors(values[first], values[second], printed_clips(table, first, column)).get(RHO)
        apart = None if error is None else abs(printed) > error
        pairs.append(Pair(first, second, printed, contrast.difference, apart, _apart(contrast)))
    return Order(table, len(labels), measured.seeds, tuple(pairs))


def _apart(contrast: Contrast) -> bool | None:
    return None if contrast.estimate is None else abs(contrast.difference) > contrast.estimate.half_width()


def by_reason(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Claims by why they are in their state, what is particular to each left out; the commonest reason first."""
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.entry.reason.partition(":")[0], []).append(one)
    return dict(sorted(found.items(), key=lambda reason: -len(reason[1])))
