import math

import numpy as np
import pytest
import scipy.stats

from benchmark.report import stats


@pytest.mark.parametrize(("n", "half"), [(2, 8.985), (3, 2.48), (4, 1.59), (5, 1.24), (10, 0.72)])
def test_half_width_of_the_t_interval_in_sds(n: int, half: float) -> None:
    values = np.random.default_rng(n).normal(size=n)
    found = stats.t_interval(values.tolist())
    assert (found.high - found.mean) / values.std(ddof=1) == pytest.approx(half, abs=0.006)
    low, high = scipy.stats.t.interval(0.95, n - 1, values.mean(), scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_coverage_of_own_and_pooled_intervals() -> None:
    rng = np.random.default_rng(0)
    hits = np.zeros(3)
    for _ in range(1500):
        rows = rng.normal(size=(4, 3)).tolist()
        own, pooled = stats.t_interval(rows[0]), stats.pool_sd(rows)
        shared, contrast = stats.t_interval(rows[0], pooled=pooled), stats.seed_contrast(rows[0], rows[1], pooled)
        hits += [i.low < 0 < i.high for i in (own, shared, contrast)]
    np.testing.assert_allclose(hits / 1500, 0.95, atol=0.02)


def test_pooled_sd_is_that_of_a_one_way_anova() -> None:
    rows = [[1.0, 2.0, 4.0], [10.0, 11.0], [5.0]]
    found = stats.pool_sd(rows)
    assert found is not None
    assert found.df == 3
    assert found.sd == pytest.approx(math.sqrt((14 / 3 + 0.5) / 3))
    assert stats.pool_sd([[1.0], [2.0]]) is None


def test_contrast_with_the_pair_s_own_pooled_sd_is_student_s_test() -> None:
    a, b = [51.2, 51.9, 51.4], [50.1, 50.9, 50.2]
    found = stats.seed_contrast(a, b, stats.pool_sd([a, b]))
    expected = scipy.stats.ttest_ind(a, b)
    assert stats.t_p_value(found.mean / found.se, found.df) == pytest.approx(expected.pvalue)
    welch = stats.seed_contrast(a, [50.0, 52.0, 49.0])
    assert welch.df == pytest.approx(scipy.stats.ttest_ind(a, [50.0, 52.0, 49.0], equal_var=False).df)


def test_one_seed_a_row_gives_no_contrast() -> None:
    with pytest.raises(ValueError, match="variance of training is unknown"):
        stats.seed_contrast([51.0], [50.0])


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (12, 4), (30, 30), (1, 9)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    lhs = np.array([True] * b + [False] * c + [True] * 40)
    rhs = np.array([False] * b + [True] * c + [True] * 40)
    expected = scipy.stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert stats.mcnemar_p(lhs, rhs) == pytest.approx(expected)


def test_repeating_a_seed_adds_no_evidence_to_mcnemar() -> None:
    rng = np.random.default_rng(1)
    lhs, rhs = rng.random(300) < 0.6, rng.random(300) < 0.5
    assert stats.mcnemar_p(np.stack([lhs] * 5), np.stack([rhs] * 5)) == stats.mcnemar_p(lhs, rhs)


def test_clip_bootstrap_is_reproducible_and_has_the_analytic_error() -> None:
    rng = np.random.default_rng(2)
    lhs, rhs = rng.random((3, 2000)) < 0.55, rng.random((3, 2000)) < 0.5
    per_clip = 100 * (lhs.mean(axis=0) - rhs.mean(axis=0))
    drawn = stats.clip_bootstrap(lhs, rhs)
    assert drawn.mean() == pytest.approx(per_clip.mean(), abs=0.05)
    assert drawn.std() == pytest.approx(per_clip.std() / math.sqrt(2000), rel=0.03)
    np.testing.assert_array_equal(drawn, stats.clip_bootstrap(lhs, rhs))
    np.random.seed(0)
    np.testing.assert_array_equal(drawn, stats.clip_bootstrap(lhs, rhs))


def test_clip_bootstrap_within_classes_centres_on_mean_class_accuracy() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    lhs, rhs = labels == 1, np.zeros(1000, bool)
    assert stats.clip_bootstrap(lhs, rhs, labels).tolist() == pytest.approx([50.0] * stats.BOOTSTRAP_SAMPLES)


@pytest.mark.parametrize(("n", "floor"), [(3, 0.1), (4, 0.0286), (5, 0.00794)])
def test_permutation_floor(n: int, floor: float) -> None:
    p, least = stats.permutation_p(list(range(n)), list(range(10, 10 + n)))
    assert p == pytest.approx(least)
    assert least == pytest.approx(floor, rel=0.01)


def test_permutation_agrees_with_scipy() -> None:
    a, b = [51.2, 51.9, 51.4, 50.0], [50.1, 51.5, 50.2, 50.3]
    expected = scipy.stats.permutation_test((a, b), lambda x, y: np.mean(x) - np.mean(y), n_resamples=np.inf)
    assert stats.permutation_p(a, b)[0] == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("percent", "clips", "se"), [(73, 19_796, 0.32), (50, 11_522, 0.47), (62, 24_777, 0.31), (75, 1_530, 1.11)]
)
def test_binomial_se_of_published_validation_sets(percent: float, clips: int, se: float) -> None:
    assert stats.binomial_se(percent, clips) == pytest.approx(se, abs=0.005)


@pytest.mark.parametrize(
    ("n", "df", "mde"), [(3, None, 3.07), (5, None, 2.02), (10, None, 1.32), (3, 8, 2.61), (3, 12, 2.49)]
)
def test_detectable_difference(n: int, df: float | None, mde: float) -> None:
    assert stats.detectable_difference(n, df) == pytest.approx(mde, abs=0.006)


@pytest.mark.parametrize(
    ("difference", "seeds"), [(0.5, (4, 7, 12)), (0.9, (3, 4, 5)), (2.0, (2, 2, 3)), (0.3, (9, 17, 29))]
)
def test_seeds_needed_at_seed_sds_of_two_three_and_four_tenths(difference: float, seeds: tuple[int, ...]) -> None:
    assert tuple(stats.seeds_needed(difference, sd) for sd in (0.2, 0.3, 0.4)) == seeds
    assert tuple(stats.seeds_needed(-difference, sd) for sd in (0.2, 0.3, 0.4)) == seeds


def test_no_number_of_seeds_makes_up_for_too_few_clips() -> None:
    assert stats.seeds_needed(0.5, 0.2, clip_se=0.5) is None
    assert stats.seeds_needed(0.0, 0.2) is None


def test_power_never_falls_with_seeds() -> None:
    values = [stats.power(0.7, n, 0.4, clip_se=0.1) for n in range(2, 200)]
    assert np.all(np.diff(values) > -1e-9)


def test_holm_of_a_textbook_case() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_unequal_variances_are_doubted_only_with_enough_seeds() -> None:
    quiet, loud = [0.0, 0.1, 0.0, 0.1, 0.0], [0.0, 9.0, 0.0, 9.0, 0.0]
    assert not stats.variances_are_alike([quiet, loud])
    assert stats.variances_are_alike([quiet[:3], loud[:3]])
