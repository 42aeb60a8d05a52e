"""Differences between rows of one table."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.report.results import SeedResult
from benchmark.report.statistics import stats
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.noise import Noise, NoiseTable


def test_rows_share_the_baseline_s_error(make: SimpleNamespace) -> None:
    """Every two differences from one baseline correlate by a half where rows vary alike: Dunnett's own case."""
    table = make.table("da-8", "embedded", (0,))
    values = {row.label: 0.1 * number for number, row in enumerate(table.rows)}
    runs = {label: [SeedResult(0, label, "done", {"residual": value})] for label, value in values.items()}
    (family,) = {row.family for row in table.rows if row.family}
    noise = NoiseTable({(family, "residual"): Noise(family, "residual", 0.2, 16, 0.0, 9, 27, 0.2, 0.2)})
    found = Comparison(table, runs, noise).with_baseline("enopr")
    error, count = 0.2 * 2**0.5, len(values) - 1
    differences = [value - values[table.baseline] for label, value in values.items() if label != table.baseline]
    correlation = np.full((count, count), 0.5) + 0.5 * np.eye(count)
    p_values, critical = stats.joint_p([d / error for d in differences], correlation, [16] * count)
    assert [c.p_dunnett for c in found] == pytest.approx(p_values, abs=1e-3)
    reach = [c.high - c.difference for c in found if c.high is not None]
    assert reach == pytest.approx([error * one for one in critical], rel=1e-3)
