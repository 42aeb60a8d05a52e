"""The state of every claim that a paper draws from a table, judged by our own rows.

Each measured claim says where a difference lies: above zero (`>`, `<`, `best`), above -margin (`>=`, `<=`: no worse),
or between -margin and margin (`~`: about the same). The difference's 95 % interval (stats.py) decides:

* supported: it lies in the claimed region, for every pair that the claim names (an intersection-union test);
* contradicted: it lies outside, for one pair at least (which of them is not said beforehand, so Bonferroni's correction
  is made for their number);
* not resolved: neither, or a row's training is unstable.

`monotone` is a trend: the mean rise from row to row lies above zero, and at every step a fall of more than the margin
is excluded with 85 % confidence (at 97.5 % small steps could never be told from their error; at 85 % a ladder with a
true fall of a point passes in 5 %). It is contradicted by a falling trend, or by such a fall.

The claims of one table on one metric are corrected together (Holm); a claim that repeats another one counts once. A
claim between our costs is exact, and not testable where a count is in doubt, since an operator is not counted or the
two counters differ unexplained. One between timings is judged by where the tenth and ninetieth percentiles of their
passes lie, on one device, never against a print.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmark.cost.latency import RowTimings
from benchmark.report.cells import NO_TIMINGS, CountedCost, config_value
from benchmark.report.statistics.compare import NO_PREDICTIONS, Comparison, Contrast
from benchmark.report.statistics.printed import SizeCheck, Trial, check_sizes, directed_pairs, margin_of, try_printed
from benchmark.report.statistics.stats import ALPHA, POWER, holm, seeds_needed, spread_range
from benchmark.report.text.layout import dataset_title, flat, has_meaning, measured_dataset
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column, shown_value
from benchmark.spec.table import Table

State = Literal["supported", "contradicted", "not resolved", "not measured yet", "not testable here"]
STATES: tuple[State, ...] = ("supported", "contradicted", "not resolved", "not measured yet", "not testable here")
VERSION = "2"
"""Of the statistics: a new one may judge the same runs otherwise. It is part of PROVENANCE.json."""
MOST_SEEDS = 100
MORE_SEEDS = "more seeds a row: --seeds 3"
FALL_ALPHA = 0.15
"""One-sided level at which every step of a `monotone` claim excludes a fall of more than the margin."""
SAME_KIND = {"<": ">", "best": ">", "<=": ">="}
"""Relations that say the same of a pair, once it is put in order."""


@dataclass(frozen=True)
class Judgement:
    """A claim's state, with the reason, and what it takes to leave it.

    Attributes:
        claim: The claim.
        state: One of five.
        reason: What the state rests on: the decisive difference, or what is missing.
        takes: What it takes to resolve it; "" where it is resolved.
        contrast: The decisive pair of a measured claim, as (larger, smaller) of the claim.
        p: Two-sided, of this claim alone; None where nothing is tested.
        p_adjusted: The same, corrected for the table's claims on the metric.
        printed: What the printed numbers say; None where one is not printed.
        sizes: The claimed sizes against our own values, where these are of the printed data or are costs.
    """

    claim: Claim
    state: State
    reason: str
    takes: str = ""
    contrast: Contrast | None = None
    p: float | None = None
    p_adjusted: float | None = None
    printed: Trial | None = None
    sizes: tuple[SizeCheck, ...] = ()


@dataclass(frozen=True)
class _Tested:
    """One-sided p of both verdicts, and the pair that decides each."""

    support: float
    contradict: float
    for_it: Contrast
    against: Contrast
    text: str = ""

    @property
    def p(self) -> float:
        """Two-sided: of whichever verdict is nearer."""
        return min(1.0, 2 * min(self.support, self.contradict))

    @property
    def decisive(self) -> Contrast:
        """The pair that the nearer verdict rests on."""
        return self.for_it if self.support <= self.contradict else self.against


def judge_claims(
    table: Table, comparison: Comparison, costs: Mapping[str, CountedCost], timings: RowTimings = NO_TIMINGS
) -> list[Judgement]:
    """The state of each of the table's claims at whatever stage the runs are, in their order."""
    judged: list[Judgement] = []
    tested: dict[int, _Tested] = {}
    for number, claim in enumerate(table.claims):
        found = _judge(claim, table, comparison, costs, timings)
        if isinstance(found, _Tested):
            tested[number] = found
            found = Judgement(claim, "not resolved", "", p=found.p)
        judged.append(replace(found, printed=try_printed(claim, table)))
    for number, adjusted in _adjusted(table, tested).items():
        judged[number] = _decided(judged[number], tested[number], adjusted, table, comparison)
    return judged


