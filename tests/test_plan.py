"""Run keys: equal for equal experiments, different for any setting that matters, blind to what does not."""

import subprocess
import sys

import pytest

from benchmark.config.models import BqnConfig, LateralConfig, TsmResNetConfig
from benchmark.config.representations import MbpmConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.plan import PlannedRun, estimate_seconds, make_plan, megapixels
from benchmark.runs.key import run_key, science, training_key
from benchmark.spec.load import load_table


def test_a_default_written_out_is_the_same_run() -> None:
    assert run_key(RunConfig()) == run_key(RunConfig(train=TrainConfig(momentum=0.9), data=DataConfig(segments=8)))


@pytest.mark.parametrize(
    "changed",
    [
        RunConfig(seed=1),
        RunConfig(train=TrainConfig(lr=0.1)),
        RunConfig(model=BqnConfig(num_bplc=8)),
        RunConfig(model=BqnConfig(mbpm=MbpmConfig(sigma=1.3))),
        RunConfig(model=BqnConfig(lateral=LateralConfig(mbpm=False))),
        RunConfig(model=TsmResNetConfig()),
        RunConfig(data=DataConfig(dataset="motionpairs")),
        RunConfig(eval=EvalConfig(clips=2)),
    ],
)
def test_every_setting_that_matters_changes_the_key(changed: RunConfig) -> None:
    assert run_key(changed) != run_key(RunConfig())


def test_a_network_of_defaults_only_is_not_taken_for_another() -> None:
    assert run_key(RunConfig(model=TsmResNetConfig())) != run_key(RunConfig(model=BqnConfig()))


def test_the_key_is_stable_across_processes_and_hash_seeds() -> None:
    code = "from benchmark.plan import run_key; from benchmark.config.run import RunConfig; print(run_key(RunConfig()))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert keys == {run_key(RunConfig())}


def test_science_holds_what_differs_and_the_data_version() -> None:
    assert science(RunConfig(train=TrainConfig(lr=0.1))) == {
        "model": {"name": "bqn"},
        "data": {"dataset": "something-v1"},
        "train": {"lr": 0.1},
        "seed": 0,
        "data_version": "1",
    }


def test_seeds_multiply_runs_and_stay_shared() -> None:
    tables = [load_table(name, seeds=(0, 1, 2)) for name in ("bqn-3a", "bqn-3b")]
    plan = make_plan(tables)
    assert (plan.wanted, len(plan.runs), plan.shared) == (21, 18, 3)
    assert {run.config.seed for run in plan.runs.values()} == {0, 1, 2}


def test_the_estimate_grows_with_pixels_and_epochs() -> None:
    small, large = RunConfig(model=BqnConfig(quiet_size=112)), RunConfig(model=BqnConfig())
    assert megapixels(small) / megapixels(large) == pytest.approx((1 + 0.25) / 2)
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


@pytest.mark.parametrize(
    "module", ["benchmark.spec.load", "benchmark.plan", "benchmark.report.render", "benchmark.report.collect",
               "benchmark.runs.directory", "benchmark.launch.local", "benchmark.launch.slurm", "benchmark.cli.main"]
)  # fmt: skip
def test_the_planning_and_reporting_side_imports_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
