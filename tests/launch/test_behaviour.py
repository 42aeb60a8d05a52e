"""Miniatures: as recorded on another processor, without a trace in their run, and compared.

`python -m tests.launch.test_behaviour` records anew what small networks come to, where a change of theirs is meant.
`make mutants` tries mistakes on these records.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.config.models import BqnConfig, LateralConfig, MobileNetV2Config, TsmResNetConfig, VitConfig, X3dConfig
from benchmark.config.representations import PwtpConfig
from benchmark.config.run import DataConfig, EvalConfig, JointConfig, RunConfig, TrainConfig
from benchmark.launch.behaviour import miniature
from benchmark.runs.behaviour import TOLERANCES, compare
from benchmark.train.generators import generators, seed_all

RECORDS = Path(__file__).with_name("behaviours.json")
R18: dict[str, Any] = {"depth": 18, "width": 0.125}
DATA = DataConfig(dataset="something-v1", size=32, segments=4, flip="undirected")
ONE_VIEW = EvalConfig(scale=36)
DA = TsmResNetConfig(
    **R18, representation="dynamic_appearance", dynamic_appearance=PwtpConfig(frames=4, dims=2), dropout=0.2
)


def of(model: Any, data: dict[str, Any] | None = None, views: EvalConfig = ONE_VIEW, **train: Any) -> RunConfig:
    recipe = TrainConfig(lr=0.02, **train)
    return RunConfig(model=model, data=DATA.model_copy(update=data or {}), train=recipe, eval=views)


FLOW = {"dataset": "ucf101", "flip": True, "train_crop": "multiscale_three"}
DENSE = {"dataset": "kinetics400", "flip": True, "sampling": "dense", "train_crop": "jitter", "window": 48}
CONFIGS = {
    "tsm": of(TsmResNetConfig(**R18), views=EvalConfig(scale=36, clips=2, crops=3), param_groups="tsm"),
    "bqn": of(
        BqnConfig(**R18, num_bplc=8, lateral=LateralConfig(direction="bidirectional")),
        views=EvalConfig(scale=36, clips=3),
        nesterov=True,
        device_batch=64,
    ),
    "ms": of(TsmResNetConfig(**R18, insert=("motion_squeeze",), insert_after=("res3",)), param_groups="msnet"),
    "rnl": of(
        TsmResNetConfig(**R18, insert=("rnl",), insert_after=("res3", "res4")),
        partial_bn=True,
        param_groups="rnl",
        schedule="step",
    ),
    "mgda": of(DA, views=EvalConfig(scale=36, clips=2, average="probabilities"), joint=JointConfig(strategy="mgda")),
    "scheduler": of(DA, joint=JointConfig(strategy="scheduler"), clip_norm=None),
    "squeezed": of(TsmResNetConfig(**R18, representation="squeezed_image"), residual_weight=8.0),
    "x3d": of(X3dConfig(width=0.5), DENSE, EvalConfig(scale=36, clips=4, crops=3), schedule="step"),
    "vit": of(VitConfig(width=0.125, depth=2, patch_size=8), views=EvalConfig(scale=36, clips=3, placing="random")),
    "flow": of(
        TsmResNetConfig(**R18, representation="flow", temporal_shift=False, tim=True, gate="mem"),
        FLOW,
        EvalConfig(scale=36, crops=10),
        param_groups="tsm_flow",
    ),
    "mobilenet": of(MobileNetV2Config(width=0.25, representation="mbpm"), warmup_epochs=0),
}


def record(name: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    return miniature(CONFIGS[name], torch.device("cpu"))


@pytest.mark.parametrize("name", CONFIGS)
def test_small_networks_behave_as_recorded(name: str) -> None:
    """On whatever processor: none of their differences exceeds what rounding may do."""
    then = json.loads(RECORDS.read_text())[name]
    found = compare(then, record(name))
    assert not found.beyond, [f"{one.what}: {one.then} then, {one.now} now" for one in found.beyond]
    assert len(json.dumps(then, indent=1)) <= 4096


def test_of_adamw_momentum_and_decay_are_noted_as_well() -> None:
    recipe: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05, "param_groups": "decayed_weights"}
    found = miniature(of(TsmResNetConfig(**R18), **recipe), torch.device("cpu"))
    decayed = {"stem_conv": 0.05, "weight": 0.05, "classifier_weight": 0.05, "norm": 0, "classifier_bias": 0}
    assert found["decay"] == pytest.approx(decayed, rel=1e-4)
    assert all(length > 0 for length in found["momentum"].values())


def test_a_miniature_leaves_its_process_as_it_was() -> None:
    seed_all(1)
    before = generators(torch.device("cpu"))
    first = record("vit")
    after = generators(torch.device("cpu"))
    assert torch.equal(before.pop("torch"), after.pop("torch"))
    assert before == after
    assert compare(first, record("vit")).equal


def test_what_differs_is_named_beyond_its_tolerance_alone() -> None:
    then = json.loads(RECORDS.read_text())["mgda"]
    elsewhere = copy.deepcopy(then) | {"on": {**then["on"], "device": "another processor"}, "bits": {}}
    losses = [float(value) for value in then["training"]["loss"].split()]
    for share, alike in ((0.5, True), (2.0, False)):
        moved = losses[0] + share * TOLERANCES["loss"] * max(losses)
        elsewhere["training"]["loss"] = " ".join(f"{value:.6g}" for value in [moved, *losses[1:]])
        found = compare(then, elsewhere)
        assert (found.alike, [one.what for one in found.off]) == (alike, ["loss"])
        assert found.deviation == pytest.approx(share, rel=0.1)
    # On the same kind of processor not even rounding is excused.
    assert not compare(then, elsewhere | {"on": then["on"], "training": then["training"]}).alike
    fewer = elsewhere | {"logits": then["logits"][1:], "exact": {**then["exact"], "parameters": "1"}}
    assert {one.what for one in compare(then, fewer).beyond} == {"loss", "logits", "parameters"}


@pytest.mark.parametrize("damage", [{"format": 0}, {"training": None}, {"on": None}, {"logits": ["x"]}])
def test_a_damaged_record_is_said(damage: dict[str, Any]) -> None:
    then = json.loads(RECORDS.read_text())["vit"]
    with pytest.raises(ValueError, match=r"it is damaged|the form 0"):
        compare(then | damage, then)


if __name__ == "__main__":
    RECORDS.write_text(json.dumps({name: record(name) for name in CONFIGS}, indent=1) + "\n")
