"""Small runs in this process: what a seed decides, what is taken up again, what is stored."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.cli.verify import verify
from benchmark.config.run import EvalConfig, RunConfig, TrainConfig
from benchmark.data.loader import ClipDataset
from benchmark.launch import job
from benchmark.launch.initial_weights import initial_network
from benchmark.launch.slurm import ClusterJob
from benchmark.launch.training import CHECKPOINT_SECONDS
from benchmark.launch.validation import Validation
from benchmark.plan import PlannedRun
from benchmark.runs.atomic import write_json
from benchmark.runs.behaviour import recorded
from benchmark.runs.directory import RunDir
from benchmark.runs.sharing import user_name
from benchmark.runs.validation import VALIDATE_EVERY, validation_curve
from tests.launch.small import SMALL

TWO_VIEWS, THREE_VIEWS = (SMALL.model_copy(update={"eval": EvalConfig(scale=36, clips=n)}) for n in (2, 3))


def predictions(run: RunDir) -> dict[str, np.ndarray]:
    with np.load(run.path / "predictions.npz") as stored:
        return {name: stored[name] for name in ("ids", "labels", "logits")}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_left_within_an_epoch_a_run_ends_as_one_that_was_not(
    optimizer: str, made: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = SMALL.train.model_copy(update={"optimizer": optimizer})
    config = SMALL.model_copy(update={"train": recipe})
    whole, read, item = made(config=config), [0], ClipDataset.__getitem__
    monkeypatch.setenv(CHECKPOINT_SECONDS, "1e-9")

    def leave_in_the_second_step(dataset: ClipDataset, index: int) -> Any:
        read[0] += type(dataset) is ClipDataset  # not those of the miniature
        if read[0] == 7:
            raise KeyboardInterrupt
        return item(dataset, index)

    monkeypatch.setattr(ClipDataset, "__getitem__", leave_in_the_second_step)
    with pytest.raises(KeyboardInterrupt):
        made("left", config)
    again = made("left", config)
    assert (again.env["resumes"], read[0]) == (1, 7 + 5 + 10 + 6)
    # The smaller batch that is left of 12 clips is not trained on.
    assert [json.loads(line)["clips"] for line in (again.path / "metrics.jsonl").read_text().splitlines()] == [10, 10]
    assert again.result == whole.result
    assert np.array_equal(predictions(again)["logits"], predictions(whole)["logits"])


def test_a_classifier_begins_with_the_spread_that_the_recipe_says() -> None:
    shape = (2, 3, 32, 32)
    wide = SMALL.model_copy(update={"train": SMALL.train.model_copy(update={"classifier_std": 0.5})})
    own, other = (initial_network(config, torch.device("cpu"), shape, shape) for config in (SMALL, wide))
    begun, spread = own.state_dict(), other.state_dict()
    assert spread["fc.weight"].std().item() == pytest.approx(0.5, rel=0.05)
    assert not spread["fc.bias"].any()
    assert all(torch.equal(begun[name], spread[name]) for name in begun if name != "fc.weight")


def test_a_job_leaves_what_is_done_or_taken_and_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done, taken = (RunDir(tmp_path / name) for name in ("done", "taken"))
    for run in (done, taken):
        run.prepare(RunConfig())
    write_json(done.path / "result.json", {"key": "done", "metrics": {}})
    taken.set_status(state="running", pid=1, host="node7", job="68_3", beat=time.time())
    with taken.claim():
        ClusterJob((str(done.path), str(taken.path)), "cpu", 0)()
    said = (
        f"{done.path} is done already\n{taken.path} is being run by job 68_3 on node7, of {user_name()}: left to it\n"
    )
    assert capsys.readouterr().out == said
    assert taken.status["host"] == "node7"


def test_another_seed_has_other_first_weights(made: Callable[..., RunDir]) -> None:
    still = SMALL.model_copy(update={"train": TrainConfig(epochs=1, warmup_epochs=0, batch_size=4, lr=1e-30)})
    runs = [made(config=still.model_copy(update={"seed": seed})) for seed in (0, 1)]
    weights = [torch.load(run.path / "checkpoint.pt", weights_only=True)["model"] for run in runs]
    assert not torch.equal(weights[0]["backbone.conv1.weight"], weights[1]["backbone.conv1.weight"])


def test_other_views_take_over_a_whole_training_on_the_same_clips(made: Callable[..., RunDir]) -> None:
    first = made()
    for name in ("half", "others"):
        shutil.copytree(first.path.parent, first.path.parent.with_name(name))
    assert [made(config=views).env["trained_by"] for views in (TWO_VIEWS, THREE_VIEWS)] == [first.key] * 2
    half, others = (RunDir(first.path.parent.with_name(name) / first.key) for name in ("half", "others"))
    (half.path / "metrics.jsonl").write_text((first.path / "metrics.jsonl").read_text().splitlines()[0])
    write_json(
        others.path / "env.json", {**others.env, "fingerprints": {**others.env["fingerprints"], "val": "others"}}
    )
    for name in ("half", "others"):
        assert "trained_by" not in made(name, TWO_VIEWS).env


def test_a_miniature_changes_nothing_of_its_run(
    made: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is verified while nothing differs; other views have one of their own where the training is by this code."""
    run = made()
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    planned = PlannedRun(run.key, SMALL, "paper")
    assert verify(planned, time.time()).text == "behaves as then: equal to the last bit"
    assert json.loads((run.path / "verified.json").read_text())["equal"]
    assert recorded(made(config=TWO_VIEWS)) is not None
    then = recorded(run)
    assert then is not None
    write_json(run.path / "behaviour.json", {**then, "exact": {**then["exact"], "order of clips": "another"}})
    otherwise = verify(planned, time.time())
    assert otherwise.comparison is not None
    assert [one.what for one in otherwise.comparison.beyond] == ["order of clips"]
    assert not (run.path / "verified.json").exists()
    assert recorded(made(config=THREE_VIEWS)) is None  # its network was trained by other code
    monkeypatch.setattr(job, "record_code_and_behaviour", lambda *arguments: None)
    without = made("without")
    assert recorded(without) is None
    assert without.result == run.result
    assert np.array_equal(predictions(without)["logits"], predictions(run)["logits"])
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "without"))
    assert "not recorded" in verify(planned, time.time()).text


def test_validations_on_the_way_change_nothing_and_are_there_after_a_stop(
    made: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SMALL.model_copy(update={"train": SMALL.train.model_copy(update={"epochs": 3})})
    plain = made(config=config)
    assert validation_curve(plain) == []
    monkeypatch.setenv(VALIDATE_EVERY, "1")
    validated = made("validated", config)
    assert [line["epoch"] for line in validation_curve(validated)] == [0, 1]
    assert validated.result == plain.result
    assert (predictions(validated)["logits"] == predictions(plain)["logits"]).all()
    deep = Validation.__call__

    def killed_in_the_first(self: Validation, epochs: int, model: torch.nn.Module) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Validation, "__call__", killed_in_the_first)
    with pytest.raises(KeyboardInterrupt):
        made("left", config)
    monkeypatch.setattr(Validation, "__call__", deep)
    again = made("left", config)
    assert validation_curve(again) == validation_curve(validated)
    assert again.result == plain.result
    monkeypatch.setenv(VALIDATE_EVERY, "often")
    with pytest.raises(ValueError, match="BENCHMARK_VALIDATE_EVERY=often is not a number of epochs"):
        made("refused", config)