def _judge(
    claim: Claim, table: Table, comparison: Comparison, costs: Mapping[str, CountedCost], timings: RowTimings
) -> Judgement | _Tested:
    column = COLUMNS[claim.metric]
    quoted = [label for label in claim.labels if table.row(label).quoted]
    if quoted and column.source != "config":
        reason = f"quoted from other papers: {_listed(quoted)}"
        return Judgement(claim, "not testable here", reason, "a row of our own for each of them")
    if column.dataset:
        takes = "a run on it: --protocol paper"
        if column.dataset in table.others:
            takes += f" --dataset {column.dataset}"
        reason = f"of {dataset_title(column.dataset)}, which is not measured"
        return Judgement(claim, "not testable here", reason, takes)
    if not has_meaning(table, column):
        reason = f"{column.title} says little of the few classes of {dataset_title(measured_dataset(table))}"
        return Judgement(claim, "not testable here", reason, "a data set of 20 classes or more")
    if column.source in ("counted", "config"):
        return _judge_exact(claim, column, table, costs)
    if column.source == "timed":
        return _judge_timed(claim, column, table, timings)
    missing = [label for label in claim.labels if not comparison.values(label, column.key)]
    if missing:
        return Judgement(claim, "not measured yet", f"no finished run: {_listed(missing)}", f"run {table.id}")
    unstable = [f"{flat(label)}: {text}" for label in claim.labels if (text := comparison.unstable(label, column.key))]
    if unstable:
        return Judgement(claim, "not resolved", "; ".join(unstable), "a recipe under which these rows train alike")
    return _test(claim, column, comparison)


def _test(claim: Claim, column: Column, comparison: Comparison) -> Judgement | _Tested:
    contrasts = [comparison.contrast(larger, smaller, column.key) for larger, smaller in directed_pairs(claim)]
    known = [contrast for contrast in contrasts if contrast is not None]
    weakest = min(known, key=lambda c: -abs(c.difference) if claim.relation == "~" else c.difference)
    still_open = next((contrast for contrast in known if contrast.estimate is None), None)
    if still_open is not None:
        reason = f"{still_open.why_open}; {_difference(claim, weakest)}"
        takes = "its runs, with predictions" if still_open.why_open == NO_PREDICTIONS else MORE_SEEDS
        return Judgement(claim, "not resolved", reason, takes, weakest)
    means = [sum(values.values()) / len(values) for values in (comparison.values(x, column.key) for x in claim.labels)]
    margin = margin_of(claim, means)
    if claim.relation == "monotone":
        return _test_trend(claim, column, comparison, known, margin)
    supports = [_p_inside(claim, contrast, margin) for contrast in known]
    against = [min(1.0, len(known) * _p_outside(claim, contrast, margin)) for contrast in known]
    worst = supports.index(max(supports))
    loss = against.index(min(against))
    text = f"margin {margin:g} {_unit(column)}" if claim.relation in (">=", "<=", "~") else ""
    return _Tested(supports[worst], against[loss], known[worst], known[loss], text)


def _test_trend(
    claim: Claim, column: Column, comparison: Comparison, steps: Sequence[Contrast], margin: float
) -> Judgement | _Tested:
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
    contradict = min(1.0, (len(steps) + 1) * min(slope.p_below(0.0), shown[worst]))
    support = slope.p_above(0.0)
    if falls[sure] >= FALL_ALPHA:
        support, text = 1.0, f"{text}, and {_difference(claim, steps[sure])} does not exclude it"
    return _Tested(support, contradict, steps[sure], steps[worst], text)


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


