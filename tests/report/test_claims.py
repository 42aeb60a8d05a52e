from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.report.cells import CountedCost, Predictions, SeedResult
from benchmark.report.claims import Judgement, check_printed, judge
from benchmark.report.compare import Comparison
from benchmark.report.metrics import all_metrics
from benchmark.spec.claim import Claim
from benchmark.spec.table import Table

CLIPS = 4000
Judge = Callable[..., Judgement]


def _run(seed: int, accuracy: float) -> SeedResult:
    """The easiest clips are hit, in the same order by every row: two rows then differ on few clips."""
    hits = np.arange(CLIPS) < round(CLIPS * accuracy / 100)
    logits = np.stack([hits, ~hits], axis=1).astype(float)
    made = Predictions(np.arange(CLIPS).astype(str), np.zeros(CLIPS, int), logits)
    return SeedResult(seed, f"k{seed}{accuracy}", "done", all_metrics(made.logits, made.labels), lambda: made)


def _claim(relation: str, lhs: str = "16", rhs: tuple[str, ...] = ("0",), metric: str = "top1") -> Claim:
    return Claim(id="c", lhs=lhs, relation=relation, rhs=rhs, metric=metric, text="as stated")


@pytest.fixture
def judged(table_3b: Table) -> Judge:
    def decide(claim: Claim, **accuracies: tuple[float, ...]) -> Judgement:
        runs = {
            row.label: [_run(s, a) for s, a in enumerate(accuracies[f"n{row.label}"])]
            for row in table_3b.rows
            if f"n{row.label}" in accuracies
        }
        return judge(claim, table_3b, Comparison(table_3b, runs), {})

    return decide


LOW, HIGH, SAME = (60.0, 60.2, 59.8), (64.0, 64.2, 63.9), (60.1, 60.0, 60.2)


@pytest.mark.parametrize(
    ("relation", "sixteen", "verdict"),
    [
        (">", HIGH, "supported"),
        ("<", HIGH, "contradicted"),
        (">", SAME, "not resolved"),
        ("<", SAME, "not resolved"),
        (">=", HIGH, "supported"),
        ("<=", HIGH, "contradicted"),
        (">=", SAME, "supported"),
        ("best", HIGH, "supported"),
        ("monotone", HIGH, "contradicted"),
    ],
)
def test_verdict_by_relation(judged: Judge, relation: str, sixteen: tuple[float, ...], verdict: str) -> None:
    assert judged(_claim(relation), n16=sixteen, n0=LOW).verdict == verdict


def test_monotone_is_only_as_sure_as_its_smallest_step(judged: Judge) -> None:
    claim = _claim("monotone", "0", ("4", "8"))
    steep = judged(claim, n0=LOW, n4=HIGH, n8=(68.0, 68.1, 67.9))
    flat = judged(claim, n0=LOW, n4=HIGH, n8=(64.1, 63.9, 64.2))
    assert (steep.verdict, flat.verdict) == ("supported", "not resolved")
    assert flat.contrast is not None
    assert {flat.contrast.lhs, flat.contrast.rhs} == {"4", "8"}
    assert judged(claim, n0=LOW, n4=HIGH, n8=LOW).verdict == "contradicted"


def test_best_must_beat_every_other(judged: Judge) -> None:
    claim = _claim("best", "16", ("0", "4"))
    assert judged(claim, n16=HIGH, n0=LOW, n4=LOW).verdict == "supported"
    assert judged(claim, n16=HIGH, n0=LOW, n4=HIGH).verdict == "not resolved"
    assert judged(claim, n16=LOW, n0=SAME, n4=HIGH).verdict == "contradicted"


def test_an_open_claim_says_how_many_seeds_would_close_it(judged: Judge) -> None:
    found = judged(_claim(">"), n16=(61.0, 61.9, 60.4), n0=(60.0, 60.9, 59.5))
    assert found.verdict == "not resolved"
    assert found.seeds is not None
    assert found.seeds > 3
    assert f"about {found.seeds} seeds per row" in found.reason


