"""The printed numbers on trial: the sampling error of a print by correlation, on the clips that it is the mean over."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.report.statistics.printed import try_printed
from benchmark.report.statistics.relations import margin_of
from benchmark.spec.claim import Claim
from benchmark.spec.table import Table


def _claim(relation: str, lhs: str = "16", rhs: str | tuple[str, ...] = "0", **further: Any) -> Claim:
    values = {"id": "c", "lhs": lhs, "relation": relation, "rhs": rhs, "metric": "top1", "text": "as stated"}
    return Claim.model_validate(values | further)


def test_ends_of_3b_are_beyond_the_sampling_error_and_its_neighbours_within(table_3b: Table) -> None:
    ends = try_printed(_claim(">"), table_3b)
    assert ends is not None
    assert (ends.difference, ends.holds, ends.clips) == (2.0, True, 11_522)
    assert ends.errors[0.0] == pytest.approx(1.96 * 2**0.5 * 0.4658, abs=0.01)
    assert ends.errors[0.8] == pytest.approx(ends.errors[0.0] * 0.2**0.5, rel=1e-3)
    assert ends.beyond == {0.0: True, 0.4: True, 0.8: True}
    step = try_printed(_claim(">", "8", "4"), table_3b)
    assert step is not None
    assert (step.difference, step.holds) == (0.5, True)
    assert step.beyond == {0.0: False, 0.4: False, 0.8: False}


def test_error_is_that_of_correlated_draws(table_3b: Table) -> None:
    """Rows that hit clips through a common threshold: the SD of their difference, simulated."""
    rng, rho = np.random.default_rng(0), 0.4
    p = np.array([0.516, 0.496])
    both = p[0] * p[1] + rho * np.sqrt((p * (1 - p)).prod())
    cells = [both, p[0] - both, p[1] - both, 1 - p.sum() + both]
    counts = rng.multinomial(11_522, cells, size=20_000)
    sd = np.std(100 * (counts[:, 1] - counts[:, 2]) / 11_522)
    found = try_printed(_claim(">"), table_3b)
    assert found is not None
    assert found.errors[rho] == pytest.approx(1.96 * sd, rel=0.02)


def test_a_printed_tie_is_no_worse_and_not_better(make: SimpleNamespace) -> None:
    table = make.table("bqn-3f", "embedded")
    labels = [row.label for row in table.rows]
    strict = try_printed(_claim(">", labels[3], labels[2]), table)
    weak = try_printed(_claim(">=", labels[3], labels[2]), table)
    assert strict is not None
    assert weak is not None
    assert (strict.difference, strict.holds, weak.holds) == (0.0, False, True)


def test_the_margin_is_the_same_for_prints_and_runs(table_3b: Table) -> None:
    """4 prints 0.6 more than 0, and 8 another 0.5: `no worse` and `the same` hold within half a point."""
    found = {
        relation: try_printed(_claim(relation, lhs, rhs), table_3b)
        for relation, lhs, rhs in ((">=", "4", "8"), ("<=", "4", "0"), ("~", "8", "4"))
    }
    assert {relation: trial.holds for relation, trial in found.items() if trial} == {">=": True, "<=": False, "~": True}


def test_the_margin_is_half_a_point_or_a_twentieth() -> None:
    assert margin_of(_claim("~"), [50.0, 60.0]) == 0.5
    assert margin_of(_claim("~", metric="gmacs"), [10.0, -20.0]) == 1.0
    assert margin_of(_claim("~", margin=2.0), [50.0]) == 2.0


def test_monotone_is_tried_by_its_whole_rise(table_3b: Table) -> None:
    found = try_printed(_claim("monotone", "0", ("4", "8", "16")), table_3b)
    assert found is not None
    assert (found.pair, found.difference, found.holds) == (("16", "0"), 2.0, True)
    assert found.beyond[0.0]
    assert found.errors[0.8] / found.errors[0.0] == pytest.approx(0.2**0.5, rel=1e-3)  # what rows share falls out
    falling = try_printed(_claim("monotone", "16", ("8", "4", "0")), table_3b)
    assert falling is not None
    assert not falling.holds
    assert not any(falling.beyond.values())


@pytest.mark.parametrize(
    ("name", "metric", "clips"),
    [
        ("bqn-6", "mean_class_acc", 3_783 + 3_734 + 3_696),
        ("bqn-6", "mean_class_acc@hmdb51", 3 * 1_530),
        ("bqn-1", "top1@ucf101", 3_783),
        ("bqn-1", "top1", 11_522),
        ("bqn-1", "top1@kinetics400", 20_000),
    ],
)
def test_clips_are_those_of_all_splits_that_a_print_is_the_mean_over(
    name: str, metric: str, clips: int, make: SimpleNamespace
) -> None:
    table = make.table(name, "embedded")
    rows = [row.label for row in table.rows if metric in row.printed]
    found = try_printed(_claim(">", rows[0], rows[1], metric=metric), table)
    assert found is not None
    assert found.clips == clips


def test_sizes_are_those_of_the_pair_that_bears_them_out_least(table_3b: Table) -> None:
    found = try_printed(_claim(">", "16", ("0", "4"), by="2.0"), table_3b)
    assert found is not None
    ((check,),) = (found.sizes,)
    assert (check.found, check.agrees) == (1.4, False)
    nearest = try_printed(_claim("best", "16", ("0", "4", "8"), by="0.9"), table_3b)
    assert nearest is not None
    assert [(c.found, c.agrees) for c in nearest.sizes] == [(0.9, True)]


def test_exact_columns_have_no_sampling_error(table_3b: Table) -> None:
    found = try_printed(_claim(">", metric="gmacs"), table_3b)
    assert found is not None
    assert (found.errors, found.beyond, found.holds, found.clips) == ({}, {}, True, 0)