def _adjusted(table: Table, tested: Mapping[int, _Tested]) -> dict[int, float]:
    """Holm's p by claim, over the distinct claims of each metric; a repeat has that of the claim that it repeats."""
    families: dict[str, dict[object, list[int]]] = {}
    for number in tested:
        claim = table.claims[number]
        same = (SAME_KIND.get(claim.relation, claim.relation), frozenset(directed_pairs(claim)), claim.margin)
        families.setdefault(claim.metric, {}).setdefault(same, []).append(number)
    found: dict[int, float] = {}
    for distinct in families.values():
        p_values = holm([tested[numbers[0]].p for numbers in distinct.values()])
        for numbers, p in zip(distinct.values(), p_values, strict=True):
            found |= dict.fromkeys(numbers, p)
    return found


def _decided(found: Judgement, tested: _Tested, adjusted: float, table: Table, comparison: Comparison) -> Judgement:
    claim, contrast = found.claim, tested.decisive
    column = COLUMNS[claim.metric]
    parts = [tested.text] if claim.relation == "monotone" else [_difference(claim, contrast), tested.text]
    reason = "; ".join(part for part in parts if part)
    if adjusted < ALPHA:
        state: State = "supported" if tested.support <= tested.contradict else "contradicted"
        takes = ""
    else:
        state, takes = "not resolved", _forecast(claim, tested.for_it, found.printed, column)
        if tested.p < ALPHA:
            reason += f"; alone p = {tested.p:.2g}, with the table's other claims on it {adjusted:.2g}"
    sizes: tuple[SizeCheck, ...] = ()
    if measured_dataset(table) == table.dataset:
        values = {x: comparison.values(x, column.key) for x in claim.labels}
        sizes = check_sizes(claim, {label: sum(v.values()) / len(v) for label, v in values.items()})
    return replace(found, state=state, reason=reason, takes=takes, contrast=contrast, p_adjusted=adjusted, sizes=sizes)


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


def _judge_exact(claim: Claim, column: Column, table: Table, costs: Mapping[str, CountedCost]) -> Judgement:
    read: Callable[[str], float | None] = (
        (lambda label: costs[label].values.get(column.key) if label in costs else None)
        if column.source == "counted"
        else (lambda label: config_value(table.row(label), column))
    )
    if column.source == "config":
        quoted = {label: table.row(label).printed.get(column.key) for label in claim.labels if table.row(label).quoted}
        values = {x: v for x in claim.labels if (v := quoted[x] if x in quoted else read(x)) is not None}
    else:
        values = {label: value for label in claim.labels if (value := read(label)) is not None}
    absent = [label for label in claim.labels if label not in values]
    if absent:
        return Judgement(claim, "not measured yet", f"not counted: {_listed(absent)}", f"cost {table.id}")
    if column.source == "counted":
        doubts = [f"{flat(label)}: {doubt}" for label in claim.labels if (doubt := costs[label].doubt_of(column))]
        if doubts:
            takes = "counts without doubt: a rule for each operator, and counters that agree"
            return Judgement(claim, "not testable here", "; ".join(doubts), takes)
    differences = [values[larger] - values[smaller] for larger, smaller in directed_pairs(claim)]
    margin = margin_of(claim, list(values.values()))
    if claim.relation == "~":
        weakest = max(differences, key=abs)
        holds = abs(weakest) <= margin
    elif claim.relation == "monotone":
        weakest, holds = min(differences), min(differences) >= 0 and sum(differences) > 0
    else:
        weakest = min(differences)
        holds = weakest >= -(claim.margin or 0.0) if claim.relation in (">=", "<=") else weakest > 0
    word = "counted" if column.source == "counted" else "configured"
    shown = f"{word} difference {_exact_difference(claim, weakest, column)}".rstrip()
    return Judgement(claim, "supported" if holds else "contradicted", shown, sizes=check_sizes(claim, values))


