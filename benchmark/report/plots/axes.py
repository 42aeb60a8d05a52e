"""The axes of a plot of accuracy against cost: their limits, scales and ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.report.plots.points import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_SPAN = 5.0
"""Costs that span more than this factor have a logarithmic axis."""
DECADES = 2.3
"""Over more than these, only powers of ten have a number."""
STEPS = [1, 2, 2.5, 5, 10]


def set_cost_axis(ax: Axes, costs: Sequence[float]) -> None:
    """Logarithmic over more than a factor of LOG_SPAN; a row that costs nothing then stands left of all others, at 0.

    A linear one spans one per cent at least, so that almost equal costs do not look different.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, ScalarFormatter

    low, high = min(costs), max(costs)
    least = min((cost for cost in costs if cost > 0), default=0.0)
    if not least or high <= LOG_SPAN * least:
        margin = max(0.15 * (high - low), 0.005 * (low + high)) or 1.0
        ax.set_xlim(low - margin, high + margin)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        ax.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        return
    margin = (high / least) ** 0.1
    first, last = least / margin if low > 0 else least, high * margin
    if low > 0:
        ax.set_xscale("log")
        ax.set_xlim(first, last)
    else:
        ax.set_xscale("symlog", linthresh=least, linscale=0.5)
        ax.set_xlim(-0.3 * least, last)
    ax.xaxis.set_major_locator(FixedLocator([*([] if low > 0 else [0.0]), *log_ticks(first, last)]))
    ax.xaxis.set_minor_locator(FixedLocator(log_ticks(first, last, range(1, 10))))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def log_ticks(low: float, high: float, steps: Sequence[int] = ()) -> list[float]:
    """The `steps` of every decade between two values.

    By default 1 alone over more than DECADES, else 1, 2 and 5, or more where these are no three ticks, which it takes
    to see that an axis is logarithmic.
    """
    if not steps:
        usual = [(1,)] if math.log10(high / low) > DECADES else []
        tried = [log_ticks(low, high, some) for some in (*usual, (1, 2, 5), (1, 2, 3, 5, 7))]
        return next((ticks for ticks in tried if len(ticks) > 2), tried[-1])
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [v for decade in decades for step in steps if low <= (v := float(f"{step}e{decade}")) <= high]


def set_value_axis(ax: Axes, points: Sequence[Point]) -> None:
    """Linear, with room for the error bars, and not so narrow that a hundredth of a percent looks like much."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    ends = [point.value + sign * (point.error or 0) for point in points for sign in (-1, 1)]
    largest = max(map(abs, ends)) or 1.0
    margin = max(0.15 * (max(ends) - min(ends)), 0.5 if largest > 2 else 0.02 * largest)
    ax.set_ylim(min(ends) - margin, max(ends) + margin)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    ax.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
