"""A run that starts from another one's weights: planned with it, after it, and from these very weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.cli import running
from benchmark.cli.main import main
from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import DataConfig, RunConfig, TrainConfig
from benchmark.config.source import SpecError
from benchmark.data.datasets import prepare
from benchmark.launch import local
from benchmark.launch.job import execute
from benchmark.launch.local import Outcome, make_slots, run_all
from benchmark.launch.pending import is_to_do
from benchmark.models.build import build_model
from benchmark.models.weights import PretrainedWeightsError, take_over
from benchmark.plan import Plan, make_plan
from benchmark.report.collect import collect
from benchmark.runs.atomic import write_json
from benchmark.runs.code import Executed, digests
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import StaleRunError
from benchmark.runs.key import run_key, start_key, training_key
from benchmark.runs.metrics import all_metrics
from benchmark.runs.trainings import find_training
from benchmark.spec.load import load_table
from tests.data.trees import ucf_tree
from tests.launch.conftest import SideBySide

BASES = {
    "network/small": "model: {name: tsm_resnet, depth: 18, width: 0.125}\ndata: {size: 32, segments: 2}\n",
    "recipe/first": "model: {dropout: 0.5}\ntrain: {epochs: 2, warmup_epochs: 0, batch_size: 4, lr: 0.05}\n",
    "data/split2": "data: {dataset: ucf101-2, flip: true}\neval: {scale: 36}\n",
}
TABLE = """\
paper: own
table: tuned
caption: A network of split 2, trained on with split 1.
dataset: ucf101
columns: [top1]
base: [network/small, recipe/first, data/split2]
rows:
  - label: tuned
    set: {data.dataset: ucf101, train: {start_from: [recipe/first, data/split2], lr: 0.01, partial_bn: true}}
  - {label: scratch, set: {data.dataset: ucf101}}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    ucf_tree(tmp_path / "ucf")
    for name, value in (("DATA", "made"), ("RUNS", "runs"), ("RESULTS", "results"), ("UCF101", "ucf"), ("TABLES", "t")):
        monkeypatch.setenv(f"BENCHMARK_{name}", str(tmp_path / value))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("bases/network", "bases/recipe", "bases/data", "protocols"):
        (tmp_path / "t" / name).mkdir(parents=True)
    for name, text in BASES.items():
        (tmp_path / f"t/bases/{name}.yaml").write_text(text)
    (tmp_path / "t/protocols/paper.yaml").write_text("title: as written\nseeds: [0, 1]\n")
    path = tmp_path / "tuned.yaml"
    path.write_text(TABLE)
    threads = torch.get_num_threads()
    yield path
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def test_the_first_run_is_planned_once_and_named_in_the_keys_of_the_others(spec: Path) -> None:
    table = load_table(str(spec), "paper")
    plan = make_plan([table])
    first, *others = plan.runs.values()
    assert first.config.data.dataset == "ucf101-2"
    assert first.used_by == [("own-tuned", "tuned starts from it")]
    name = f"recipe/first + data/split2@{first.key}"
    assert [run.config.train.start_from for run in others] == [name] * 2 + [None] * 2
    assert [start_key(run.config) for run in others] == [first.key] * 2 + [None] * 2
    assert plan.wanted == len(plan.runs) == 5

    # Its views are no part of what starts from it, nor is the name of its file.
    bases = spec.parent / "t/bases"
    (bases / "data/other.yaml").write_text("base: data/split2\neval: {clips: 2, average: probabilities}\n")
    spec.write_text(TABLE.replace("start_from: [recipe/first, data/split2]", "start_from: [data/other, recipe/first]"))
    renamed = make_plan([load_table(str(spec), "paper")])
    assert [run.key for run in renamed.runs.values()][1:] == [run.key for run in others]
    spec.write_text(TABLE)

    # Another first training is another experiment.
    (bases / "recipe/first.yaml").write_text(BASES["recipe/first"].replace("epochs: 2", "epochs: 3"))
    changed = [run.key for run in make_plan([load_table(str(spec), "paper")]).runs.values()]
    assert len({*changed, *plan.runs}) == 10


