"""The page of findings: orders of rows, levels, and the committed page itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.claims import paper_tables
from benchmark.data.embedded.graded import levels
from benchmark.report.claims.all_claims import Entry
from benchmark.report.recorded_tables import table_entries
from benchmark.report.results import SeedResult
from benchmark.report.statistics.clip_hits import level_metrics
from benchmark.report.statistics.compare import Comparison
from benchmark.runs.predictions import Predictions
from benchmark.spec.load import load_table
from benchmark.spec.table import Table
from tools.findings_page.__main__ import PAGE, README
from tools.findings_page.findings import Finding, Findings, Measured, gather, order_of, steps_of
from tools.findings_page.page import along, findings_page, in_short, item, names, orders, template
from tools.pages import StalePageError, checked_page, filled, filled_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table() -> Table:
    return load_table("bqn-3b", "embedded", (0, 1))


def run(seed: int, top1: float, lost_at_low_contrast: int = 0) -> SeedResult:
    """A share of the clips of every level right, and so many of the hardest contrast wrong besides."""
    ids, labels = np.array([f"{i:06d}" for i in range(2560)]), np.arange(2560) % 10
    chosen = np.random.default_rng(seed).permutation(2560)[: round(25.6 * top1)]
    right = np.isin(np.arange(2560), chosen)
    hard = [i for i in range(2560) if levels("val", i)[1] == 4 and right[i]]
    right[hard[:lost_at_low_contrast]] = False
    logits = np.eye(10, dtype=np.float32)[np.where(right, labels, (labels + 1) % 10)]
    made = Predictions(ids, labels, logits)
    metrics = {"top1": 100 * float(right.mean()), **level_metrics(made)}
    return SeedResult(seed, f"{seed:016x}", "done", metrics, lambda: made, clips=2560)


def test_pairs_are_told_apart_by_both_by_one_or_by_none(table: Table) -> None:
    """Printed 49.6, 50.2, 50.7, 51.6 for 0, 4, 8, 16, with an error of 1.0 at a correlation of 0.4."""
    runs = {"0": [run(0, 90), run(1, 90.1)], "4": [run(2, 50), run(3, 50.1)], "16": [run(4, 60), run(5, 60.1)]}
    order = order_of(Measured(table, Comparison(table, runs)))
    assert (order.rows, order.seeds, order.ordered) == (3, 2, 3)
    pairs = {(pair.first, pair.second): pair for pair in order.pairs}
    assert {pair: (one.printed_apart, one.same_order) for pair, one in pairs.items()} == {
        ("0", "4"): (False, False),
        ("0", "16"): (True, False),
        ("4", "16"): (True, True),
    }
    assert all(pair.ours_apart for pair in order.pairs)
    assert [(pair.first, pair.second) for pair in order.opposite] == [("0", "16")]
    assert (order.alike, order.told_apart, len(order.both)) == (1, 3, 2)
    last = orders([order]).splitlines()[-1]
    assert [cell.strip() for cell in last.strip("|").split("|")] == ["all", "3", "", "1 of 3", "3 of 3", "2", "1", "1"]
    alone = order_of(Measured(table, Comparison(table, {"0": [run(0, 90)], "4": [run(2, 50)]})))
    assert [pair.ours_apart for pair in alone.pairs] == [None]  # how much training varies is not known
    assert order_of(Measured(table, Comparison(table, {"0": [run(0, 90)]}))).pairs == ()


def test_a_difference_at_one_level_is_found_along_its_axis(table: Table) -> None:
    runs = {"0": [run(0, 80, 300), run(1, 80, 304)], "16": [run(2, 80), run(3, 80)]}
    entry = Entry(table, table.claims[-1], None, "supported", pair=("16", "0"))
    steps = steps_of(entry, Comparison(table, runs))
    assert [one.axis for one in steps] == ["speed", "contrast", "clutter"]
    contrast = steps[1]
    assert Finding(entry, steps=steps).uneven is contrast
    assert Finding(entry, steps=(steps[0], steps[2])).uneven is None
    assert abs(contrast.differences[0]) < 3
    assert contrast.differences[3] == pytest.approx(100 * 302 / 640, abs=3)
    assert contrast.change > 4 > abs(steps[0].change)
    assert along(contrast).startswith("by level of contrast, easy to hard: ")
    assert steps_of(replace(entry, pair=None), Comparison(table, runs)) == ()


def test_a_sentence_that_does_not_hold_stops_the_page() -> None:
    with pytest.raises(
        StalePageError, match=r"docs/findings\.md says that no claim is open; the results no longer say"
    ):
        checked_page(
            template().environment.from_string('{% do check("no claim is open", false) %}text'),
            lambda check: names(Findings((), (), ()), check),
            "docs/findings.md",
            "the results",
        )


def test_nested_lists_stay_lists() -> None:
    text = filled(f"- one {'word ' * 40}\n  - two\n    more\n- three\n")
    lines = text.splitlines()
    assert lines[0].startswith("- one")
    assert lines[1].startswith("  word")
    assert lines[-2:] == ["  - two more", "- three"]


@pytest.mark.slow
def test_the_committed_page_and_readme_are_those_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RECORDS", str(ROOT / "results" / "records"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(ROOT / "results"))
    tables = [load_table(name) for name in paper_tables()]
    findings = gather(tables, table_entries(ROOT / "results" / "records"), ROOT / "results")
    assert PAGE.read_text() == findings_page(findings), "make results"
    assert filled_in(README.read_text(), {"findings": in_short(findings)}) == README.read_text(), "make results"
    assert sum(len(findings.of(paper)) for paper in findings.papers) == len(findings.claims)
    again = next(one for one in findings.claims if one.again)
    assert findings.claim(again.again[0]) is again
    assert f"again in {again.again[0]}" in item(again)
