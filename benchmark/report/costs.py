"""What a table shows of a cost audit: the counts of a row, and how its printed costs are interpreted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.cost.audit import AuditRow
from benchmark.spec.columns import Column


@dataclass(frozen=True)
class InterpretedCost:
    """A printed cost as it is interpreted: the count that is meant to give the print, by which convention, on what.

    Attributes:
        value: The count.
        name: The counting convention, and the settings of the network that is counted.
        verdict: Whether the count gives the print, in words.
    """

    value: float
    name: str
    verdict: str


@dataclass(frozen=True)
class CountedCost:
    """The costs of a row at paper scale by column: plain counts, and how the printed ones are interpreted.

    Attributes:
        doubt: Why the counts of MACs cannot be relied on; "" where they can.
        at_least: Whether there are as many MACs at least, since not everything is counted.
    """

    values: Mapping[str, float]
    interpretations: Mapping[str, InterpretedCost] = field(default_factory=dict)
    doubt: str = ""
    at_least: bool = False

    def doubt_of(self, column: Column) -> str:
        """Why the count of a column cannot be relied on; "" where it can, as that of parameters always can."""
        return self.doubt if column.quantity == "macs" else ""


def counted_cost(row: AuditRow) -> CountedCost:
    """What a table shows of an audit: an interpretation only where there is a print that it explains."""
    interpretations = {
        key: InterpretedCost(cell.verdict.count, cell.interpretation, cell.verdict.text())
        for key, cell in row.cells.items()
        if cell.verdict is not None
    }
    counts = {key: cell.count for key, cell in row.cells.items()}
    return CountedCost(counts, interpretations, row.doubt, at_least=bool(row.unclassified))
