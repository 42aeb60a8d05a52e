"""States of claims by relation, and what each takes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmark.report.claims.judge import judge_claims
from benchmark.report.costs import CountedCost
from benchmark.report.datasets import measured_dataset
from benchmark.report.results import SeedResult
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.judgement import STATES, Judgement
from benchmark.report.statistics.noise import Noise, NoiseTable
from benchmark.report.text.verdicts import claims_frame, verdict_text
from benchmark.runs.metrics import all_metrics
from benchmark.runs.predictions import Predictions
from benchmark.spec.claim import Claim
from benchmark.spec.table import Row, Table

CLIPS = 4000
Judge = Callable[..., list[Judgement]]


def _run(seed: int, accuracy: float) -> SeedResult:
    """The easiest clips are hit, in the same order by every row: two rows then differ on few clips."""
    hits = np.arange(CLIPS) < round(CLIPS * accuracy / 100)
    logits = np.full((CLIPS, 20), -1.0)
    logits[:, 0], logits[:, 1] = hits, ~hits
    made = Predictions(np.array([f"{i:05d}" for i in range(CLIPS)]), np.zeros(CLIPS, int), logits)
    metrics = all_metrics(made.logits, made.labels)
    return SeedResult(seed, f"k{seed}{accuracy}", "done", metrics, lambda: made, clips=CLIPS)


def _claim(
    relation: str, lhs: str = "16", rhs: str | tuple[str, ...] = "0", metric: str = "top1", **further: Any
) -> Claim:
    return Claim.model_validate(
        {"id": "c", "lhs": lhs, "relation": relation, "rhs": rhs, "metric": metric, "text": "as stated", **further}
    )


@pytest.fixture
def judged(table_3b: Table) -> Judge:
    def decide(*claims: Claim, noise: NoiseTable | None = None, **accuracies: tuple[float, ...]) -> list[Judgement]:
        table = table_3b.model_copy(update={"claims": claims})
        runs = {
            row.label: [_run(s, a) for s, a in enumerate(accuracies[f"n{row.label}"])]
            for row in table.rows
            if f"n{row.label}" in accuracies
        }
        comparison = Comparison(table, runs, noise) if noise else Comparison(table, runs)
        return judge_claims(table, comparison, {})

    return decide


LOW, HIGH, SAME = (60.0, 60.2, 59.8), (64.0, 64.2, 63.9), (60.1, 60.0, 60.2)


@pytest.mark.parametrize(
    ("relation", "sixteen", "state"),
    [
        (">", HIGH, "supported"),
        ("<", HIGH, "contradicted"),
        (">", SAME, "not resolved"),
        ("<", SAME, "not resolved"),
        (">=", HIGH, "supported"),
        ("<=", HIGH, "contradicted"),
        ("best", HIGH, "supported"),
        ("monotone", HIGH, "contradicted"),
        ("~", HIGH, "contradicted"),
    ],
)
def test_state_by_relation(judged: Judge, relation: str, sixteen: tuple[float, ...], state: str) -> None:
    (found,) = judged(_claim(relation), n16=sixteen, n0=LOW)
    assert found.state == state
    assert bool(found.takes) == (state == "not resolved")


def test_the_margin_decides_what_is_the_same_and_what_is_no_loss(judged: Judge) -> None:
    for relation in ("~", ">="):
        wide, narrow = (_claim(relation, margin=margin) for margin in (2.0, 0.01))
        assert judged(wide, n16=SAME, n0=LOW)[0].state == "supported"
        assert judged(narrow, n16=SAME, n0=LOW)[0].state == "not resolved"
    assert judged(_claim("~", margin=5.0), n16=HIGH, n0=LOW)[0].state == "supported"
    assert "margin 5 points" in judged(_claim("~", margin=5.0), n16=HIGH, n0=LOW)[0].reason


def test_a_loss_of_the_margin_is_neither_none_nor_one(judged: Judge) -> None:
    (found,) = judged(_claim(">=", margin=4.03), n16=LOW, n0=HIGH)
    assert found.state == "not resolved"
    assert judged(_claim(">=", margin=2.0), n16=LOW, n0=HIGH)[0].state == "contradicted"


def test_of_an_error_less_is_more(make: SimpleNamespace) -> None:
    table = make.table("da-8", "embedded", (0, 1, 2))
    means = {"#1": 0.5, "#2": 0.4, "#3": 0.3}
    runs = {
        label: [SeedResult(seed, f"{label} {seed}", "done", {"residual": mean + 0.001 * seed}) for seed in range(3)]
        for label, mean in means.items()
    }
    cases = [
        ("monotone", "#1", ("#2", "#3"), "supported"),
        ("monotone", "#3", ("#2", "#1"), "contradicted"),
        ("best", "#3", ("#1", "#2"), "supported"),
        ("best", "#1", ("#2", "#3"), "contradicted"),
        (">", "#1", ("#2",), "supported"),
    ]
    for relation, lhs, rhs, state in cases:
        judging = table.model_copy(update={"claims": (_claim(relation, lhs, rhs, metric="enopr"),)})
        assert [found.state for found in judge_claims(judging, Comparison(judging, runs), {})] == [state]


def test_a_difference_is_shown_as_the_claim_has_it(judged: Judge) -> None:
    rows = {"n16": HIGH, "n0": LOW}
    assert judged(_claim("<", "0", "16"), **rows)[0].reason.startswith("-4.0")
    assert judged(_claim(">"), **rows)[0].reason.startswith("+4.0")


def test_sizes_are_those_of_the_printed_data_set_alone(judged: Judge, table_3b: Table) -> None:
    (found,) = judged(_claim(">", by="2.0"), n16=HIGH, n0=LOW)
    assert measured_dataset(table_3b) != table_3b.dataset
    assert found.sizes == ()


def test_monotone_is_a_trend_that_allows_small_falls(judged: Judge) -> None:
    claim = _claim("monotone", "0", ("4", "8"))
    rows = {"n0": LOW, "n4": HIGH}
    assert judged(claim, **rows, n8=(68.0, 68.1, 67.9))[0].state == "supported"
    # A step of nothing: neither a rise nor a fall.
    assert judged(claim, **rows, n8=(64.0, 64.1, 63.9))[0].state == "supported"
    assert judged(claim, **rows, n8=(62.0, 62.1, 61.9))[0].state == "contradicted"  # a fall of two points, shown
    assert judged(claim, **rows, n8=(63.2, 63.9, 62.5))[0].state == "not resolved"
    assert judged(claim, **rows, n8=(63.2, 64.6, 63.2))[0].state == "not resolved"  # perhaps a fall of half a point
    assert judged(claim, n0=HIGH, n4=(62.0, 62.1, 61.9), n8=LOW)[0].state == "contradicted"


def test_ladders_of_half_a_point_are_resolved(judged: Judge) -> None:
    rng, states = np.random.default_rng(0), []
    claim = _claim("monotone", "0", ("4", "8", "16"))
    for _ in range(40):
        rows = {
            f"n{label}": tuple(60 + 0.5 * step + 0.3 * rng.normal(size=5))
            for step, label in enumerate(("0", "4", "8", "16"))
        }
        states.append(judged(claim, **rows)[0].state)
    assert states.count("supported") > 25
    assert "contradicted" not in states


def test_best_must_beat_every_other(judged: Judge) -> None:
    claim = _claim("best", "16", ("0", "4"))
    assert judged(claim, n16=HIGH, n0=LOW, n4=LOW)[0].state == "supported"
    assert judged(claim, n16=HIGH, n0=LOW, n4=HIGH)[0].state == "not resolved"
    assert judged(claim, n16=LOW, n0=SAME, n4=HIGH)[0].state == "contradicted"


def test_p_is_two_sided_and_a_loss_to_one_of_several_counts_for_their_number(judged: Judge) -> None:
    rows = {"n16": SAME, "n0": (60.6, 60.9, 61.1), "n4": (55.0, 55.2, 54.9)}
    (alone,) = judged(_claim(">"), **rows)
    assert alone.contrast is not None
    assert alone.contrast.estimate is not None
    assert alone.p is not None
    assert alone.p == pytest.approx(2 * alone.contrast.estimate.p_below(0.0))
    assert judged(_claim(">", "16", ("0", "4")), **rows)[0].p == pytest.approx(2 * alone.p)


def test_claims_of_one_table_and_metric_are_corrected_together(judged: Judge) -> None:
    """One claim that is just resolved alone is not among five; a repeat is no further claim, another metric neither."""
    rows = {"n16": (60.0, 60.9, 60.4), "n0": (58.6, 59.3, 59.1), "n4": LOW, "n8": SAME}
    (alone,) = judged(_claim(">"), **rows)
    assert alone.state == "supported"
    assert alone.p == alone.p_adjusted
    others = [_claim(">", a, b) for a, b in (("16", "4"), ("16", "8"), ("4", "8"), ("8", "0"))]
    first = judged(_claim(">"), *others, **rows)[0]
    assert first.p == alone.p
    assert first.p_adjusted is not None
    assert first.p is not None
    assert alone.p is not None
    assert first.p_adjusted >= 2 * alone.p
    assert (first.p < 0.05 < first.p_adjusted, first.state) == (True, "not resolved")
    again = judged(_claim(">"), _claim(">", id="c2"), _claim("<", "0", "16", id="c3"), **rows)
    assert [found.p_adjusted for found in again] == [alone.p] * 3


def test_an_open_claim_says_how_many_seeds_would_close_it(judged: Judge) -> None:
    (found,) = judged(_claim(">"), n16=(61.0, 61.9, 60.4), n0=(60.0, 60.9, 59.5))
    assert found.state == "not resolved"
    assert found.takes == "3 to 10 seeds a row to resolve 2.0 points, the printed difference, with 80% power"


def test_what_is_seen_is_no_forecast(judged: Judge) -> None:
    """Two rows that are seen equal need no more seeds than two that are seen apart by chance."""
    rows = {"n0": (60.0, 60.9, 59.5)}
    equal = judged(_claim(">"), n16=(60.0, 60.9, 59.5), **rows)[0]
    apart = judged(_claim(">"), n16=(60.4, 61.3, 59.9), **rows)[0]
    assert equal.takes == apart.takes


def test_one_seed_without_a_family_is_no_verdict_and_has_no_p(judged: Judge) -> None:
    (found,) = judged(_claim(">"), n16=(70.0,), n0=(60.0,))
    assert (found.state, found.p) == ("not resolved", None)
    assert found.reason.startswith("1 seed, and no other of its family")


def _noise(sd: float, df: int = 20) -> NoiseTable:
    return NoiseTable({("bqn", "top1"): Noise("bqn", "top1", sd, df, 0.3, 10, 30, sd, sd)}, "0" * 64, "proxy.csv")


def test_one_seed_has_the_interval_of_its_family(judged: Judge, table_3b: Table) -> None:
    assert {row.family for row in table_3b.rows} == {"bqn"}
    quiet, loud = (judged(_claim(">"), noise=_noise(sd), n16=(63.0,), n0=(60.0,))[0] for sd in (0.5, 5.0))
    assert (quiet.state, loud.state) == ("supported", "not resolved")
    assert quiet.contrast is not None
    assert quiet.contrast.estimate is not None
    assert quiet.contrast.estimate.v_seed == pytest.approx(2 * 0.5**2)


def test_repeats_of_the_family_in_the_table_serve_where_no_noise_is_known(judged: Judge) -> None:
    (found,) = judged(_claim(">"), n16=(63.0,), n0=(60.0,), n4=LOW, n8=SAME)
    assert found.state == "supported"


def test_an_unstable_row_gets_no_verdict(judged: Judge) -> None:
    (found,) = judged(_claim(">"), noise=_noise(0.5), n16=(70.0, 40.0, 71.0), n0=LOW)
    assert found.state == "not resolved"
    assert found.reason == "16: unstable training (SD 17.6 over 3 seeds, its family's 0.5)"
    (stable,) = judged(_claim(">"), noise=_noise(15.0), n16=(70.0, 40.0, 71.0), n0=LOW)
    assert "unstable" not in stable.reason


def test_rows_of_unequal_seeds_use_all_of_them(judged: Judge) -> None:
    (found,) = judged(_claim(">"), n16=HIGH, n0=(60.0, 60.2, 59.8, 60.1, 59.9))
    assert found.contrast is not None
    assert found.contrast.runs == (3, 5)
    assert found.reason.endswith("3 and 5 seeds")


def test_other_clips_are_not_compared(table_3b: Table) -> None:
    one, other = _run(0, 60.0), _run(0, 64.0)
    made = other.predictions() if other.predictions else None
    assert made is not None
    renamed = Predictions(np.char.add(made.ids, "x"), made.labels, made.logits)
    moved = SeedResult(0, "k", "done", other.metrics, lambda: renamed, clips=CLIPS)
    table = table_3b.model_copy(update={"claims": (_claim(">"),)})
    (found,) = judge_claims(table, Comparison(table, {"16": [moved], "0": [one]}, _noise(0.1)), {})
    assert found.reason.startswith("the rows were not evaluated on the same clips")


def test_rows_that_are_not_measured_yet_are_named(judged: Judge) -> None:
    (found,) = judged(_claim(">", "16", ("0", "8")), n16=HIGH)
    assert (found.state, found.reason, found.takes) == (
        "not measured yet",
        "no finished run: 0; 8",
        "run bqn-3b",
    )


def test_what_is_not_testable_here(table_3b: Table, make: SimpleNamespace) -> None:
    quoted = Row(label="TSN", quoted=True, printed={"top1": 19.9})
    claims = (_claim(">", "16", "TSN"), _claim(">", metric="top5"))
    table = table_3b.model_copy(update={"rows": (*table_3b.rows, quoted), "claims": claims})
    runs = {"16": [_run(0, 60.0)], "0": [_run(0, 50.0)]}
    found = judge_claims(table, Comparison(table, runs, _noise(0.1)), {})
    assert [f.state for f in found] == ["not testable here"] * 2
    assert found[0].reason == "quoted from other papers: TSN"
    assert "few classes" in found[1].reason
    other = make.table("da-6", "embedded")
    columns = {claim.metric for claim in other.claims}
    assert any("@" in column for column in columns)
    for judgement in judge_claims(other, Comparison(other, {}), {}):
        expected = "not testable here" if "@" in judgement.claim.metric else "not measured yet"
        assert judgement.state == expected


def test_costs_are_judged_exactly_and_their_sizes_by_digits(table_3b: Table) -> None:
    costs = {"16": CountedCost({"gmacs": 65.9, "mparams": 48.0}), "0": CountedCost({"gmacs": 33.1, "mparams": 48.0})}
    cases = [
        (_claim(">", metric="gmacs", factor="2"), "supported", [True]),
        (_claim("<", metric="gmacs"), "contradicted", []),
        (_claim(">", metric="gmacs", factor="3"), "supported", [False]),
        (_claim(">", metric="gmacs", by=">32.7"), "supported", [True]),
        (_claim("<", metric="mparams"), "contradicted", []),
        (_claim("<=", metric="mparams"), "supported", []),
        (_claim("<=", metric="gmacs", margin=32.9), "supported", []),
        (_claim("<=", metric="gmacs", margin=32.7), "contradicted", []),
        (_claim("monotone", metric="mparams"), "contradicted", []),
        (_claim("~", metric="mparams"), "supported", []),
        (_claim("~", metric="gmacs"), "contradicted", []),
    ]
    for claim, state, agree in cases:
        table = table_3b.model_copy(update={"claims": (claim,)})
        (found,) = judge_claims(table, Comparison(table, {}), costs)
        assert (found.state, [size.agrees for size in found.sizes]) == (state, agree)
    table = table_3b.model_copy(update={"claims": (_claim(">", metric="gmacs"),)})
    (found,) = judge_claims(table, Comparison(table, {}), {})
    assert (found.state, found.reason, found.takes) == ("not measured yet", "not counted: 16; 0", "cost bqn-3b")


def test_no_claim_is_judged_on_counts_in_doubt(table_3b: Table) -> None:
    sure, doubt = CountedCost({"gmacs": 65.9, "mparams": 48.0}), "not counted: fft_rfft 2x"
    costs = {"16": sure, "0": CountedCost({"gmacs": 33.1, "mparams": 47.0}, doubt=doubt, at_least=True)}
    for relation in (">", "<", "<=", "~", "monotone"):
        table = table_3b.model_copy(update={"claims": (_claim(relation, metric="gmacs"),)})
        (found,) = judge_claims(table, Comparison(table, {}), costs)
        assert (found.state, found.reason) == ("not testable here", f"0: {doubt}")
        assert "a rule for each operator" in found.takes
    claims = (_claim(">", metric="mparams"), _claim(">", "16", "8", metric="gmacs"))
    table = table_3b.model_copy(update={"claims": claims})
    found, other = judge_claims(table, Comparison(table, {}), costs | {"8": CountedCost({"gmacs": 60.0})})
    assert (found.state, other.state) == ("supported", "supported")


@pytest.mark.parametrize(
    ("larger", "shown"), [(1.0, "+0.50 G"), (0.5015, "+1.50M"), (0.5, "+0.00 G"), (0.4985, "-1.50M")]
)
def test_small_differences_of_counts_are_shown_in_a_unit_that_shows_them(
    larger: float, shown: str, table_3b: Table
) -> None:
    costs = {"16": CountedCost({"gmacs": larger}), "0": CountedCost({"gmacs": 0.5})}
    table = table_3b.model_copy(update={"claims": (_claim(">", metric="gmacs"),)})
    (found,) = judge_claims(table, Comparison(table, {}), costs)
    assert found.reason == f"counted difference {shown}"


def test_states_and_trials_reach_the_page_and_the_csv(judged: Judge, table_3b: Table) -> None:
    claims = (
        _claim(">", by="2.0", where="Section 4.3"),
        _claim(">=", "8", "4", id="c2"),
        _claim("~", "4", "8", id="c3"),
    )
    found = judged(*claims, n16=HIGH, n0=LOW, n4=LOW)
    text = verdict_text(found[0], table_3b)
    assert "✓ **supported** Top-1: 16 > 0 (as stated; Section 4.3)" in text
    assert "printed: +2.0; sampling error by correlation of the rows ±1.3 at 0" in " ".join(text.split())
    assert "size 2.0, as claimed (2.0)" in " ".join(text.split())
    frame = claims_frame(table_3b, found)
    assert frame["state"].tolist() == ["supported", "not measured yet", "not measured yet"]
    assert set(frame["state"]) <= set(STATES)
    assert frame.loc[0, "printed_sizes_agree"] == True  # noqa: E712 - a numpy bool
    assert frame.loc[0, "error_0"] == pytest.approx(1.29, abs=0.01)
