"""Differences between rows of one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.report.results import SeedResult
from benchmark.report.statistics import stats
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.noise import Noise, NoiseTable

Compare = Callable[..., Comparison]


@pytest.fixture
def compare(make: SimpleNamespace) -> Compare:
    """da-8, whose metric has no clips, with values of its rows, all of one family of a known SD or none."""
    table = make.table("da-8", "embedded", (0,))
    (family,) = {row.family for row in table.rows if row.family}

    def of(values: Mapping[str, Sequence[float]], sd: float | None = None) -> Comparison:
        runs = {
            label: [SeedResult(seed, f"{label} {seed}", "done", {"residual": value}) for seed, value in enumerate(row)]
            for label, row in values.items()
        }
        known = {(family, "residual"): Noise(family, "residual", sd, 16, 0.0, 9, 27, sd, sd)} if sd else {}
        return Comparison(table, runs, NoiseTable(known))

    return of


def test_rows_share_the_baseline_s_error(compare: Compare) -> None:
    """Every two differences from one baseline correlate by a half where rows vary alike: Dunnett's own case."""
    table = compare({}).table
    values = {row.label: 0.1 * number for number, row in enumerate(table.rows)}
    found = compare({label: [value] for label, value in values.items()}, sd=0.2).with_baseline("enopr")
    error, count = 0.2 * 2**0.5, len(values) - 1
    differences = [value - values[table.baseline] for label, value in values.items() if label != table.baseline]
    correlation = np.full((count, count), 0.5) + 0.5 * np.eye(count)
    p_values, critical = stats.joint_p([d / error for d in differences], correlation, [16] * count)
    assert [c.p_dunnett for c in found] == pytest.approx(p_values, abs=1e-3)
    reach = [c.high - c.difference for c in found if c.high is not None]
    assert reach == pytest.approx([error * one for one in critical], rel=1e-3)


def test_a_row_is_unstable_at_one_percent_of_what_others_of_its_family_do(compare: Compare) -> None:
    """F(2, 16) of a known family, and F(2, 4) of two other rows of the table: 6.2 and 18.0 at 1 %."""
    for spread, unstable in ((2.3, False), (2.7, True)):
        known = compare({"#1": [5 - spread, 5, 5 + spread]}, sd=1.0)
        assert (known.unstable("#1", "enopr") is not None) is unstable
    for spread, unstable in ((4.0, False), (4.5, True)):
        quiet = {label: [4.0, 5.0, 6.0] for label in ("#2", "#3")}
        beside = compare({"#1": [5 - spread, 5, 5 + spread], **quiet})
        assert (beside.unstable("#1", "enopr") is not None) is unstable
        assert beside.unstable("#2", "enopr") is None


def test_a_fused_row_varies_as_the_louder_of_its_members(make: SimpleNamespace) -> None:
    table = make.table("bqn-3a", "embedded", (0,))
    families = {row.family: sd for row, sd in zip(table.rows, (0.2, 0.8), strict=False)}
    noise = {(family, "top1"): Noise(family, "top1", sd, 16, 0.3, 9, 27, sd, sd) for family, sd in families.items()}
    runs = {"Quiet+Busy": [make.seed_result("Quiet+Busy", 0, 60.0)]}
    sample = Comparison(table, runs, NoiseTable(noise)).sample("Quiet+Busy", "top1")
    assert not isinstance(sample, str)
    assert sample.spread.sd == pytest.approx(0.8)
