"""Verdicts on the claims that a paper draws from a table: from our runs, and from the printed numbers alone.

A measured claim is decided by the 95 % confidence interval of each contrast, which covers training (seeds) and test
set (clips):

* `>`, `<`, `best` and `monotone` are conjunctions. Supported: every interval lies on the claimed side, so the weakest
  contrast decides and no correction is needed (an intersection-union test). For `monotone` these are the adjacent
  contrasts.
* Contradicted: one contrast lies wholly on the other side. Any of several would do, so Holm's adjusted p must be below
  0.05.
* `>=` and `<=` claim "no worse". Supported: every interval ends above -0.5 points (MARGIN), that is, a loss of more
  than that is excluded. Contradicted: otherwise, where a loss is shown as above.
* Not resolved: neither. With one seed per row no interval exists; the difference and the clips' own p are still given.

A timed claim is judged between our own rows on one device, never against a print. Supported: every larger row's tenth
percentile lies above the smaller one's ninetieth. Contradicted: one pair lies as far the other way. Else not resolved.

Counted and config columns are exact, and so are their verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

from benchmark.cost.latency import RowTimings, Timed
from benchmark.report.cells import NO_TIMINGS, CountedCost, config_value
from benchmark.report.compare import Comparison, Contrast
from benchmark.report.layout import dataset_title, flat
from benchmark.report.stats import binomial_se, holm, seeds_needed, t_quantile
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.datasets import DATASETS
from benchmark.spec.table import Table

Verdict = Literal["supported", "contradicted", "not resolved"]
MARGIN = 0.5
ALPHA = 0.05
MOST_SEEDS = 100


@dataclass(frozen=True)
class PrintedCheck:
    """What the printed numbers alone say: the `difference` of the weakest pair, and its sampling `error`.

    The error is the half width of the difference's 95 % interval, from the binomial SE of each accuracy: unpaired,
    since a paper prints no predictions. It is None for exact columns and data sets of unknown size.
    """

    difference: float
    agrees: bool
    error: float | None = None
    exceeds: bool | None = None


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict and reason. `contrast` decided it; so many `seeds` would resolve it (80 % power)."""

    claim: Claim
    verdict: Verdict
    reason: str
    contrast: Contrast | None = None
    seeds: int | None = None
    printed: PrintedCheck | None = None


def judge(
    claim: Claim,
    table: Table,
    comparison: Comparison,
    costs: Mapping[str, CountedCost],
    timings: RowTimings = NO_TIMINGS,
) -> Judgement:
    """The verdict on one claim at whatever stage the runs are."""
    column = COLUMNS[claim.metric]
    printed = check_printed(claim, table)
    if claim.relation == "~":
        return Judgement(claim, "not resolved", "equivalence is not judged yet", printed=printed)
    unknown = sorted(set(_labels(claim)) - {row.label for row in (*table.rows, *table.elsewhere)})
    if unknown:
        return Judgement(claim, "not resolved", f"not in this table: {_listed(unknown)}", printed=printed)
    if column.dataset:
        reason = f"printed only: no run is on {dataset_title(column.dataset)}"
        return Judgement(claim, "not resolved", reason, printed=printed)
    if column.source in ("counted", "config"):
        return _judge_exact(claim, column, table, costs, printed)
    quoted = [label for label in _labels(claim) if table.row(label).quoted]
    if quoted:
        return Judgement(claim, "not resolved", f"quoted, not measured: {_listed(quoted)}", printed=printed)
    if column.source == "timed":
        return _judge_timed(claim, column, timings, printed)
    missing = [label for label in _labels(claim) if not comparison.values(label, column.key)]
    if missing:
        return Judgement(claim, "not resolved", f"not measured yet: {_listed(missing)}", printed=printed)
    contrasts = [comparison.contrast(better, worse, column.key) for better, worse in directed_pairs(claim)]
    known = [contrast for contrast in contrasts if contrast is not None]
    if len(known) < len(contrasts):
        return Judgement(claim, "not resolved", "the rows have finished no seed in common", printed=printed)
    return _judge_measured(claim, known, printed)


