"""What a claim's relation asserts: which pairs of rows, in which direction, and what counts as the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, product

from benchmark.spec.claim import Claim, Size
from benchmark.spec.columns import COLUMNS

MARGIN_POINTS = 0.5
MARGIN_SHARE = 0.05


@dataclass(frozen=True)
class SizeCheck:
    """A claimed size against numbers: what they give, in the size's own terms, and whether that bears it out."""

    size: Size
    found: float
    agrees: bool


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


def lhs_minus_rhs(claim: Claim, difference: float) -> float:
    """The difference as lhs - rhs (for `monotone`, later minus earlier), from larger - smaller."""
    flips = claim.relation in ("<", "<=") or (
        claim.relation in ("best", "monotone") and COLUMNS[claim.metric].better == "lower"
    )
    return (-difference if flips else difference) + 0.0


def exact_difference(claim: Claim, values: Mapping[str, float]) -> tuple[float, bool]:
    """Of values without error: larger - smaller of the pair that bears the claim out least, and whether it holds."""
    differences = [values[larger] - values[smaller] for larger, smaller in directed_pairs(claim)]
    if claim.relation == "~":
        weakest = max(differences, key=abs)
        return weakest, abs(weakest) <= margin_of(claim, list(values.values()))
    weakest = min(differences)
    if claim.relation == "monotone":
        return weakest, weakest >= 0 and sum(differences) > 0
    return weakest, weakest >= -(claim.margin or 0.0) if claim.relation in (">=", "<=") else weakest > 0


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
                found.append(without_dust(high - low))
            elif high > 0 and low > 0:
                found.append(high / low)
        if found:
            worst = next((value for value in found if not size.agrees(value)), found[0])
            checks.append(SizeCheck(size, size.stated(worst), size.agrees(worst)))
    return tuple(checks)


def without_dust(difference: float) -> float:
    """One decimal less one decimal leaves binary dust, which would turn a tie into a difference."""
    return round(difference, 9)
