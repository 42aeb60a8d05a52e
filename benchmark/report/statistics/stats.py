"""Statistics for few seeds and many clips. Pure functions of numbers; everything is in the unit that it is given.

The model (docs/statistics.md): a row's runs hit clips, y[run, clip]. What varies is the run (seed), the clip (each row
finds others difficult) and their interaction. Runs and clips are crossed: the variance of a mean over both is

    V = V_seed + max(0, V_clip - V_run_x_clip),

since the interaction is contained once in the SD between seeds and once more in the variance between clips. A seed's SD
always has ddof 1, and is that of the row itself: pooled over rows of unlike SD, a noisy row looks certain. The two
parts know their errors with very different certainty (a few degrees of freedom, and hundreds), so each has its own
critical value, and the half widths add in quadrature: a common t with Satterthwaite's degrees of freedom covers 91 %
where one of two rows with three seeds is noisy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1000
SMALLEST_P = 1e-12
"""Smaller one-sided p-values are this one."""
UNSTABLE_ALPHA = 0.01
"""Level of the test by which a row's SD between seeds exceeds its family's."""
DRAWS = 50_000
"""Draws of the smallest of several p-values."""


@dataclass(frozen=True)
class Spread:
    """A variance between runs, in squared units, and its degrees of freedom.

    `family` names what it was pooled over; rows that share it share its error.
    """

    variance: float
    df: float
    family: str = ""

    @property
    def sd(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.variance)


@dataclass(frozen=True)
class Estimate:
    """A linear combination of row means, with its error.

    Attributes:
        value: The combination.
        v_seed: What training contributes to its variance.
        df: Degrees of freedom of that.
        v_clip: What the draw of clips contributes beyond it: V_clip - V_run_x_clip, or zero.
    """

    value: float
    v_seed: float
    df: float
    v_clip: float = 0.0

    @property
    def se(self) -> float:
        """The standard error."""
        return math.sqrt(self.v_seed + self.v_clip)

    def half_width(self, confidence: float = CONFIDENCE) -> float:
        """Of the two-sided interval."""
        of_seeds = t_quantile(self.df, confidence) ** 2 * self.v_seed if self.v_seed else 0.0
        return math.sqrt(of_seeds + t_quantile(math.inf, confidence) ** 2 * self.v_clip)

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.value - self.half_width()

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.value + self.half_width()

    @property
    def common_df(self) -> float:
        """Degrees of freedom with which a single t gives the same 95 % interval."""
        from scipy.optimize import brentq

        wanted = self.half_width() / self.se if self.se else 0.0
        if wanted <= t_quantile(1e6):
            return math.inf
        return float(brentq(lambda df: t_quantile(df) - wanted, 0.5, 1e6))

    def p_above(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true value does not exceed `bound`: where the interval reaches it."""
        from scipy.optimize import brentq

        distance = abs(self.value - bound)
        if self.se == 0 or distance == 0:
            tail = 0.5 if distance == 0 else 0.0
        elif self.half_width(1 - 2 * SMALLEST_P) <= distance:
            tail = SMALLEST_P
        else:
            reach = lambda log_p: self.half_width(1 - 2 * math.exp(log_p)) - distance  # noqa: E731
            tail = math.exp(float(brentq(reach, math.log(SMALLEST_P), math.log(0.5))))
        return tail if self.value > bound else 1 - tail

    def p_below(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true value is not below `bound`."""
        return Estimate(-self.value, self.v_seed, self.df, self.v_clip).p_above(-bound)


@dataclass(frozen=True)
class RowSample:
    """A row's finished runs.

    Attributes:
        values: The metric of each run.
        hits: (runs, clips), of the same clips in every row; None where a metric has none (a projection loss).
        spread: Variance between runs: the row's own, or its family's where it has one run.
        run_clip: Variance of the interaction of run and clip for a single run and clip, in squared units.
    """

    values: tuple[float, ...]
    hits: NDArray[np.floating] | None
    spread: Spread
    run_clip: float = 0.0


def t_quantile(df: float, confidence: float = CONFIDENCE) -> float:
    """The two-sided critical value of Student's t."""
    if math.isinf(df):
        return NormalDist().inv_cdf((1 + confidence) / 2)
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + confidence) / 2))


