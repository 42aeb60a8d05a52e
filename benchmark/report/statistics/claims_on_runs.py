"""Claims on measured columns: whether the difference of the rows' runs lies where the claim says.

A claim says that it lies above zero (`>`, `<`, `best`), above -margin (`>=`, `<=`: no worse), or between -margin and
margin (`~`: about the same). `monotone` is a trend: the mean rise from row to row lies above zero, and no step falls by
more than the margin. The difference's 95 % interval (stats.py) decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmark.report.datasets import measured_dataset
from benchmark.report.labels import flat, listed
from benchmark.report.statistics.compare import NO_PREDICTIONS, Comparison, Contrast
from benchmark.report.statistics.judgement import Judgement, State, Tested
from benchmark.report.statistics.printed import Trial
from benchmark.report.statistics.relations import SizeCheck, check_sizes, directed_pairs, lhs_minus_rhs, margin_of
from benchmark.report.statistics.stats import ALPHA, POWER, seeds_needed, spread_range
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column

MOST_SEEDS = 100
MORE_SEEDS = "more seeds a row: --seeds 3"
FALL_ALPHA = 0.15
"""One-sided level at which every step of a `monotone` claim excludes a fall of more than the margin.

At 2.5 % small steps could never be told from their error; at 15 % a ladder with a true fall of a point passes in 5 %.
"""


def judge_on_runs(claim: Claim, column: Column, comparison: Comparison) -> Judgement | Tested:
    """Test a claim, or say why it cannot be tested yet: a row has no finished run, or one trains unstably."""
    missing = [label for label in claim.labels if not comparison.values(label, column.key)]
    if missing:
        takes = f"run {comparison.table.id}"
        return Judgement(claim, "not measured yet", f"no finished run: {listed(missing)}", takes)
    unstable = [f"{flat(label)}: {text}" for label in claim.labels if (text := comparison.unstable(label, column.key))]
    if unstable:
        return Judgement(claim, "not resolved", "; ".join(unstable), "a recipe under which these rows train alike")
    return _test(claim, column, comparison)


def decide(found: Judgement, tested: Tested, adjusted: float, comparison: Comparison) -> Judgement:
    """The state of a tested claim, by its p as it is corrected for the table's other claims (`adjusted`)."""
    claim, contrast = found.claim, tested.decisive
    column = COLUMNS[claim.metric]
    parts = [tested.text] if claim.relation == "monotone" else [_contrast_text(claim, contrast), tested.text]
    reason = "; ".join(part for part in parts if part)
    if adjusted < ALPHA:
        state: State = "supported" if tested.support <= tested.contradict else "contradicted"
        takes = ""
    else:
        state, takes = "not resolved", _forecast(claim, tested.for_it, found.printed, column)
        if tested.p < ALPHA:
            reason += f"; alone p = {tested.p:.2g}, with the table's other claims on it {adjusted:.2g}"
    sizes: tuple[SizeCheck, ...] = ()
    # The sizes are claimed of the printed data: on another data set they say nothing.
    if measured_dataset(comparison.table) == comparison.table.dataset:
        values = {x: comparison.values(x, column.key) for x in claim.labels}
        sizes = check_sizes(claim, {label: sum(v.values()) / len(v) for label, v in values.items()})
    return replace(found, state=state, reason=reason, takes=takes, contrast=contrast, p_adjusted=adjusted, sizes=sizes)


def _test(claim: Claim, column: Column, comparison: Comparison) -> Judgement | Tested:
    contrasts = [comparison.contrast(larger, smaller, column.key) for larger, smaller in directed_pairs(claim)]
    known = [contrast for contrast in contrasts if contrast is not None]
    weakest = min(known, key=lambda c: -abs(c.difference) if claim.relation == "~" else c.difference)
    still_open = next((contrast for contrast in known if contrast.estimate is None), None)
    if still_open is not None:
        reason = f"{still_open.why_open}; {_contrast_text(claim, weakest)}"
        takes = "its runs, with predictions" if still_open.why_open == NO_PREDICTIONS else MORE_SEEDS
        return Judgement(claim, "not resolved", reason, takes, weakest)
    means = [sum(values.values()) / len(values) for values in (comparison.values(x, column.key) for x in claim.labels)]
    margin = margin_of(claim, means)
    if claim.relation == "monotone":
        return _test_trend(claim, column, comparison, known, margin)
    # Supported where every pair lies in the claimed region: an intersection-union test, which needs no correction.
    supports = [_p_inside(claim, contrast, margin) for contrast in known]
    # Contradicted where one pair lies outside. Which of them is not said beforehand: Bonferroni, for their number.
    against = [min(1.0, len(known) * _p_outside(claim, contrast, margin)) for contrast in known]
    worst = supports.index(max(supports))
    loss = against.index(min(against))
    text = f"margin {margin:g} {_unit(column)}" if claim.relation in (">=", "<=", "~") else ""
    return Tested(supports[worst], against[loss], known[worst], known[loss], text)


