"""Statistics for few seeds and many clips. Pure functions of numbers; everything is in the unit that it is given.

A seed SD always has ddof 1. Intervals over seeds are t-intervals: a percentile bootstrap over three seeds covers 75 %,
not 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
BOOTSTRAP_SAMPLES = 10_000
# Below five seeds the ratio of two SDs is too noisy to tell unequal variances from chance (3 v 3: above 4 in 12 % of
# pairs).
SEEDS_TO_DOUBT_POOLING = 5
LARGEST_SD_RATIO = 4.0


@dataclass(frozen=True)
class Interval:
    """A point estimate, its standard error and confidence limits."""

    mean: float
    se: float
    df: float
    low: float
    high: float


@dataclass(frozen=True)
class PooledSd:
    """The SD of training, common to the rows of a table, with its degrees of freedom."""

    sd: float
    df: int


def t_quantile(df: float, confidence: float = CONFIDENCE) -> float:
    """The two-sided critical value of Student's t."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri((1 + confidence) / 2) if math.isinf(df) else stdtrit(df, (1 + confidence) / 2))


def t_p_value(t: float, df: float) -> float:
    """Two-sided p of Student's t."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE, pooled: PooledSd | None = None) -> Interval:
    """The t-interval of a mean over seeds, with its own SD or the one pooled over the table.

    Raises:
        ValueError: fewer than two values without a pooled SD, or none at all.
    """
    n = len(values)
    if n == 0 or (n == 1 and pooled is None):
        raise ValueError(f"an interval needs two values, or one and a pooled SD; got {n}")
    sd, df = (pooled.sd, pooled.df) if pooled else (float(np.std(values, ddof=1)), n - 1)
    return interval(float(np.mean(values)), sd / math.sqrt(n), df, confidence)


def interval(mean: float, se: float, df: float, confidence: float = CONFIDENCE) -> Interval:
    """The interval mean ± t(df) se."""
    half = t_quantile(df, confidence) * se
    return Interval(mean, se, df, mean - half, mean + half)


def pool_sd(rows: Sequence[Sequence[float]]) -> PooledSd | None:
    """SD over seeds pooled over rows, each around its own mean: df = sum(n - 1). None without a row of two seeds."""
    several = [np.asarray(row, dtype=float) for row in rows if len(row) > 1]
    df = sum(len(row) - 1 for row in several)
    if not df:
        return None
    return PooledSd(math.sqrt(sum(float(((row - row.mean()) ** 2).sum()) for row in several) / df), df)


def variances_are_alike(rows: Sequence[Sequence[float]]) -> bool:
    """Whether pooling is defensible: False when five or more seeds a row show SDs more than a factor of four apart."""
    sds = [float(np.std(row, ddof=1)) for row in rows if len(row) >= SEEDS_TO_DOUBT_POOLING]
    return not sds or max(sds) <= LARGEST_SD_RATIO * min(sds)


def seed_contrast(lhs: Sequence[float], rhs: Sequence[float], pooled: PooledSd | None = None) -> Interval:
    """Difference lhs - rhs over paired seeds, equally many of each. Standard error from the pooled SD, or else Welch's.

    The pairing decides which seeds enter, so that a half-finished row is compared like with like. The standard error
    takes the two runs of a pair as independent: that is exact without a common effect of the seed and too wide with
    one, whereas three paired differences on their own leave two degrees of freedom.

    Raises:
        ValueError: unequal or zero lengths, or one seed without a pooled SD.
    """
    n = len(lhs)
    if n == 0 or n != len(rhs):
        raise ValueError(f"paired seeds are needed, got {n} and {len(rhs)}")
    difference = float(np.mean(np.subtract(lhs, rhs)))
    if pooled:
        return interval(difference, pooled.sd * math.sqrt(2 / n), pooled.df)
    if n == 1:
        raise ValueError("one seed a row and no pooled SD: the variance of training is unknown")
    parts = np.array([np.var(lhs, ddof=1), np.var(rhs, ddof=1)]) / n
    return interval(difference, math.sqrt(parts.sum()), add_df(np.sqrt(parts), [n - 1, n - 1]))


def add_df(standard_errors: ArrayLike, dfs: ArrayLike) -> float:
    """Satterthwaite's degrees of freedom of a sum of independent errors; infinite when all of them are zero."""
    squares = np.asarray(standard_errors, dtype=float) ** 2
    below = float((squares**2 / np.asarray(dfs, dtype=float)).sum())
    return float(squares.sum() ** 2 / below) if below else math.inf


