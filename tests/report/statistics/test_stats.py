"""The estimator's parts against textbook results, and its coverage against known truth."""

import math

import numpy as np
import pytest
import scipy.stats

from benchmark.report.statistics import stats
from benchmark.report.statistics.stats import Estimate, RowSample, Spread


def _row(hits: np.ndarray) -> RowSample:
    """A row of (runs, clips) hits of 0 and 100."""
    values = tuple(hits.mean(axis=1).tolist())
    own = stats.own_spread(values)
    assert own is not None
    return RowSample(values, hits, own, stats.interaction(hits) or 0.0)


def test_without_clips_a_difference_is_welch_s_t_test() -> None:
    a, b = [51.2, 51.9, 51.4], [50.1, 52.0, 49.0, 50.5]
    spreads = [stats.own_spread(values) for values in (a, b)]
    assert spreads[0] is not None
    assert spreads[1] is not None
    found = stats.combine([RowSample(tuple(a), None, spreads[0]), RowSample(tuple(b), None, spreads[1])], (1, -1))
    expected = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert found.df == pytest.approx(expected.df)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.95))
    assert 2 * found.p_above(0.0) == pytest.approx(expected.pvalue)
    assert found.p_above(0.0) + found.p_below(0.0) == pytest.approx(1.0)


def test_the_interval_and_p_agree_at_any_bound() -> None:
    found = Estimate(1.3, 0.4, 2.7, 0.3)
    for bound in (found.low, found.high):
        assert min(found.p_above(bound), found.p_below(bound)) == pytest.approx(0.025, abs=1e-9)
    assert found.p_above(1.3) == 0.5
    assert Estimate(1.0, 0.0, math.inf).p_above(0.0) == 0.0
    assert Estimate(0.0, 0.0, math.inf).p_above(0.0) == 0.5
    assert Estimate(1.0, 1e-8, 2.0).p_above(0.0) < 1e-6


def test_half_widths_of_the_parts_add_in_quadrature() -> None:
    found = Estimate(0.0, 0.5, 3.0, 0.2)
    assert found.half_width() == pytest.approx(
        math.hypot(scipy.stats.t.ppf(0.975, 3) * 0.5**0.5, scipy.stats.norm.ppf(0.975) * 0.2**0.5)
    )
    assert scipy.stats.t.ppf(0.975, found.common_df) * found.se == pytest.approx(found.half_width())


def test_interaction_is_the_residual_mean_square_of_a_two_way_table() -> None:
    rng = np.random.default_rng(0)
    hits = 100.0 * (rng.random((4, 60)) < 0.6)
    residual = hits - hits.mean(0) - hits.mean(1, keepdims=True) + hits.mean()
    assert stats.interaction(hits) == pytest.approx((residual**2).sum() / (3 * 59))
    assert stats.interaction(hits[:1]) is None


def test_interaction_is_unbiased() -> None:
    """A known variance of run by clip, under effects of run and clip that are ten times as large."""
    rng = np.random.default_rng(1)
    found = [
        stats.interaction(10 * rng.normal(size=(3, 1)) + 10 * rng.normal(size=50) + rng.normal(size=(3, 50)))
        for _ in range(300)
    ]
    assert np.mean(np.array(found, dtype=float)) == pytest.approx(1.0, abs=0.02)


def test_interaction_of_a_mean_over_classes_weighs_a_small_class_s_clips_more() -> None:
    """10 clips of variance 1 and 40 of variance 9; over all clips it stands for that of the mean of both classes."""
    strata, rng = np.repeat([0, 1], (10, 40)), np.random.default_rng(2)
    scale = np.where(strata == 0, 1.0, 3.0)
    found = [stats.interaction(scale * rng.normal(size=(3, 50)), strata) for _ in range(600)]
    assert np.mean(np.array(found, dtype=float)) / 50 == pytest.approx((1 / 10 + 9 / 40) / 4, rel=0.05)


def test_variance_of_the_mean_over_classes() -> None:
    values, strata = np.array([0.0, 100, 100, 0, 100, 100, 100]), np.array([0, 0, 0, 1, 1, 1, 1])
    expected = (np.var(values[:3], ddof=1) / 3 + np.var(values[3:], ddof=1) / 4) / 4
    assert stats.clip_variance(values, strata) == pytest.approx(expected)
    assert stats.clip_variance(values) == pytest.approx(np.var(values, ddof=1) / 7)


def test_interaction_enters_once() -> None:
    """Rows whose runs differ by chance hits alone: the SD between seeds has it all, and the clips add nothing to it."""
    rng = np.random.default_rng(2)
    whole, seeds = [], []
    for _ in range(300):
        rows = [_row(100.0 * (rng.random((5, 400)) < 0.5)) for _ in range(2)]
        found = stats.combine(rows, (1, -1))
        whole.append(found.se**2)
        seeds.append(found.v_seed)
    truth = 2 * 100**2 * 0.25 / (5 * 400)
    assert np.mean(seeds) == pytest.approx(truth, rel=0.1)
    assert np.mean(whole) < 1.25 * truth  # max(0, .) keeps only what exceeds zero by chance


def test_rows_of_one_family_share_the_error_of_its_spread() -> None:
    spread = Spread(0.5, 6, "tsm")
    rows = [RowSample((60.0,), None, spread), RowSample((59.0,), None, spread)]
    found = stats.combine(rows, (1, -1))
    assert found.v_seed == pytest.approx(1.0)
    assert found.df == pytest.approx(6.0)
    apart = stats.combine([rows[0], RowSample((59.0,), None, Spread(0.5, 6, "bqn"))], (1, -1))
    assert apart.df == pytest.approx(12.0)


