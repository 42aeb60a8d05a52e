"""The printed numbers on trial: what they say of a claim by themselves, against the sampling error of their clips.

A paper prints one accuracy a row, and no predictions. How far two rows on the same clips agree is therefore unknown,
and with it the error of their difference: it is given for several correlations between the rows' hits. What it leaves
out is the variance of training (one run a row, as far as the papers say) and the choice of the best of several epochs
or runs on the very clips that are reported; both make the true error larger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, product

from benchmark.config.datasets import DATASETS, official_splits
from benchmark.report.cells import printed_dataset
from benchmark.report.statistics.stats import binomial_se, t_quantile, trend_weights
from benchmark.spec.claim import Claim, Size
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Table

CORRELATIONS = (0.0, 0.4, 0.8)
"""Between two rows' hits on the same clips; 0.4 is what rows that are measured here have."""
MARGIN_POINTS = 0.5
MARGIN_SHARE = 0.05
_DUST = 1e-9
"""One decimal less one decimal leaves binary dust, which would turn a tie into a difference."""


@dataclass(frozen=True)
class SizeCheck:
    """A claimed size against numbers: what they give, in the size's own terms, and whether that bears it out."""

    size: Size
    found: float
    agrees: bool


@dataclass(frozen=True)
class Trial:
    """What the printed numbers say of a claim.

    Attributes:
        pair: The rows of the weakest comparison, (larger, smaller) as claimed; first and last for `monotone`.
        difference: larger - smaller there, in the metric's unit.
        holds: Whether the numbers, taken as exact, bear the claim out.
        errors: Half width of the 95 % interval of the difference by correlation; empty for exact columns and data sets
            of unknown size. For `monotone` that of the whole rise by the fitted slope.
        beyond: By correlation, whether the claim holds beyond that error.
        clips: That the accuracies are means over.
        sizes: The claimed sizes.
    """

    pair: tuple[str, str]
    difference: float
    holds: bool
    errors: Mapping[float, float]
    beyond: Mapping[float, bool]
    clips: int = 0
    sizes: tuple[SizeCheck, ...] = ()


def try_printed(claim: Claim, table: Table) -> Trial | None:
    """Put a claim's printed numbers on trial; None where one of them is not printed."""
    column = COLUMNS[claim.metric]
    printed = {row.label: row.printed[column.key] for row in table.every_row if column.key in row.printed}
    if any(label not in printed for label in claim.labels):
        return None
    margin = margin_of(claim, [printed[label] for label in claim.labels])
    clips = _clips(table, claim, column)
    if claim.relation == "monotone":
        return _try_trend(claim, column, printed, clips, margin)
    pairs = directed_pairs(claim)
    differences = [_clean(printed[larger] - printed[smaller]) for larger, smaller in pairs]
    reach = [-abs(d) for d in differences] if claim.relation == "~" else differences
    weakest = reach.index(min(reach))
    larger, smaller = pairs[weakest]
    difference = differences[weakest]
    errors = _errors(printed[larger], printed[smaller], clips)
    low = {rho: (-abs(difference) if claim.relation == "~" else difference) - error for rho, error in errors.items()}
    return Trial(
        (larger, smaller),
        difference,
        holds=_inside(claim, min(reach), margin),
        errors=errors,
        beyond={rho: _beyond(claim, bound, margin) for rho, bound in low.items()},
        clips=clips,
        sizes=check_sizes(claim, printed),
    )


def directed_pairs(claim: Claim) -> list[tuple[str, str]]:
    """The pairs (larger, smaller) that the claim asserts; `best` and `monotone` follow the column's better direction.

    A claim of sameness has no direction: its pairs are as written.
    """
    better_is_lower = COLUMNS[claim.metric].better == "lower"
    if claim.relation == "monotone":
        steps = list(pairwise(claim.labels))
        return steps if better_is_lower else [(later, earlier) for earlier, later in steps]
    pairs = list(product(claim.lhs, claim.rhs))
    up = claim.relation in (">", ">=", "~") or (claim.relation == "best" and not better_is_lower)
    return pairs if up else [(rhs, lhs) for lhs, rhs in pairs]