def test_a_first_run_that_is_a_row_of_its_own_too_is_there_for_its_cell(spec: Path) -> None:
    assert next(run.for_its_weights for run in make_plan([load_table(str(spec), "paper")]).runs.values())
    spec.write_text(TABLE + "  - {label: first}\n")
    plan = make_plan([load_table(str(spec), "paper")])
    assert (plan.wanted, len(plan.runs)) == (7, 6)
    assert not any(run.for_its_weights for run in plan.runs.values())


def test_the_first_run_has_the_rows_network_and_the_named_recipe_and_data(spec: Path) -> None:
    row = "lr: 0.01, partial_bn: true}, model.depth: 50, data.segments: 4, eval.clips: 2, model.dropout: 0.1"
    spec.write_text(TABLE.replace("lr: 0.01, partial_bn: true}", row))
    first, tuned = list(make_plan([load_table(str(spec), "paper", (0,))]).runs.values())[:2]
    assert first.config.model == tuned.config.model.model_copy(update={"dropout": 0.5})
    assert (first.config.data.segments, first.config.eval.clips, tuned.config.eval.clips) == (4, 1, 2)
    assert (first.config.train.lr, first.config.data.dataset, first.config.train.start_from) == (0.05, "ucf101-2", None)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("recipe/first, data/split2], lr", "recipe/fist], lr", r"no base 'fist' in .*Did you mean 'first'\?"),
        (
            "[recipe/first, data/split2], lr",
            "network/small, lr",
            "the run that comes first is of the row's own network",
        ),
        ("[recipe/first, data/split2], lr", "recipe/again, lr", "the run that comes first cannot start from another"),
        (
            "lr: 0.01",
            "lr: 0.01}, model: {width: 1.0, pretrained: imagenet",
            r"start_from and model\.pretrained both give",
        ),
    ],
)
def test_what_cannot_come_first_is_noticed_before_anything_runs(spec: Path, old: str, new: str, expected: str) -> None:
    (spec.parent / "t/bases/recipe/again.yaml").write_text("base: recipe/first\ntrain: {start_from: recipe/first}\n")
    assert old in TABLE
    spec.write_text(TABLE.replace(old, new).replace(", partial_bn: true", ""))
    with pytest.raises(SpecError, match=r"tuned\.yaml:[89]: .*" + expected):
        load_table(str(spec), "paper")


def test_all_but_the_classifier_is_taken_over() -> None:
    config = TsmResNetConfig(depth=18, width=0.125)
    torch.manual_seed(0)
    of_174, of_51 = (build_model(config, DataConfig(dataset=name)) for name in ("something-v1", "hmdb51"))
    before = {name: tensor.clone() for name, tensor in of_51.state_dict().items()}
    take_over(of_51, of_174.state_dict(), "run x")
    for name, tensor in of_51.state_dict().items():
        same = before[name] if "fc" in name.split(".") else of_174.state_dict()[name]
        assert torch.equal(tensor, same), name
    other = build_model(TsmResNetConfig(depth=50, width=0.125), DataConfig())
    with pytest.raises(PretrainedWeightsError, match=r"weights of run x do not fit this network: \d+ differ \("):
        take_over(of_51, other.state_dict(), "run x")