def test_pooled_spread_is_that_of_a_one_way_anova() -> None:
    found = stats.pooled_spread([[1.0, 2.0, 4.0], [10.0, 11.0], [5.0]])
    assert found is not None
    assert found.df == 3
    assert found.sd == pytest.approx(math.sqrt((14 / 3 + 0.5) / 3))
    assert stats.pooled_spread([[1.0], [2.0]]) is None


def test_a_row_exceeds_its_family_by_an_f_test() -> None:
    own, family = Spread(9.0, 2), Spread(1.0, 30)
    assert stats.exceeds_p(own, family) == pytest.approx(scipy.stats.f.sf(9.0, 2, 30))
    rng = np.random.default_rng(3)
    p_values = [stats.exceeds_p(Spread(rng.chisquare(2) / 2, 2), Spread(rng.chisquare(8) / 8, 8)) for _ in range(4000)]
    assert np.mean(np.array(p_values) < 0.01) == pytest.approx(0.01, abs=0.005)


def test_trend_weights_give_the_least_squares_slope() -> None:
    values = np.array([60.0, 60.4, 61.5, 61.6])
    slope = np.polyfit(np.arange(4), values, 1)[0]
    assert np.dot(stats.trend_weights(4), values) == pytest.approx(slope)
    assert stats.trend_weights(2) == [-1.0, 1.0]
    rows = [RowSample((value,) * 3, None, Spread(0.09, 2)) for value in values]
    assert stats.combine(rows, stats.trend_weights(4)).v_seed == pytest.approx(0.09 / 3 / 5)  # 5: sum of squares of x


def test_dunnett_as_scipy_has_it() -> None:
    """Equal variances and numbers: the correlation is one half, and the degrees of freedom those of all rows."""
    rng = np.random.default_rng(4)
    control, others = rng.normal(size=5), [rng.normal(size=5) + shift for shift in (0.0, 1.0, 2.0)]
    expected = scipy.stats.dunnett(*others, control=control, rng=np.random.default_rng(0))
    correlation = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    p_values, critical = stats.joint_p(expected.statistic.tolist(), correlation, [16] * 3)
    assert p_values == pytest.approx(expected.pvalue, abs=0.015)  # independent chi-squared: a little wide
    assert critical == pytest.approx([2.59] * 3, abs=0.06)  # Dunnett's table: k = 3, df = 16, two-sided 5 %
    alone, _ = stats.joint_p([2.0], [[1.0]], [10])
    assert alone[0] == pytest.approx(2 * scipy.stats.t.sf(2.0, 10), abs=0.004)


def test_a_row_of_which_little_is_known_widens_no_other_s_interval() -> None:
    correlation = [[1.0, 0.3], [0.3, 1.0]]
    _, (sure, unsure) = stats.joint_p([3.0, 1.0], correlation, [12, 1.2])
    _, (beside_sure, _) = stats.joint_p([3.0, 1.0], correlation, [12, 12])
    assert sure == pytest.approx(beside_sure, rel=0.05)
    assert unsure > 5 * sure


def test_power_and_seeds_are_those_of_a_simulation() -> None:
    seeds = stats.seeds_needed(1.0, 0.72, 0.02)
    assert seeds is not None
    assert stats.power(1.0, seeds, 0.72, 0.02) >= 0.8 > stats.power(1.0, seeds - 1, 0.72, 0.02)
    rng, resolved = np.random.default_rng(5), 0
    for _ in range(2000):
        clip = rng.normal(scale=0.02**0.5)
        rows = [rng.normal(loc=mean, scale=0.6, size=seeds) for mean in (1.0 + clip, 0.0)]
        spreads = [np.var(row, ddof=1) / seeds for row in rows]
        df = sum(spreads) ** 2 / sum(v**2 / (seeds - 1) for v in spreads)
        resolved += Estimate(float(rows[0].mean() - rows[1].mean()), float(sum(spreads)), float(df), 0.02).low > 0
    assert resolved / 2000 == pytest.approx(stats.power(1.0, seeds, 0.72, 0.02), abs=0.05)


def test_power_without_clips_is_that_of_two_samples_t_test() -> None:
    """One side of it: a difference that is found with the wrong sign does not count."""
    shift, critical = 1.0 / (0.72 / 4) ** 0.5, scipy.stats.t.ppf(0.975, 6)
    assert stats.power(1.0, 4, 0.72, 0.0) == pytest.approx(scipy.stats.nct.sf(critical, 6, shift), abs=1e-6)


def test_no_number_of_seeds_makes_up_for_too_few_clips() -> None:
    assert stats.seeds_needed(1.0, 0.1, 1.0) is None
    assert stats.seeds_needed(0.0, 0.1, 0.0) is None


def test_range_of_a_spread_is_that_of_chi_squared() -> None:
    low, high = stats.spread_range(Spread(1.0, 4))
    assert (4 / high, 4 / low) == pytest.approx(scipy.stats.chi2.interval(0.8, 4))


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.5], [0.5]), ([0.6, 0.7], [1.0, 1.0]), ([], [])],
)
def test_holm(p_values: list[float], expected: list[float]) -> None:
    assert stats.holm(p_values) == pytest.approx(expected)


@pytest.mark.parametrize(("percent", "clips", "se"), [(50, 100, 5.0), (50.0, 11522, 0.4658), (0, 10, 0.0)])
def test_binomial_se(percent: float, clips: int, se: float) -> None:
    assert stats.binomial_se(percent, clips) == pytest.approx(se, abs=1e-4)