def own_spread(values: Sequence[float]) -> Spread | None:
    """The variance between a row's runs; None for fewer than two."""
    return Spread(float(np.var(values, ddof=1)), len(values) - 1) if len(values) > 1 else None


def pooled_spread(rows: Sequence[Sequence[float]]) -> Spread | None:
    """The variance between runs pooled over rows, each around its own mean; None without a row of two runs."""
    several = [spread for row in rows if (spread := own_spread(row)) is not None]
    df = sum(spread.df for spread in several)
    return Spread(sum(spread.variance * spread.df for spread in several) / df, df) if df else None


def exceeds_p(own: Spread, family: Spread) -> float:
    """One-sided p of the F test that a row's variance between runs is no larger than its family's."""
    from scipy.special import fdtrc

    if family.variance == 0:
        return float(own.variance == 0)
    return float(fdtrc(own.df, family.df, own.variance / family.variance))


def interaction(hits: NDArray[np.floating], strata: NDArray[np.integer] | None = None) -> float | None:
    """Variance of the interaction of run and clip, unbiased: the residual mean square of a two-way table.

    Args:
        hits: (runs, clips), in the unit of the metric (0 and 100 for percent).
        strata: (clips,) classes, if the metric is a mean over classes: then weighted as in `clip_variance`.

    Returns:
        None for fewer than two runs or clips.
    """
    runs, clips = hits.shape
    if runs < 2 or clips < 2:
        return None
    residual = hits - hits.mean(axis=0, keepdims=True)
    # A class has a run effect of its own, which is part of the interaction as far as it differs from the run's.
    residual = residual - residual.mean(axis=1, keepdims=True)
    squares = (residual**2).sum(axis=0) / (runs - 1)
    if strata is None:
        return float(squares.sum()) / (clips - 1)
    groups = [squares[strata == value] for value in np.unique(strata)]
    weights = [clips / (len(groups) ** 2 * len(group)) for group in groups]
    return sum(w * float(group.mean()) for w, group in zip(weights, groups, strict=True)) * clips / (clips - 1)


def clip_variance(per_clip: NDArray[np.floating], strata: NDArray[np.integer] | None = None) -> float:
    """Variance of a mean over clips due to their draw, or, with strata, of the mean of the classes' means.

    Args:
        per_clip: (clips,) value of each clip.
        strata: (clips,) class of each clip. A class of one clip has the variance of all.
    """
    clips = len(per_clip)
    if strata is None:
        return float(np.var(per_clip, ddof=1)) / clips
    whole = float(np.var(per_clip, ddof=1))
    groups = [per_clip[strata == value] for value in np.unique(strata)]
    each = [(float(np.var(group, ddof=1)) if len(group) > 1 else whole) / len(group) for group in groups]
    return sum(each) / len(groups) ** 2


def combine(rows: Sequence[RowSample], weights: Sequence[float], strata: NDArray[np.integer] | None = None) -> Estimate:
    """The estimate of sum(weight * mean of the row's runs), its two sources of error crossed.

    Rows may have different numbers of runs. Runs of different rows count as independent: that is exact without a common
    effect of the seed, and on the wide side with one.

    Args:
        rows: with hits of the same clips, or all without.
        weights: one a row: (1, -1) for a difference.
        strata: (clips,) classes, if the metric is the mean over classes.
    """
    value = sum(w * float(np.mean(row.values)) for w, row in zip(weights, rows, strict=True))
    parts: dict[object, tuple[float, float]] = {}
    for i, (w, row) in enumerate(zip(weights, rows, strict=True)):
        name = row.spread.family or i
        part = w**2 * row.spread.variance / len(row.values)
        parts[name] = (parts[name][0] + part if name in parts else part, row.spread.df)
    variances, dfs = zip(*parts.values(), strict=True)
    v_clip = 0.0
    held = [row.hits for row in rows if row.hits is not None]
    if len(held) == len(rows):
        clips = held[0].shape[1]
        per_clip = np.sum([w * hits.mean(axis=0) for w, hits in zip(weights, held, strict=True)], axis=0)
        twice = sum(w**2 * row.run_clip / (len(row.values) * clips) for w, row in zip(weights, rows, strict=True))
        v_clip = max(0.0, clip_variance(per_clip, strata) - twice)
    return Estimate(value, sum(variances), _satterthwaite(variances, dfs), v_clip)