def margin_of(claim: Claim, values: list[float]) -> float:
    """What counts as the same, or as no loss: the claim's margin, else 0.5 points, or 5 % of the largest value."""
    if claim.margin is not None:
        return claim.margin
    if COLUMNS[claim.metric].unit == "%":
        return MARGIN_POINTS
    return MARGIN_SHARE * max(map(abs, values), default=0.0)


def check_sizes(claim: Claim, values: Mapping[str, float]) -> tuple[SizeCheck, ...]:
    """The claimed sizes against the rows' values, each for the pair that bears it out least.

    For `best` that is the nearest pair alone: a margin over the best of the others.
    """
    pairs = directed_pairs(claim)
    if claim.relation == "best":
        pairs = [min(pairs, key=lambda pair: values[pair[0]] - values[pair[1]])]
    checks = []
    for size in claim.sizes:
        found = []
        for larger, smaller in pairs:
            high, low = values[larger], values[smaller]
            if size.form == "difference":
                found.append(_clean(high - low))
            elif high > 0 and low > 0:
                found.append(high / low)
        if found:
            worst = next((value for value in found if not size.agrees(value)), found[0])
            checks.append(SizeCheck(size, size.stated(worst), size.agrees(worst)))
    return tuple(checks)


def _try_trend(claim: Claim, column: Column, printed: Mapping[str, float], clips: int, margin: float) -> Trial:
    steps = [_clean(printed[larger] - printed[smaller]) for larger, smaller in directed_pairs(claim)]
    sign = -1.0 if column.better == "lower" else 1.0
    values, weights = [printed[label] for label in claim.labels], trend_weights(len(claim.labels))
    rise = (len(values) - 1) * sign * sum(w * v for w, v in zip(weights, values, strict=True))
    errors = {}
    if clips:
        parts = [(len(values) - 1) * w * binomial_se(v, clips) for w, v in zip(weights, values, strict=True)]
        alone, together = sum(part**2 for part in parts), sum(parts) ** 2
        errors = {rho: t_quantile(math.inf) * math.sqrt((1 - rho) * alone + rho * together) for rho in CORRELATIONS}
    first, last = claim.labels[0], claim.labels[-1]
    holds = rise > 0 and min(steps) >= -margin
    return Trial(
        (last, first) if sign > 0 else (first, last),
        _clean(sum(steps)),
        holds,
        errors,
        {rho: holds and rise > error for rho, error in errors.items()},
        clips,
    )


def _inside(claim: Claim, reach: float, margin: float) -> bool:
    return _beyond(claim, reach, margin) if claim.relation not in (">=", "<=", "~") else reach >= -margin - _DUST


def _beyond(claim: Claim, low: float, margin: float) -> bool:
    return low > (-margin if claim.relation in (">=", "<=", "~") else 0.0)


def _errors(larger: float, smaller: float, clips: int) -> dict[float, float]:
    if not clips:
        return {}
    a, b = binomial_se(larger, clips), binomial_se(smaller, clips)
    return {rho: t_quantile(math.inf) * math.sqrt(a * a + b * b - 2 * rho * a * b) for rho in CORRELATIONS}


def _clips(table: Table, claim: Claim, column: Column) -> int:
    """Clips that a printed accuracy is the mean over, those of all its official splits together; 0 for other values."""
    if column.unit != "%":
        return 0
    dataset = column.dataset or printed_dataset(table, claim.lhs[0])
    if dataset not in DATASETS:
        return 0
    names = official_splits(dataset, table.splits) if DATASETS[dataset].official_split else (dataset,)
    return sum(DATASETS[name].val_clips for name in names)


def _clean(difference: float) -> float:
    return round(difference, 9)