def check_printed(claim: Claim, table: Table) -> PrintedCheck | None:
    """Whether the printed numbers agree with the claim, and by more than chance; None where one is missing."""
    column = COLUMNS[claim.metric]
    rows = (*table.rows, *table.elsewhere)
    printed = {row.label: row.printed[column.key] for row in rows if column.key in row.printed}
    pairs = directed_pairs(claim)
    if claim.relation == "~":
        return None
    if any(label not in printed for pair in pairs for label in pair):
        return None
    better, worse = min(pairs, key=lambda pair: printed[pair[0]] - printed[pair[1]])
    # One decimal less one decimal leaves binary dust, which would turn a tie into a difference.
    difference = round(printed[better] - printed[worse], 9)
    agrees = difference >= 0 if claim.relation in (">=", "<=") else difference > 0
    dataset = column.dataset or _printed_on(table, better)
    if column.unit != "%" or dataset not in DATASETS:
        return PrintedCheck(difference, agrees)
    clips = DATASETS[dataset].val_clips
    se = math.hypot(binomial_se(printed[better], clips), binomial_se(printed[worse], clips))
    error = t_quantile(math.inf) * se
    return PrintedCheck(difference, agrees, error, abs(difference) > error)


def _printed_on(table: Table, label: str) -> str:
    """The data set of a row's printed values: its own at paper scale where it has a config."""
    config = table.row(label).paper_config
    return config.data.dataset if config is not None else table.dataset


def directed_pairs(claim: Claim) -> list[tuple[str, str]]:
    """The pairs (larger, smaller) that the claim asserts; `best`, `monotone` follow the column's better direction."""
    up = claim.relation in (">", ">=") or (
        claim.relation in ("best", "monotone") and COLUMNS[claim.metric].better != "lower"
    )
    if claim.relation == "monotone":
        # Each improves on the one before, so the later row takes lhs's place in the pair.
        up = not up
    return [pair if up else (pair[1], pair[0]) for pair in _pairs(claim)]


def _pairs(claim: Claim) -> list[tuple[str, str]]:
    if claim.relation == "monotone":
        return list(pairwise(_labels(claim)))
    return list(product(claim.lhs, claim.rhs))


def _listed(labels: Sequence[str]) -> str:
    return "; ".join(flat(label) for label in labels)


def _labels(claim: Claim) -> tuple[str, ...]:
    return claim.labels


def _judge_exact(
    claim: Claim, column: Column, table: Table, costs: Mapping[str, CountedCost], printed: PrintedCheck | None
) -> Judgement:
    read: Callable[[str], float | None] = (
        (lambda label: costs[label].values.get(column.key) if label in costs else None)
        if column.source == "counted"
        else (lambda label: config_value(table.row(label), column))
    )
    values = {label: value for label in _labels(claim) if (value := read(label)) is not None}
    absent = [label for label in _labels(claim) if label not in values]
    if absent:
        return Judgement(claim, "not resolved", f"not counted: {_listed(absent)}", printed=printed)
    differences = [values[larger] - values[smaller] for larger, smaller in directed_pairs(claim)]
    weakest = min(differences)
    holds = weakest >= 0 if claim.relation in (">=", "<=") else weakest > 0
    shown = f"counted difference {towards(claim, weakest):+.2f} {column.unit}".rstrip()
    return Judgement(claim, "supported" if holds else "contradicted", shown, printed=printed)


def _judge_timed(claim: Claim, column: Column, timings: RowTimings, printed: PrintedCheck | None) -> Judgement:
    timed = {label: found for label in _labels(claim) if (found := timings.get(label, {}).get(column.key))}
    absent = [label for label in _labels(claim) if label not in timed]
    if absent:
        return Judgement(claim, "not resolved", f"not timed yet: {_listed(absent)}", printed=printed)
    if len({found.device for found in timed.values()}) > 1:
        return Judgement(claim, "not resolved", "the rows are timed on different devices", printed=printed)
    pairs = [(timed[larger], timed[smaller]) for larger, smaller in directed_pairs(claim)]
    weakest = min(pairs, key=lambda pair: pair[0].value - pair[1].value)
    verdict: Verdict = "not resolved"
    if all(_apart(larger, smaller) for larger, smaller in pairs):
        verdict = "supported"
    elif any(_apart(smaller, larger) for larger, smaller in pairs):
        verdict = "contradicted"
    difference = towards(claim, weakest[0].value - weakest[1].value)
    reason = f"timed difference {difference:+.{column.decimals}f} {column.unit} on {weakest[0].device.short}"
    if verdict == "not resolved":
        reason += "; the passes' p10 to p90 overlap"
    if any(found.sample.crowded for found in timed.values()):
        reason += "; other programs were running"
    return Judgement(claim, verdict, reason, printed=printed)