def trend_weights(rows: int) -> list[float]:
    """Weights of the least-squares slope over rows at equal steps: the mean rise from one row to the next."""
    centred = np.arange(rows) - (rows - 1) / 2
    return [float(weight) for weight in centred / (centred**2).sum()]


def joint_p(
    statistics: Sequence[float], correlation: ArrayLike, dfs: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Dunnett's comparison of several rows with one: adjusted two-sided p-values, and a critical value each.

    The joint distribution of the t-statistics is drawn, with a fixed seed, so that unequal variances, numbers of runs
    and degrees of freedom are no obstacle: what is adjusted for is the smallest of their p-values, each by its own
    degrees of freedom, so that one row of which little is known does not widen the intervals of the others.

    Args:
        statistics: t of each contrast.
        correlation: (contrasts, contrasts) of the estimates.
        dfs: degrees of freedom of each.
    """
    rng = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.asarray(correlation, dtype=float)))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = np.abs(rng.standard_normal((DRAWS, len(root))) @ root.T)
    scales = [np.ones(DRAWS) if math.isinf(df) else np.sqrt(rng.chisquare(df, DRAWS) / df) for df in dfs]
    drawn = np.stack([_tails(normal[:, i] / scale, df) for i, (scale, df) in enumerate(zip(scales, dfs, strict=True))])
    smallest = drawn.min(axis=0)
    level = float(np.quantile(smallest, ALPHA))
    alone = [float(_tails(np.array([abs(t)]), df)[0]) for t, df in zip(statistics, dfs, strict=True)]
    return [float((smallest <= p).mean()) for p in alone], [t_quantile(df, 1 - level) for df in dfs]


def _tails(t: NDArray[np.floating], df: float) -> NDArray[np.floating]:
    """Two-sided p of many |t|."""
    from scipy.special import ndtr, stdtr

    return np.asarray(2 * (ndtr(-t) if math.isinf(df) else stdtr(df, -t)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def binomial_se(percent: float, clips: int) -> float:
    """Standard error, in points, of an accuracy in percent that was measured on so many clips."""
    share = min(max(percent / 100, 0.0), 1.0)
    return 100 * math.sqrt(share * (1 - share) / clips)


def power(effect: float, seeds: int, v_run: float, v_clip: float) -> float:
    """Probability that the interval of a difference of two rows with so many seeds each excludes zero (or a bound).

    Args:
        effect: the true difference, or its distance from the bound.
        seeds: of each row, two or more.
        v_run: sum of the two rows' variances between runs.
        v_clip: what more seeds do not lessen.
    """
    from scipy.special import nctdtr

    expected = Estimate(abs(effect), v_run / seeds, 2 * (seeds - 1), v_clip)
    if expected.se == 0:
        return float(effect != 0)
    df = min(expected.common_df, 1e6)
    # scipy's far tails, where the probability is negligible, are NaN for some arguments.
    short = np.nan_to_num(nctdtr(df, expected.value / expected.se, expected.half_width() / expected.se), nan=0.0)
    return 1.0 - float(short)


def seeds_needed(effect: float, v_run: float, v_clip: float, most: int = MOST_SEEDS) -> int | None:
    """The fewest seeds a row that resolve a true difference with 80 % power; None where `most` do not.

    None do, however many, where the clips' part alone is too large for the difference.
    """
    if not effect or power(effect, most, v_run, v_clip) < POWER:
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, v_run, v_clip) >= POWER else (middle, high)
    return high


def spread_range(spread: Spread, confidence: float = 0.8) -> tuple[float, float]:
    """The interval of a variance between runs, from its degrees of freedom (chi-squared)."""
    from scipy.special import chdtri

    if math.isinf(spread.df):
        return spread.variance, spread.variance
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = (spread.variance * spread.df / float(chdtri(spread.df, tail)) for tail in tails)
    return low, high


def _satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variance estimates; infinite where all of them are zero."""
    below = sum(v**2 / df for v, df in zip(variances, dfs, strict=True) if v)
    return sum(variances) ** 2 / below if below else math.inf