def test_the_weights_are_those_of_the_run_that_came_first(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prepare("ucf101", workers=1)
    prepare("ucf101-2", workers=1)
    plan = make_plan([load_table(str(spec), "paper", (0,))])
    first, tuned, _ = (RunDir.of(key) for key in plan.runs)
    tuned.prepare(plan.runs[tuned.key].config)
    with pytest.raises(
        PretrainedWeightsError, match=rf"starts from recipe/first \+ data/split2, which is not trained in .*{first.key}"
    ):
        execute(tuned, device="cpu")
    assert not (tuned.path / "env.json").exists()

    first.prepare(plan.runs[first.key].config)
    execute(first, device="cpu")
    result = execute(tuned, device="cpu")
    assert f"starting from recipe/first + data/split2, {first.path}" in capfd.readouterr().out
    assert result["epochs"] == 2
    weights = [torch.load(run.path / "checkpoint.pt", weights_only=True)["model"] for run in (first, tuned)]
    # Frozen normalisations keep what they have learned before: nothing else would have left them at these values.
    name = "backbone.layer4.1.bn2.running_var"
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], torch.ones_like(weights[0][name]))

    # Half of a training is none: another run that trains alike may be at it.
    (tuned.path / "result.json").unlink()
    (tuned.path / "checkpoint.pt").rename(tuned.path / "kept.pt")
    (first.path / "checkpoint.pt").rename(first.path / "whole.pt")
    half = torch.load(first.path / "whole.pt", weights_only=True)
    torch.save({**half, "history": half["history"][:1]}, first.path / "checkpoint.pt")
    with pytest.raises(PretrainedWeightsError, match="not trained"):
        execute(tuned, device="cpu")
    (first.path / "whole.pt").rename(first.path / "checkpoint.pt")
    (tuned.path / "kept.pt").rename(tuned.path / "checkpoint.pt")

    # What differs from it in its views alone takes over its training, and needs the first run no more.
    config = plan.runs[tuned.key].config
    views = config.model_copy(update={"eval": config.eval.model_copy(update={"clips": 2})})
    sibling = RunDir.of(run_key(views))
    sibling.prepare(views)
    first.path.rename(first.path.with_name("away"))
    (tuned.path / "result.json").write_text("{}")
    assert execute(sibling, device="cpu")["epochs"] == 2
    assert sibling.env["trained_by"] == tuned.key
    assert tuned.env["fingerprints"]["start"] == RunDir(first.path.with_name("away")).env["weights"]
    (tuned.path / "result.json").unlink()

    # A folder that is copied here under its key is found, whether or not it was noted here.
    shutil.rmtree(first.path.parent / ".trained")
    assert find_training(tuned, training_key(plan.runs[first.key].config)) == RunDir(first.path.with_name("away"))
    first.path.with_name("away").rename(first.path)

    # Trained anew it is another network; a run that began with the old one does not go on with the new.
    (tuned.path / "checkpoint.pt").unlink()
    state = torch.load(first.path / "checkpoint.pt", weights_only=True)
    state["model"]["backbone.layer4.1.bn2.weight"] += 1
    torch.save(state, first.path / "checkpoint.pt")
    with pytest.raises(StaleRunError, match="or the weights that it starts from"):
        execute(tuned, device="cpu")


def test_it_waits_for_the_run_that_it_starts_from(side_by_side: SideBySide) -> None:
    first, later = RunConfig(train=TrainConfig(epochs=9)), RunConfig(train=TrainConfig(epochs=8))
    key = run_key(first)
    tuned = RunConfig(train=TrainConfig(start_from=f"first@{key}"))
    together = side_by_side({"tuned": tuned, key: first, "later": later})
    assert any({key, "later"} <= names for names in together)
    assert not any({"tuned", key} <= names for names in together)


@pytest.mark.parametrize("left", ["elsewhere", "failed"])
def test_where_the_first_run_does_not_end_here_the_others_say_so(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to a queue, those that start from it wait for it there; a failed one fails them, too."""
    first = RunConfig(train=TrainConfig(epochs=9))
    key = run_key(first)
    runs = [RunDir(tmp_path / name) for name in (key, "tuned")]
    for run, config in zip(runs, (first, RunConfig(train=TrainConfig(start_from=f"first@{key}"))), strict=True):
        run.prepare(config)
    monkeypatch.setattr(local, "JOB", [sys.executable, "-c", "import sys; sys.exit(1)"])
    queued = runs[:1] if left == "elsewhere" else []
    outcome = run_all(runs, make_slots(2, "cpu"), lambda active, _: None, queued)
    assert getattr(outcome, left) == runs
    assert outcome.ended == 2


def test_data_of_a_run_that_is_done_need_not_be_here(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with UCF101 alone, to which a network trained on Kinetics-400 was copied."""
    plan = make_plan([load_table(str(spec), "paper", (0,))])
    first = RunDir.of(next(iter(plan.runs)))
    first.prepare(plan.runs[first.key].config)
    (first.path / "checkpoint.pt").touch()
    asked: list[str] = []
    monkeypatch.setattr("benchmark.data.datasets.open_split", lambda name, split: asked.append(name))
    monkeypatch.setattr(running, "count", lambda *_: True)

    def train(made: Plan, todo: list[str], *_: object) -> Outcome:
        asked.extend(todo)
        return Outcome()

    monkeypatch.setattr(running, "_train", train)
    assert main(["run", str(spec), "--protocol", "paper", "--seeds", "1"]) == 0
    assert asked[0] == "ucf101"
    assert first.key not in asked
    assert len(asked) == 3  # one data set, and the two runs of rows


def test_the_first_run_is_not_repeated_for_runs_that_have_begun(spec: Path) -> None:
    plan = make_plan([load_table(str(spec), "paper", (0,))])
    first, tuned, _ = plan.runs.values()
    assert first.continued_by == [tuned.key]
    assert is_to_do(first)
    directory = RunDir.of(tuned.key)
    directory.prepare(tuned.config)
    (directory.path / "checkpoint.pt").touch()
    assert not is_to_do(first)
    assert is_to_do(tuned)


def test_status_shows_the_first_run_and_what_waits_for_it(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(spec), "--protocol", "paper", "--seeds", "1", "--json"]) == 0
    first, tuned, scratch = json.loads(capsys.readouterr().out)
    assert (first["row"], first["state"], first["error"]) == ("tuned starts from it", "pending", None)
    assert (tuned["row"], tuned["error"]) == ("tuned", f"waits for {first['key']}")
    assert scratch["error"] is None


