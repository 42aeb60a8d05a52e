"""FlowNet trained on exact flow: it learns, always the same, once, and leaves the caller alone."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.data.datasets import prepare
from benchmark.data.embedded.exact_flow import ground_truth
from benchmark.data.embedded.motionpairs import SETTINGS, Setting
from benchmark.data.embedded.render import render
from benchmark.data.errors import DataError
from benchmark.models.representations import flownet_training as flow_training
from benchmark.models.representations.flownet import FlowNet
from benchmark.models.representations.flownet_training import Recipe, generated_weights

FEW = Setting("motionpairs", train_clips=24, val_clips=8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHMARK_DATA", str(folder))
        prepare(FEW, workers=1)
    return folder


@pytest.fixture
def few(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small data set in the place of motionpairs; the folder where the weights will be, without any."""
    monkeypatch.setenv("BENCHMARK_DATA", str(root))
    monkeypatch.setitem(SETTINGS, "motionpairs", FEW)
    folder = root / "motionpairs" / FEW.digest
    for path in folder.glob("flownet*"):
        path.unlink()
    return folder


def short(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    for variant in ("s", "c"):
        monkeypatch.setitem(flow_training.RECIPES, variant, Recipe(steps, 2e-3, clips=24))


@pytest.mark.slow
def test_a_short_training_already_beats_no_motion(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short(monkeypatch, 200)
    state = generated_weights("s", 0.125)
    FlowNet("s", 6, 0.125).load_state_dict(state)
    (record,) = few.glob("flownet_s_0.125*.json")
    errors = json.loads(record.read_text())
    assert 0.5 < errors["of_zero_flow"] < 2
    assert errors["end_point_error"] < 0.9 * errors["of_zero_flow"]


@pytest.mark.parametrize("variant", ["s", "c"])
def test_the_weights_depend_on_nothing_of_the_caller_and_are_kept(
    few: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    short(monkeypatch, 6)
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    one = generated_weights(variant, 0.0625)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    (weights,) = few.glob(f"flownet_{variant}_0.0625*.pt")
    weights.unlink()
    torch.manual_seed(6)
    with torch.no_grad():
        two = generated_weights(variant, 0.0625)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert all(torch.isfinite(tensor).all() for tensor in one.values())
    written = weights.stat().st_mtime_ns
    three = generated_weights(variant, 0.0625)
    assert weights.stat().st_mtime_ns == written
    assert all(torch.equal(one[name], three[name]) for name in one)


def test_of_two_that_ask_at_once_one_trains(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []

    def train(variant: str, *_: Any) -> tuple[dict[str, Tensor], dict[str, float]]:
        trained.append(variant)
        time.sleep(0.3)
        return {"x": torch.ones(1)}, {}

    monkeypatch.setattr(flow_training, "_train", train)
    askers = [threading.Thread(target=generated_weights, args=("s", 0.5)) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert trained == ["s"]
    generated_weights("c", 0.5)
    generated_weights("s", 0.25)
    assert trained == ["s", "c", "s"]


def test_a_failed_training_leaves_no_weights(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow_training, "_train", train)
    with pytest.raises(KeyboardInterrupt):
        generated_weights("s", 0.5)
    assert not list(few.glob("flownet*.pt"))
    monkeypatch.setattr(flow_training, "_train", lambda *_: ({"x": torch.ones(1)}, {}))
    assert generated_weights("s", 0.5).keys() == {"x"}


def test_without_the_data_set_the_message_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path))
    with pytest.raises(DataError, match="run: python -m benchmark data prepare motionpairs"):
        generated_weights("s", 0.125)


def fetched(second: Tensor, flow: Tensor) -> Tensor:
    """The second frame at the places that the flow leads to."""
    side = second.shape[-1]
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    places = torch.stack([columns + flow[:, 0], rows + flow[:, 1]], dim=-1) * 2 / (side - 1) - 1
    return F.grid_sample(second, places, align_corners=True, padding_mode="border")


def test_turned_frames_are_explained_by_the_turned_flow() -> None:
    frames = torch.from_numpy(render(FEW, "train", 7)[:, 4:60, 12:68].copy()).permute(0, 3, 1, 2).float()
    flow = torch.from_numpy(ground_truth(FEW, "train", 7)[:, 4:60, 12:68].copy()).permute(0, 3, 1, 2)
    whole = (fetched(frames[1:], flow) - frames[:-1]).abs().mean()
    assert whole < 0.6 * (frames[1:] - frames[:-1]).abs().mean()
    rng, seen = np.random.default_rng(0), set()
    for _ in range(80):
        first, second, turned = flow_training._turned(frames[:-1], frames[1:], flow, rng)
        assert (fetched(second, turned) - first).abs().mean() == pytest.approx(float(whole), rel=1e-3)
        seen.add(first[0, 0, :3, :3].numpy().tobytes())
    assert len(seen) == 8


@pytest.mark.parametrize("variant", ["s", "c"])
def test_scaled_layers_give_unit_variance_one_after_the_other(variant: str) -> None:
    torch.manual_seed(0)
    network = FlowNet(variant, 2, 0.125, trainable=True)
    first, second = torch.randn(2, 4, 3, 56, 56)
    flow_training._scale_layers(network, first, second)
    deviations: dict[str, float] = {}

    def watch(name: str) -> Any:
        def look(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            deviations.setdefault(name, float(output.std()))

        return look

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(watch(name))
    with torch.no_grad():
        network.estimate(first, second)
    for name, deviation in deviations.items():
        assert deviation == pytest.approx(0.1 if "flow" in name else 1.0, rel=1e-3), name
