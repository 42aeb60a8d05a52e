"""Run keys: equal for equal experiments, different for any setting that matters, blind to what does not."""

import subprocess
import sys
from dataclasses import replace

import pytest

from benchmark.config.datasets import DATASETS
from benchmark.config.models import BqnConfig, LateralConfig, TsmResNetConfig
from benchmark.config.representations import MbpmConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.runs.key import keyed_settings, run_key, start_key, start_name, training_key, with_start_key


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
    imports = "from benchmark.config.run import RunConfig; from benchmark.runs.key import run_key"
    code = f"{imports}; print(run_key(RunConfig()))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert keys == {run_key(RunConfig())}


def test_the_key_holds_what_differs_and_the_data_version() -> None:
    assert keyed_settings(RunConfig(train=TrainConfig(lr=0.1))) == {
        "model": {"name": "bqn"},
        "data": {"dataset": "something-v1"},
        "train": {"lr": 0.1},
        "seed": 0,
        "data_version": "1",
    }


def test_what_a_run_starts_from_is_in_its_key_by_what_it_trains_not_by_its_file() -> None:
    first = RunConfig(data=DataConfig(dataset="kinetics400"), eval=EvalConfig(clips=10))
    plain, renamed = (RunConfig(train=TrainConfig(start_from=name)) for name in ("its_recipe", "renamed"))
    keyed = [with_start_key(config, first) for config in (plain, renamed)]
    assert [start_name(config) for config in keyed] == ["its_recipe", "renamed"]
    assert {start_key(config) for config in keyed} == {training_key(first)}
    assert len({run_key(config) for config in keyed}) == 1
    other = with_start_key(plain, first.model_copy(update={"seed": 1}))
    assert run_key(other) != run_key(keyed[0])
    assert (start_key(first), start_name(first)) == (None, "")


def test_another_version_of_the_data_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_key(RunConfig())
    monkeypatch.setitem(DATASETS.built_in, "something-v1", replace(DATASETS["something-v1"], version="2"))
    assert run_key(RunConfig()) != before