def finish(run: RunDir, config: RunConfig) -> None:
    """What an evaluated run leaves, of two clips."""
    logits = np.zeros((2, config.data.num_classes), dtype=np.float32)
    labels = np.zeros(2, dtype=np.int64)
    np.savez(run.path / "predictions.npz", ids=np.array(["a", "b"]), labels=labels, logits=logits)
    write_json(run.path / "result.json", {"key": run.key, "metrics": all_metrics(logits, labels), "num_clips": 2})


def test_a_row_from_other_weights_than_there_are_now_says_so(spec: Path) -> None:
    table = load_table(str(spec), "paper", (0,))
    first, tuned, _ = make_plan([table]).runs.values()
    for run, env in ((first, {"weights": "old"}), (tuned, {"fingerprints": {"start": "old"}})):
        directory = RunDir.of(run.key)
        directory.prepare(run.config)
        (directory.path / "checkpoint.pt").touch()
        (directory.path / "env.json").write_text(json.dumps(env))
        used = [Executed("benchmark/train/loop.py", "train_epoch", 0)]
        (directory.path / "code.json").write_text(json.dumps({"symbols": digests(used)}))
        finish(directory, run.config)
    assert collect(table)["tuned"][0].note == ""
    (RunDir.of(first.key).path / "env.json").write_text('{"weights": "new"}')
    note = collect(table)["tuned"][0].note
    assert note == f"started from other weights than {RunDir.of(first.key).path} has now"
    assert is_to_do(tuned, again=True)


def test_submitting_leaves_it_out_until_then(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[str]] = []

    def submit_runs(runs: list[RunDir], cluster: str) -> list[str]:
        sent.append([run.key for run in runs])
        return ["7"]

    monkeypatch.setattr("benchmark.launch.slurm.submit", submit_runs)
    monkeypatch.setattr("benchmark.cli.running.prepare_data", lambda made: None)
    arguments = ["submit", str(spec), "--protocol", "paper", "--cluster", "dev"]
    assert main(arguments) == 0
    assert "2 of the runs wait for a training that comes first" in capsys.readouterr().out
    planned = make_plan([load_table(str(spec), "paper")]).runs
    first, *tuned, one, other = planned
    assert sorted(sent.pop()) == sorted([first, one, other])
    finish(RunDir.of(first), planned[first].config)
    assert main(arguments) == 0
    assert sorted(sent.pop()) == sorted([*tuned, one, other])


@pytest.mark.slow
def test_killed_before_its_first_checkpoint_it_starts_from_the_same_weights(spec: Path) -> None:
    prepare("ucf101", workers=1)
    prepare("ucf101-2", workers=1)
    plan = make_plan([load_table(str(spec), "paper", (0,))])
    first, tuned, _ = (RunDir.of(key) for key in plan.runs)
    for run in (first, tuned):
        run.prepare(plan.runs[run.key].config)
    command = [sys.executable, "-m", "benchmark.launch.job"]
    assert subprocess.run([*command, str(first.path), "cpu"], check=False).returncode == 0
    process = subprocess.Popen([*command, str(tuned.path), "cpu"])
    while not (tuned.path / "env.json").exists():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = execute(tuned, device="cpu")
    for name in ("result.json", "checkpoint.pt", "env.json", "metrics.jsonl"):
        (tuned.path / name).unlink()
    assert execute(tuned, device="cpu") == killed