def _test_trend(
    claim: Claim, column: Column, comparison: Comparison, steps: Sequence[Contrast], margin: float
) -> Judgement | Tested:
    labels = claim.labels[::-1] if column.better == "lower" else claim.labels
    slope = comparison.trend(labels, column.key)
    if isinstance(slope, str):
        return Judgement(claim, "not resolved", slope, MORE_SEEDS)
    falls = [contrast.estimate.p_above(-margin) for contrast in steps if contrast.estimate is not None]
    shown = [contrast.estimate.p_below(-margin) for contrast in steps if contrast.estimate is not None]
    sure, worst = falls.index(max(falls)), shown.index(min(shown))
    sign = -1.0 if column.better == "lower" else 1.0
    rise, half = sign * slope.value, slope.half_width()
    digits = column.decimals + 1
    text = (
        f"mean step {rise:+.{digits}f} {_unit(column)}, 95% CI [{rise - half:+.{digits}f}, {rise + half:+.{digits}f}];"
        f" largest fall allowed {margin:g}"
    )
    # A falling trend contradicts, or a fall at any of the steps.
    contradict = min(1.0, (len(steps) + 1) * min(slope.p_below(0.0), shown[worst]))
    support = slope.p_above(0.0)
    # A rise on the whole is not enough: every step must exclude a fall.
    if falls[sure] >= FALL_ALPHA:
        support, text = 1.0, f"{text}, and {_contrast_text(claim, steps[sure])} does not exclude it"
    return Tested(support, contradict, steps[sure], steps[worst], text)


def _p_inside(claim: Claim, contrast: Contrast, margin: float) -> float:
    estimate = contrast.estimate
    assert estimate is not None
    if claim.relation == "~":
        return max(estimate.p_above(-margin), estimate.p_below(margin))
    return estimate.p_above(-margin if claim.relation in (">=", "<=") else 0.0)


def _p_outside(claim: Claim, contrast: Contrast, margin: float) -> float:
    estimate = contrast.estimate
    assert estimate is not None
    if claim.relation == "~":
        return min(estimate.p_above(margin), estimate.p_below(-margin))
    return estimate.p_below(-margin if claim.relation in (">=", "<=") else 0.0)


def _forecast(claim: Claim, contrast: Contrast, printed: Trial | None, column: Column) -> str:
    """Seeds a row that resolve a true difference of the printed size, as a range, since the SD itself is uncertain.

    Where none do, it says that the clips are too few. The observed difference is no basis: in the null it is noise.
    """
    estimate = contrast.estimate
    if estimate is None or contrast.v_run is None:
        return MORE_SEEDS
    size, named = abs(printed.difference) if printed else 0.0, "the printed difference"
    if column.unit != "%" or not size or claim.relation == "~":
        size, named = margin_of(claim, [contrast.difference]), "the margin"
    if not size:
        return MORE_SEEDS
    what = f"{size:.{column.decimals}f} {_unit(column)}, {named},"
    fewest, most = (
        seeds_needed(size, variance, estimate.v_clip, MOST_SEEDS) for variance in spread_range(contrast.v_run)
    )
    if fewest is None:
        if seeds_needed(size, 0.0, estimate.v_clip, MOST_SEEDS) is None:
            return f"more clips: this validation set does not resolve {what} with any number of seeds"
        return f"more than {MOST_SEEDS} seeds a row to resolve {what}"
    text = f"{fewest} seeds" if fewest == most else f"{fewest} to {most or f'more than {MOST_SEEDS}'} seeds"
    return f"{text} a row to resolve {what} with {POWER:.0%} power"


def _contrast_text(claim: Claim, contrast: Contrast) -> str:
    """The decisive difference with its interval and seeds, as in `+1.2 (A - B), 95% CI [+0.3, +2.1], 3 seeds each`."""
    forward = lhs_minus_rhs(claim, 1.0) > 0
    ends = (contrast.lhs, contrast.rhs) if forward else (contrast.rhs, contrast.lhs)
    pair = f" ({flat(ends[0])} - {flat(ends[1])})" if len(claim.labels) > 2 else ""
    digits = COLUMNS[contrast.column].decimals
    text = f"{lhs_minus_rhs(claim, contrast.difference):+.{digits}f}{pair}"
    if contrast.estimate is not None:
        low, high = sorted(lhs_minus_rhs(claim, end) for end in (contrast.estimate.low, contrast.estimate.high))
        text += f", 95% CI [{low:+.{digits}f}, {high:+.{digits}f}]"
    counts = contrast.runs if forward else contrast.runs[::-1]
    if counts[0] == counts[1]:
        return f"{text}, {counts[0]} seed{'s' if counts[0] > 1 else ''} a row"
    return f"{text}, {counts[0]} and {counts[1]} seeds"


def _unit(column: Column) -> str:
    return "points" if column.unit == "%" else column.unit or "units"
