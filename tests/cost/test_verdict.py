"""What counts as reproduced."""

from __future__ import annotations

import pytest

from benchmark.cost.verdict import shortened, views_times


@pytest.mark.parametrize(
    ("count", "printed", "how"),
    [
        (65_934_000_000, "65.9", "truncated or rounded"),
        (65_757_000_000, "65.7", "truncated"),
        (65_757_000_000, "65.8", "rounded"),
        (65_850_000_000, "65.9", "rounded"),
        (65_850_000_000, "65.8", "truncated"),
        (65_700_000_000, "65.7", "truncated or rounded"),
        (65_699_999_999, "65.7", "rounded"),
        (65_849_999_999, "65.9", None),
        (65_934_000_000, "66", "rounded"),
        (65_934_000_000, "65.90", None),
        (121_536_000_000, "121", "truncated"),
        (7_134, "7.13K", "truncated or rounded"),
        (252, "0.2K", "truncated"),
        (39_776_800, "39.7M", "truncated"),
    ],
)
def test_shortened_to_the_printed_digits_without_tolerance(count: int, printed: str, how: str | None) -> None:
    assert shortened(count, 10**9, printed) == how


@pytest.mark.parametrize(
    ("count", "printed", "how"),
    [
        (65_757_000_000, "1950", "as views times a truncated count"),
        (65_757_000_000, "1980", "as views times a rounded count"),
        (65_757_000_000, "1971", "as views times a truncated count"),  # 30 times 65.7
        (65_757_000_000, "1974", "as views times a rounded count"),
        (65_757_000_000, "1972.7", None),
    ],
)
def test_views_times_a_count_that_was_shortened_before(count: int, printed: str, how: str | None) -> None:
    assert views_times(count, 30, 10**9, printed) == how
