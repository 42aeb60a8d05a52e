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

from benchmark.config.datasets import DATASETS, official_splits
from benchmark.report.datasets import printed_dataset
from benchmark.report.statistics.relations import SizeCheck, check_sizes, directed_pairs, margin_of, without_dust
from benchmark.report.statistics.stats import binomial_se, t_quantile, trend_weights
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Table

CORRELATIONS = (0.0, 0.4, 0.8)
"""Between two rows' hits on the same clips; 0.4 is what rows that are measured here have."""
_DUST = 1e-9
"""One decimal less one decimal leaves binary dust, which would turn a tie into a difference."""


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
    clips = printed_clips(table, claim.lhs[0], column)
    if claim.relation == "monotone":
        return _try_trend(claim, column, printed, clips, margin)
    pairs = directed_pairs(claim)
    differences = [without_dust(printed[larger] - printed[smaller]) for larger, smaller in pairs]
    reach = [-abs(d) for d in differences] if claim.relation == "~" else differences
    weakest = reach.index(min(reach))
    larger, smaller = pairs[weakest]
    difference = differences[weakest]
    errors = difference_errors(printed[larger], printed[smaller], clips)
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


def _try_trend(claim: Claim, column: Column, printed: Mapping[str, float], clips: int, margin: float) -> Trial:
    steps = [without_dust(printed[larger] - printed[smaller]) for larger, smaller in directed_pairs(claim)]
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
        without_dust(sum(steps)),
        holds,
        errors,
        {rho: holds and rise > error for rho, error in errors.items()},
        clips,
    )


def _inside(claim: Claim, reach: float, margin: float) -> bool:
    return _beyond(claim, reach, margin) if claim.relation not in (">=", "<=", "~") else reach >= -margin - _DUST


def _beyond(claim: Claim, low: float, margin: float) -> bool:
    return low > (-margin if claim.relation in (">=", "<=", "~") else 0.0)


def difference_errors(larger: float, smaller: float, clips: int) -> dict[float, float]:
    """Half width of the 95 % interval of larger - smaller, two accuracies in percent, by correlation; {} of 0 clips."""
    if not clips:
        return {}
    a, b = binomial_se(larger, clips), binomial_se(smaller, clips)
    return {rho: t_quantile(math.inf) * math.sqrt(a * a + b * b - 2 * rho * a * b) for rho in CORRELATIONS}


def printed_clips(table: Table, label: str, column: Column) -> int:
    """Clips that a row's printed accuracy is the mean over, of all official splits together; 0 for other values."""
    if column.unit != "%":
        return 0
    dataset = column.dataset or printed_dataset(table, label)
    if dataset not in DATASETS:
        return 0
    names = official_splits(dataset, table.splits) if DATASETS[dataset].official_split else (dataset,)
    return sum(DATASETS[name].val_clips for name in names)