def _exact_difference(claim: Claim, difference: float, column: Column) -> str:
    """Two decimals in the column's unit; in a smaller unit where these are nothing, as in `+1.05M`."""
    if column.source == "counted" and difference and round(difference, 2) == 0:
        return f"{'+' if towards(claim, difference) > 0 else ''}{shown_value(towards(claim, difference), column, 2)}"
    return f"{_signed(claim, difference, 2)} {column.unit}"


def _judge_timed(claim: Claim, column: Column, table: Table, timings: RowTimings) -> Judgement:
    timed = {label: found for label in claim.labels if (found := timings.get(label, {}).get(column.key))}
    absent = [label for label in claim.labels if label not in timed]
    if absent:
        return Judgement(claim, "not measured yet", f"not timed: {_listed(absent)}", f"time {table.id}")
    if len({found.device for found in timed.values()}) > 1:
        reason = "the rows are timed on different devices"
        return Judgement(claim, "not measured yet", reason, f"time {table.id} --again, on one of them")
    pairs = [(timed[larger], timed[smaller]) for larger, smaller in directed_pairs(claim)]
    ranges = [(larger.p10 - smaller.p90, larger.p90 - smaller.p10) for larger, smaller in pairs]
    weakest = min(pairs, key=lambda pair: pair[0].value - pair[1].value)
    margin = margin_of(claim, [found.value for found in timed.values()])
    low = -margin if claim.relation in (">=", "<=", "~") else 0.0
    high = margin if claim.relation == "~" else float("inf")
    state: State = "not resolved"
    if all(low < start and end < high for start, end in ranges):
        state = "supported"
    elif any(end < low or start > high for start, end in ranges):
        state = "contradicted"
    difference = _signed(claim, weakest[0].value - weakest[1].value, column.decimals)
    reason = f"timed difference {difference} {column.unit} on {weakest[0].device.short}"
    if state == "not resolved":
        reason += "; the passes' p10 to p90 overlap"
    if any(found.sample.crowded for found in timed.values()):
        reason += "; other programs were running"
    takes = "" if state != "not resolved" else "timings on a quieter or larger machine"
    values = {label: found.value for label, found in timed.items()}
    return Judgement(claim, state, reason, takes, sizes=check_sizes(claim, values))


def towards(claim: Claim, difference: float) -> float:
    """The difference as lhs - rhs (for `monotone`, later minus earlier), from larger - smaller."""
    flips = claim.relation in ("<", "<=") or (
        claim.relation in ("best", "monotone") and COLUMNS[claim.metric].better == "lower"
    )
    return (-difference if flips else difference) + 0.0


def _signed(claim: Claim, difference: float, digits: int) -> str:
    return f"{towards(claim, difference):+.{digits}f}"


def _difference(claim: Claim, contrast: Contrast) -> str:
    """The decisive difference with its interval and seeds, as in `+1.2 (A - B), 95% CI [+0.3, +2.1], 3 seeds each`."""
    forward = towards(claim, 1.0) > 0
    ends = (contrast.lhs, contrast.rhs) if forward else (contrast.rhs, contrast.lhs)
    pair = f" ({flat(ends[0])} - {flat(ends[1])})" if len(claim.labels) > 2 else ""
    digits = COLUMNS[contrast.column].decimals
    text = f"{_signed(claim, contrast.difference, digits)}{pair}"
    if contrast.estimate is not None:
        low, high = sorted(towards(claim, end) for end in (contrast.estimate.low, contrast.estimate.high))
        text += f", 95% CI [{low:+.{digits}f}, {high:+.{digits}f}]"
    counts = contrast.runs if forward else contrast.runs[::-1]
    if counts[0] == counts[1]:
        return f"{text}, {counts[0]} seed{'s' if counts[0] > 1 else ''} a row"
    return f"{text}, {counts[0]} and {counts[1]} seeds"


def _unit(column: Column) -> str:
    return "points" if column.unit == "%" else column.unit or "units"


def _listed(labels: Sequence[str]) -> str:
    return "; ".join(flat(label) for label in labels)