def mcnemar_p(lhs: NDArray[np.bool_], rhs: NDArray[np.bool_]) -> float:
    """McNemar's exact test on hits (clips,) or, over paired seeds, (seeds, clips).

    With several seeds a clip counts once: for the row that hits it with more of its seeds. Adding up the discordant
    clips of every seed instead would take the same clip for several independent ones.

    Raises:
        ValueError: the shapes differ.
    """
    from scipy.special import bdtr

    if np.shape(lhs) != np.shape(rhs):
        raise ValueError(f"hits must be of the same clips and seeds, got {np.shape(lhs)} and {np.shape(rhs)}")
    balance = _balance(lhs, rhs)
    wins, losses = int((balance > 0).sum()), int((balance < 0).sum())
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5))) if wins + losses else 1.0


def clip_bootstrap(
    lhs: NDArray[np.bool_],
    rhs: NDArray[np.bool_],
    strata: NDArray[np.integer] | None = None,
    samples: int = BOOTSTRAP_SAMPLES,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Paired bootstrap over clips of the difference in accuracy, in percent: (samples,) resampled differences.

    A clip is drawn with all its seeds and both rows. Only how often each of the few possible outcomes of a clip is
    drawn matters, so one multinomial draw replaces drawing clips. With `strata` (a class per clip) clips are drawn
    within each, and the result is the difference of mean class accuracy.

    Args:
        lhs: (clips,) or (seeds, clips) hits.
        rhs: the same of the other row.
        strata: (clips,).
        samples: how many to draw.
        seed: of the generator.
    """
    balance, seeds = _balance(lhs, rhs), np.atleast_2d(lhs).shape[0]
    rng = np.random.default_rng(seed)
    groups = [balance] if strata is None else [balance[strata == value] for value in np.unique(strata)]
    total = np.zeros(samples)
    for group in groups:
        outcomes, counts = np.unique(group, return_counts=True)
        total += rng.multinomial(group.size, counts / group.size, size=samples) @ outcomes / group.size
    return 100 * total / (seeds * len(groups))


def permutation_p(lhs: Sequence[float], rhs: Sequence[float]) -> tuple[float, float]:
    """Exact two-sample permutation test of equal means: the two-sided p, and the smallest that these sizes can give.

    Raises:
        ValueError: an empty sample, or more than 10 v 10 seeds (use the t-interval).
    """
    n, m = len(lhs), len(rhs)
    splits = math.comb(n + m, n)
    if not n or not m or splits > math.comb(20, 10):
        raise ValueError(f"an exact permutation test needs 1 to 10 values a row, got {n} and {m}")
    together = np.array([*lhs, *rhs], dtype=float)
    chosen = np.array(list(combinations(range(n + m), n)))
    sums = together[chosen].sum(axis=1)
    differences = np.abs(sums / n - (together.sum() - sums) / m)
    # Equal differences may differ in their last bits, depending on the order of summation.
    p = float((differences >= differences[0] - 1e-9 * (1 + abs(together).max())).mean())
    return p, (2 if n == m else 1) / splits


def binomial_se(percent: float, clips: int) -> float:
    """Standard error, in points, of an accuracy in percent that was measured on so many clips."""
    share = min(max(percent / 100, 0.0), 1.0)
    return 100 * math.sqrt(share * (1 - share) / clips)


def power(difference: float, seeds: int, sd: float, clip_se: float = 0.0, df: float | None = None) -> float:
    """Probability that a two-sided 5 % t-test of two rows with so many seeds each resolves the difference.

    clip_se: the part of the error that more seeds do not lessen. df: 2 (seeds - 1) unless given (a pooled SD has more).
    """
    from scipy.special import nctdtr

    se = math.hypot(sd * math.sqrt(2 / seeds), clip_se)
    if se == 0:
        return float(difference != 0)
    degrees = df or 2 * (seeds - 1)
    critical, shift = t_quantile(degrees), abs(difference) / se
    # scipy's far tails, where the probability is negligible, are NaN for some arguments.
    short, opposite = np.nan_to_num([nctdtr(degrees, shift, critical), nctdtr(degrees, shift, -critical)], nan=0.0)
    return float(1 - short + opposite)


def seeds_needed(
    difference: float, sd: float, clip_se: float = 0.0, target: float = 0.8, most: int = 1000
) -> int | None:
    """The fewest seeds per row that resolve the difference with this power; None where `most` do not.

    With a clip part, none do when the validation set is too small for the difference, however often one trains.
    """
    if power(difference, most, sd, clip_se) < target:
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, middle, sd, clip_se) >= target else (middle, high)
    return high


def detectable_difference(seeds: int, df: float | None = None, target: float = 0.8) -> float:
    """The smallest difference, in seed SDs, that so many seeds per row resolve with this power."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, seeds, 1.0, df=df) >= target else (middle, high)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _balance(lhs: NDArray[np.bool_], rhs: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(clips,): seeds of lhs that hit the clip minus seeds of rhs that do."""
    difference = np.atleast_2d(lhs).astype(np.int64) - np.atleast_2d(rhs).astype(np.int64)
    return np.asarray(difference.sum(axis=0))