def test_one_seed_is_never_a_verdict_but_shows_the_clips_p(judged: Judge) -> None:
    found = judged(_claim(">"), n16=(70.0,), n0=(60.0,))
    assert found.verdict == "not resolved"
    assert found.reason.startswith("1 seed: the variance of training is unknown; +10.0, p = ")
    assert found.contrast is not None
    assert found.contrast.p_mcnemar is not None
    assert found.contrast.p_mcnemar < 1e-6


def test_without_predictions_nothing_is_resolved(table_3b: Table) -> None:
    runs = {
        label: [SeedResult(s, "k", "done", {"top1": value}) for s, value in enumerate(values)]
        for label, values in (("16", HIGH), ("0", LOW))
    }
    found = judge(_claim(">"), table_3b, Comparison(table_3b, runs), {})
    assert found.verdict == "not resolved"
    assert "no predictions" in found.reason


def test_rows_that_are_not_measured_yet_are_named(judged: Judge) -> None:
    assert judged(_claim(">", "16", ("0", "8")), n16=HIGH).reason == "not measured yet: 0; 8"


def test_costs_are_judged_exactly(table_3b: Table) -> None:
    costs = {"16": CountedCost({"gmacs": 65.9, "mparams": 48.0}), "0": CountedCost({"gmacs": 65.7, "mparams": 48.0})}
    comparison = Comparison(table_3b, {})
    for relation, metric, verdict in [
        (">", "gmacs", "supported"),
        ("<", "gmacs", "contradicted"),
        ("best", "gmacs", "contradicted"),
        ("<", "mparams", "contradicted"),
        ("<=", "mparams", "supported"),
    ]:
        assert judge(_claim(relation, metric=metric), table_3b, comparison, costs).verdict == verdict
    assert judge(_claim(">", metric="gmacs"), table_3b, comparison, {}).reason == "not counted: 16; 0"


def test_printed_neighbours_of_3b_are_within_the_sampling_error_and_its_ends_are_not(table_3b: Table) -> None:
    ends, steps = (
        check_printed(_claim(">"), table_3b),
        check_printed(_claim("monotone", "0", ("4", "8", "16")), table_3b),
    )
    assert ends is not None
    assert steps is not None
    assert (ends.difference, ends.exceeds, ends.agrees) == (2.0, True, True)
    assert ends.error == pytest.approx(1.96 * 2**0.5 * 0.4658, abs=0.01)
    assert (steps.difference, steps.exceeds, steps.agrees) == (0.5, False, True)


def test_a_printed_tie_does_not_agree_with_strictly_more(make: SimpleNamespace) -> None:
    table = make.table("bqn-3f", "embedded")
    labels = [row.label for row in table.rows]
    strict = check_printed(_claim(">", labels[3], (labels[2],)), table)
    weak = check_printed(_claim(">=", labels[3], (labels[2],)), table)
    assert strict is not None
    assert weak is not None
    assert (strict.difference, strict.agrees, weak.agrees) == (0.0, False, True)


def test_a_method_without_effect_is_seldom_called_better(table_3b: Table) -> None:
    """With clips and seeds drawn anew, one interval in forty at most lies wholly on the claimed side."""
    rng, supported = np.random.default_rng(5), 0
    for _ in range(150):
        difficulty = rng.normal(size=400)
        runs = {}
        for label in ("16", "0"):
            results = []
            for seed in range(3):
                hits = difficulty + rng.normal(size=400) + 0.1 * rng.normal() > 0
                logits = np.stack([hits, ~hits], axis=1).astype(float)
                made = Predictions(np.arange(400), np.zeros(400, int), logits)
                metrics = {"top1": 100 * float(hits.mean())}
                results.append(SeedResult(seed, "k", "done", metrics, lambda made=made: made))  # type: ignore[misc]
            runs[label] = results
        supported += judge(_claim(">"), table_3b, Comparison(table_3b, runs), {}).verdict == "supported"
    assert supported / 150 < 0.05
