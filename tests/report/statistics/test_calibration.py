"""A small simulation with known truth: intervals cover, verdicts are seldom wrong. `make calibrate` has all cases."""

from __future__ import annotations

import importlib.util
import math
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
TABLES = 120


@pytest.fixture(scope="module")
def calibrate() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("calibrate", REPOSITORY / "tools" / "calibrate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibrate"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def _at_most(share: float) -> float:
    """The largest percentage that so many tables show by chance at this true share, but in one of two hundred tests."""
    return 100 * (share + 2.6 * math.sqrt(share * (1 - share) / TABLES))


NULLS = ("equal SD 0.6", "two noisy (3), two quiet (0.3)", "noisy (3) against quiet (0.3)")
BIMODAL = ("bimodal, all", "two bimodal, two quiet (0.3)")
MODELS = ("threshold", "logit", "replay")
EDGES = (
    "best of four, none is",
    "~ within 2, 2 apart",
    ">= within 0.5, 0.5 worse",
    "no ladder",
    "ladder with a fall of 2",
)


def _case(calibrate: ModuleType, name: str, seeds: int, model: str = "threshold") -> Any:
    return next(c for c in calibrate.cases() if (c.name, c.seeds, c.model) == (name, seeds, model))


@pytest.mark.parametrize(
    ("name", "model"),
    [*product(NULLS, MODELS), *product(BIMODAL, MODELS[:1])],
)
def test_rows_without_a_difference_are_seldom_told_apart(name: str, model: str, calibrate: ModuleType) -> None:
    outcome = calibrate.simulate(_case(calibrate, f"null, {name}", 3, model), TABLES)
    assert outcome.wrong <= _at_most(0.05)
    assert outcome.covered >= 100 - _at_most(0.07)


@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("name", EDGES)
def test_claims_at_the_edge_are_seldom_decided(name: str, seeds: int, calibrate: ModuleType) -> None:
    assert calibrate.simulate(_case(calibrate, name, seeds), TABLES).wrong <= _at_most(0.05)


@pytest.mark.parametrize(
    ("name", "seeds", "least"),
    [
        ("2 points better", 10, 60),
        ("best of four by 3", 5, 50),
        ("~ within 2, equal", 10, 30),
        ("ladder of 1 point", 5, 25),
    ],
)
def test_true_claims_are_found(name: str, seeds: int, least: float, calibrate: ModuleType) -> None:
    assert calibrate.simulate(_case(calibrate, name, seeds), TABLES).supported > least


def test_intervals_are_narrower_than_with_the_interaction_twice(calibrate: ModuleType) -> None:
    """Against V_seed + V_clip: 5 % to 30 % narrower."""
    import numpy as np

    from benchmark.report.statistics.compare import Comparison

    (case,) = [
        c for c in calibrate.cases() if c.name == "null, equal SD 0.6" and c.seeds == 5 and c.model == "threshold"
    ]
    rng, ratios = np.random.default_rng(0), []
    for _ in range(40):
        comparison = Comparison(calibrate._table(), calibrate.draw(case, rng))
        contrast = comparison.contrast("16", "0", "top1")
        assert contrast is not None
        assert contrast.estimate is not None
        samples = [comparison.sample(label, "top1") for label in ("16", "0")]
        per_clip = samples[0].hits.mean(0) - samples[1].hits.mean(0)  # type: ignore[union-attr]
        twice = contrast.estimate.v_seed + float(np.var(per_clip, ddof=1)) / len(per_clip)
        ratios.append(contrast.estimate.se / math.sqrt(twice))
    assert 0.7 < np.mean(ratios) < 0.95


def test_the_page_has_the_table_of_every_case(calibrate: ModuleType) -> None:
    page = (REPOSITORY / "docs" / "statistics.md").read_text()
    table = page.partition(calibrate.BEGIN)[2].partition(calibrate.END)[0]
    for case in calibrate.cases():
        assert f"| {case.name} (`{case.relation}`) | {case.model} | {case.seeds} |" in table
    wrong = [float(line.split("|")[-2]) for line in table.splitlines() if line.startswith(("| null", "| ~", "| no "))]
    # 1,000 tables a case: 5 % and 2.6 standard errors.
    assert len(wrong) > 40
    assert max(wrong) <= 6.8
