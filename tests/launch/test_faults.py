"""Networks of the user's own with one fault each: told before training where it can be, and never a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config.models import CustomConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.evaluate.views import NonFiniteError
from benchmark.launch.initial_weights import initial_network
from benchmark.launch.job import execute
from benchmark.models.check import NetworkError
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.train.finite import DivergedError

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, kind="plain"):
        super().__init__()
        self.kind, self.calls = kind, 0
        classes = {"more": 400, "fewer": num_classes - 1}.get(kind, num_classes)
        self.conv, self.middle, self.fc = nn.Conv2d(3, 8, 3, 4), nn.Linear(8, 8), nn.Linear(8, classes)
        if kind == "lazy":
            self.fc = nn.LazyLinear(classes)
        elif kind == "flat":
            self.fc = nn.LazyLinear(classes)
        elif kind == "tied":
            self.other = nn.Linear(8, 8)
            self.other.weight = self.middle.weight
        elif kind == "frozen":
            self.requires_grad_(False)
        elif kind == "mask":
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        elif kind == "statistics":
            self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        kind, clips = self.kind, x.shape[0]
        maps = self.conv(x.flatten(0, 1)).relu()
        if kind == "flat":
            return self.fc(maps.flatten(1)).unflatten(0, (clips, -1)).mean(1)
        y = self.middle(maps.mean((2, 3)))
        if kind == "tied":
            y = self.other(y)
        if kind == "frames in clips":
            return self.fc(y)
        y = y.unflatten(0, (clips, -1))
        if kind == "per frame":
            return self.fc(y)
        y = y.mean(1)
        if kind == "last gradient" and self.training and self.calls == 6:
            y = y + (y * 0).sqrt()
        if kind == "evaluation" and not self.training:
            y = y / 0
        if kind == "some nan" and not self.training:
            y = torch.where(torch.arange(clips)[:, None] == 0, torch.nan, y)
        if kind == "statistics" and self.training:
            self.mean += torch.inf
        out = self.fc(y)
        if kind == "some inf" and not self.training:
            out[0, 3] = torch.inf
        return {
            "tuple": (out, y), "dictionary": {"logits": out}, "squeezed": out.squeeze(), "whole": out.round().long()
        }.get(kind, out)
"""

Run = Callable[..., RunDir]


@pytest.fixture
def config(ucf101: None, tmp_path: Path) -> Callable[..., RunConfig]:
    """The config of a network of a kind, on a data set of which everything is here."""
    (tmp_path / "net.py").write_text(NETWORK)

    def make(kind: str = "plain", scale: int = 36) -> RunConfig:
        return RunConfig(
            model=CustomConfig(entry=f"{tmp_path}/net.py:Net", options={"kind": kind}, frames_per_segment=1),
            data=DataConfig(dataset="ucf101", size=32, segments=2),
            train=TrainConfig(epochs=2, warmup_epochs=0, batch_size=4, lr=0.05, clip_norm=None),
            eval=EvalConfig(scale=scale),
        )

    return make


def run_of(config: RunConfig, folder: Path) -> RunDir:
    run = RunDir(folder / run_key(config))
    run.prepare(config)
    return run


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("more", r"400 outputs a clip where the data set has 101 classes .* a tensor \(2, 101\)"),
        ("fewer", r"100 outputs a clip where the data set has 101 classes .* a tensor \(2, 101\)"),
        ("tuple", r"gives a tuple of 2 for 2 clips \(2, 2, 3, 32, 32\); expected are logits \(clips, classes\)"),
        ("dictionary", r"gives a dict with the keys logits for 2 clips"),
        ("per frame", r"gives a tensor \(2, 2, 101\), as if for every frame, whose mean it is to take, for 2 clips"),
        ("frames in clips", r"gives a tensor \(4, 101\), as if for every frame"),
        ("squeezed", r"gives a tensor \(101,\) for 1 clip \(1, 2, 3, 32, 32\)"),
        ("whole", r"gives a tensor of torch.int64"),
        ("frozen", "nothing to train: expected is a parameter with requires_grad, 6 have it off"),
    ],
)
def test_what_is_expected_of_a_network_is_told_before_it_trains(
    config: Callable[..., RunConfig], kind: str, told: str
) -> None:
    with pytest.raises(NetworkError, match=told):
        initial_network(config(kind), torch.device("cpu"), (2, 3, 32, 32), (2, 3, 32, 32))


def test_a_layer_that_fits_training_clips_alone_fails_before_it_trains(config: Callable[..., RunConfig]) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        initial_network(config("flat"), torch.device("cpu"), (2, 3, 32, 32), (2, 3, 48, 48))
    assert caught.value.__notes__[0].endswith("before training, of 1 clips (clips, T, C, H, W) (1, 2, 3, 48, 48)")


def test_a_network_of_the_users_own_is_not_called_before_it_trains(config: Callable[..., RunConfig]) -> None:
    for kind in ("plain", "lazy"):
        model: Any = initial_network(config(kind), torch.device("cpu"), (2, 3, 32, 32), (2, 3, 32, 32))
        assert (model.calls, model.training, model.fc.weight.shape) == (0, True, (101, 8))


@pytest.mark.parametrize("kind", ["lazy", "tied", "mask"])
def test_lazy_layers_tied_weights_and_masks_train(config: Callable[..., RunConfig], tmp_path: Path, kind: str) -> None:
    runs = [run_of(config(kind), tmp_path / name) for name in ("one", "two")]
    results = [execute(run, device="cpu") for run in runs]
    assert results[0] == results[1]
    assert results[0]["non_finite_clips"] == 0


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("last gradient", DivergedError, "the gradient is (nan|inf) at epoch 2, step 3, lr"),
        ("statistics", DivergedError, "1 tensors of the network are not finite after epoch 1: mean"),
        ("evaluation", NonFiniteError, "NaN or infinite for all 6 clips that could be read, in evaluation mode"),
    ],
)
def test_what_is_not_finite_ends_in_no_result(
    config: Callable[..., RunConfig], tmp_path: Path, kind: str, error: type[Exception], told: str
) -> None:
    run = run_of(config(kind), tmp_path)
    with pytest.raises(error, match=told):
        execute(run, device="cpu")
    assert (run.result, run.state) == (None, "failed")
    assert error.__name__ in run.status["error"]


@pytest.mark.parametrize("kind", ["some nan", "some inf"])
def test_clips_without_finite_logits_are_counted_and_wrong(
    config: Callable[..., RunConfig], tmp_path: Path, kind: str
) -> None:
    run = run_of(config(kind), tmp_path)
    result = execute(run, device="cpu")
    assert (result["non_finite_clips"], result["unreadable_clips"]) == (2, 0)  # the first of each batch
    with np.load(run.path / "predictions.npz") as stored:
        assert int(np.isnan(stored["logits"]).all(1).sum()) == 2