def _apart(larger: Timed, smaller: Timed) -> bool:
    """Whether the bulk of one's passes lies above that of the other's."""
    return larger.p10 > smaller.p90


def _judge_measured(claim: Claim, contrasts: list[Contrast], printed: PrintedCheck | None) -> Judgement:
    weakest = min(contrasts, key=lambda c: c.difference)
    still_open = next((c for c in contrasts if c.low is None), None)
    if still_open is not None:
        reason = f"{still_open.why_open}; {_difference(claim, still_open if len(contrasts) == 1 else weakest)}"
        return Judgement(claim, "not resolved", reason, weakest, printed=printed)
    lows = [c.low for c in contrasts if c.low is not None]
    bound = -MARGIN if claim.relation in (">=", "<=") else 0.0
    if min(lows) > bound:
        decisive = contrasts[lows.index(min(lows))]
        margin = f"a loss of more than {MARGIN} points is excluded; " if bound else ""
        return Judgement(claim, "supported", margin + _difference(claim, decisive), decisive, printed=printed)
    p_values = holm([c.p if c.p is not None else 1.0 for c in contrasts])
    losses = [(p, c) for p, c in zip(p_values, contrasts, strict=True) if c.difference < 0 and p < ALPHA]
    if losses:
        worst = min(losses, key=lambda loss: loss[1].difference)[1]
        return Judgement(claim, "contradicted", _difference(claim, worst), worst, printed=printed)
    seeds = _seeds_to_resolve(claim, weakest)
    return Judgement(
        claim, "not resolved", f"{_difference(claim, weakest)}; {_outlook(weakest, seeds)}", weakest, seeds, printed
    )


def _seeds_to_resolve(claim: Claim, contrast: Contrast) -> int | None:
    """Seeds per row for 80 % power, if the true difference is the one seen (to the margin for `no worse`)."""
    if contrast.sd is None or contrast.se_clip is None:
        return None
    shift = MARGIN if claim.relation in (">=", "<=") and contrast.difference > -MARGIN else 0.0
    return seeds_needed(contrast.difference + shift, contrast.sd, contrast.se_clip, most=MOST_SEEDS)


def _outlook(contrast: Contrast, seeds: int | None) -> str:
    if seeds is not None and seeds > len(contrast.seeds):
        return f"about {seeds} seeds per row would resolve it"
    if seeds is not None:
        return "more seeds are likely to resolve it"
    if contrast.se_clip and seeds_needed(contrast.difference, 0.0, contrast.se_clip, most=MOST_SEEDS) is None:
        return "no number of seeds resolves it on this validation set"
    return f"more than {MOST_SEEDS} seeds per row would be needed"


def towards(claim: Claim, difference: float) -> float:
    """The difference as lhs - rhs (for `monotone`, later minus earlier), from larger - smaller."""
    flips = claim.relation in ("<", "<=") or (
        claim.relation in ("best", "monotone") and COLUMNS[claim.metric].better == "lower"
    )
    return (-difference if flips else difference) + 0.0


def _difference(claim: Claim, contrast: Contrast) -> str:
    several = len(_pairs(claim)) > 1
    pair = f" ({flat(contrast.lhs)} - {flat(contrast.rhs)})" if several and towards(claim, 1.0) > 0 else ""
    if several and not pair:
        pair = f" ({flat(contrast.rhs)} - {flat(contrast.lhs)})"
    digits = COLUMNS[contrast.column].decimals
    text = f"{towards(claim, contrast.difference):+.{digits}f}{pair}"
    if contrast.low is not None and contrast.high is not None:
        ends = sorted((towards(claim, contrast.low), towards(claim, contrast.high)))
        text += f", 95% CI [{ends[0]:+.{digits}f}, {ends[1]:+.{digits}f}]"
    else:
        # Why there is no interval has been said, and with it how many seeds there are.
        return text if contrast.p_mcnemar is None else f"{text}, p = {contrast.p_mcnemar:.2g} over clips"
    count = len(contrast.seeds)
    return f"{text}, {count} seed{'s' if count > 1 else ''}"
