"""Whether a count is a printed cost: the print is the count, shortened to as many digits, without any tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Literal

from benchmark.spec.columns import MULTIPLES, multiple_of

How = Literal[
    "truncated", "rounded", "truncated or rounded", "as views times a truncated count", "as views times a rounded count"
]


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


def shortened(count: int, unit: float, printed: str) -> How | None:
    """Which way of shortening `count / unit` to the digits of `printed` gives `printed`, if any.

    Args:
        count: A whole number of MACs or parameters.
        unit: What the print is in, for instance 1e9; a multiple in the print itself (`7.13K`) is stronger.
        printed: "65.9", "47.4", "121", "7.13K".
    """
    # Decimals, since there is no tolerance: a binary 65.85 is a little more, or less.
    if multiple := multiple_of(printed):
        printed, unit = printed[:-1], MULTIPLES[multiple]
    exact, target = Decimal(count) / Decimal(int(unit)), Decimal(printed)
    truncated = exact.quantize(target, ROUND_DOWN) == target
    rounded = exact.quantize(target, ROUND_HALF_UP) == target
    if truncated and rounded:
        return "truncated or rounded"
    return "truncated" if truncated else "rounded" if rounded else None


def views_times(count: int, views: int, unit: float, printed: str) -> How | None:
    """Whether the print is the number of views times one view's count, cut to whole units or to a tenth before.

    Args:
        count: Of one view.
        views: Clips times crops.
        unit: What the print is in.
        printed: Without a multiple of its own.
    """
    exact, target = Decimal(count) / Decimal(int(unit)), Decimal(printed)
    for digits in (Decimal(1), Decimal("0.1")):
        if exact.quantize(digits, ROUND_DOWN) * views == target:
            return "as views times a truncated count"
        if exact.quantize(digits, ROUND_HALF_UP) * views == target:
            return "as views times a rounded count"
    return None
