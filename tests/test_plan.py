"""Plans: each distinct run once, and estimates of how long it takes."""

import pytest

from benchmark.config.models import BqnConfig
from benchmark.config.run import EvalConfig, RunConfig
from benchmark.plan import PlannedRun, estimate_seconds, make_plan, megapixels
from benchmark.runs.key import run_key, training_key
from benchmark.spec.load import load_table


def test_seeds_multiply_runs_and_stay_shared() -> None:
    tables = [load_table(name, seeds=(0, 1, 2)) for name in ("bqn-3a", "bqn-3b")]
    plan = make_plan(tables)
    assert (plan.wanted, len(plan.runs), plan.shared) == (21, 18, 3)
    assert {run.config.seed for run in plan.runs.values()} == {0, 1, 2}


def test_the_estimate_grows_with_pixels_and_epochs() -> None:
    small, large = RunConfig(model=BqnConfig(quiet_size=112)), RunConfig(model=BqnConfig())
    assert megapixels(small) / megapixels(large) == pytest.approx((1 + 0.25) / 2)
    clips = 3 * 86_017 * 50 + 11_522  # a step of training is a pass there and two back
    assert megapixels(large) == pytest.approx(clips * 2 * 8 * 224**2 / 1e6)
    assert estimate_seconds([PlannedRun("large", large, "paper")], 2.0) == {"large": 2 * megapixels(large)}


def test_runs_that_differ_in_their_views_train_once() -> None:
    one = RunConfig()
    several = [one.model_copy(update={"eval": EvalConfig(clips=clips, crops=3)}) for clips in (1, 2)]
    other = one.model_copy(update={"eval": EvalConfig(scale=320)})  # the training crops come from it
    assert {training_key(config) for config in several} == {training_key(one)} != {training_key(other)}
    assert len({run_key(config) for config in (one, *several)}) == 3
    runs = [PlannedRun(run_key(config), config, "paper") for config in (one, *several)]
    seconds = [value or 0.0 for value in estimate_seconds(runs, 1.0).values()]
    assert seconds[0] == megapixels(one)
    assert seconds[2] == 2 * seconds[1] == megapixels(several[1], trained=True) < megapixels(several[1]) / 10
    assert estimate_seconds(runs, 1.0, [training_key(one)])[runs[0].key] == megapixels(one, trained=True)


def test_the_plan_says_how_many_runs_are_evaluated_only() -> None:
    plan = make_plan([load_table("bqn-4")])
    views = [run.config.views for run in plan.runs.values() if run.config.model.name == "bqn"]
    assert plan.evaluated_only == 1
    assert sorted(views)[:2] == [1, 6]
