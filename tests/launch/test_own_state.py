"""Networks that draw random numbers or keep state in ways of their own, left at some step and started again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config.models import CustomConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.data.loader import ClipDataset
from benchmark.launch.job import execute
from benchmark.launch.training import CHECKPOINT_SECONDS
from benchmark.models.check import NetworkError
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.train.generators import generators, seed_all, set_generators

NETWORK = """
import random
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, num_classes, kind):
        super().__init__()
        self.kind, self.calls, self.scale = kind, 0, random.random() + np.random.rand()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 4), nn.Linear(8, num_classes)
        self.norm = nn.BatchNorm2d(8, momentum=None)
        self.generator = torch.Generator().manual_seed(0)
        self.register_buffer("mean", torch.zeros(8), persistent="gone" not in kind)

    def forward(self, x):
        kind = self.kind
        self.calls += self.training
        x = self.norm(self.conv(x.flatten(0, 1))).relu().mean((2, 3)).unflatten(0, (x.shape[0], -1)).mean(1)
        if kind == "dropout in evaluation":
            x = F.dropout(x, 0.5, True)
        if kind == "global generators":
            x = x * random.random() * torch.as_tensor(np.random.rand(8)).float()
        if "mean" in kind:
            if self.training:
                self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
            x = x - self.mean
        if "counter" in kind:
            x = x / (1 + self.calls)
        if "generator of" in kind and self.training:
            x = x * torch.rand(8, generator=self.generator)
        return self.fc(x * self.scale)

class Saved(Net):
    def __init__(self, num_classes, kind):
        super().__init__(num_classes, kind)

    def get_extra_state(self):
        return {"calls": self.calls, "generator": self.generator.get_state()}

    def set_extra_state(self, state):
        self.calls = state["calls"]
        self.generator.set_state(state["generator"].cpu())

class Unloadable(Net):
    def __init__(self, num_classes, kind):
        super().__init__(num_classes, kind)

    def get_extra_state(self):
        return np.random.default_rng(0)

    def set_extra_state(self, state):
        pass
"""

Make = Callable[..., RunDir]


@pytest.fixture
def made(ucf101: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Brings a run of a network to its end; with `leave_at`, it is left as that clip is read."""
    (tmp_path / "net.py").write_text(NETWORK)
    monkeypatch.setenv(CHECKPOINT_SECONDS, "1e-9")
    item = ClipDataset.__getitem__

    def make(folder: str, name: str, kind: str, leave_at: int | None = None) -> RunDir:
        config = RunConfig(
            model=CustomConfig(entry=f"{tmp_path}/net.py:{name}", options={"kind": kind}, frames_per_segment=1),
            data=DataConfig(dataset="ucf101", size=32, segments=2),
            train=TrainConfig(epochs=2, warmup_epochs=0, batch_size=4, lr=0.05),
            eval=EvalConfig(scale=36),
        )
        run = RunDir(tmp_path / folder / run_key(config))
        run.prepare(config)
        read = 0

        def leave(dataset: ClipDataset, index: int) -> Any:
            nonlocal read
            read += type(dataset) is ClipDataset  # not those of the miniature
            if read == leave_at:
                raise KeyboardInterrupt
            return item(dataset, index)

        monkeypatch.setattr(ClipDataset, "__getitem__", leave)
        execute(run, device="cpu")
        return run

    return make


RESUMED = (
    *(("Net", kind) for kind in ("dropout in evaluation", "global generators", "mean")),
    *(("Saved", kind) for kind in ("counter", "generator of its own")),
)
REFUSED = tuple(("Net", kind) for kind in ("mean that is gone", "counter", "generator of its own"))


@pytest.mark.parametrize("leave_at", [9, 22, 26])
@pytest.mark.parametrize(("name", "kind"), [*RESUMED, *REFUSED])
def test_left_at_some_step_the_run_ends_as_one_that_was_not(
    made: Make, capsys: pytest.CaptureFixture[str], name: str, kind: str, leave_at: int
) -> None:
    """Within the first epoch, within the second, and within the evaluation."""
    whole = made("whole", name, kind)
    refused = (name, kind) in REFUSED
    assert ("if this run is stopped, its training starts anew" in capsys.readouterr().out) == refused
    with pytest.raises(KeyboardInterrupt):
        made("left", name, kind, leave_at)
    assert (whole.path.parents[1] / "left" / whole.key / "checkpoint.pt").exists()
    capsys.readouterr()
    again = made("left", name, kind)
    told = capsys.readouterr().out
    assert ("get_extra_state and set_extra_state" in told and told.startswith("training starts anew")) == refused
    assert again.result == whole.result
    assert (again.path / "metrics.jsonl").read_bytes() == (whole.path / "metrics.jsonl").read_bytes()
    with np.load(again.path / "predictions.npz") as one, np.load(whole.path / "predictions.npz") as other:
        assert np.array_equal(one["logits"], other["logits"])


def test_extra_state_that_no_checkpoint_can_hold_is_told_before_training(made: Make) -> None:
    with pytest.raises(NetworkError, match="expected are tensors, numbers, texts, and lists, tuples and dicts"):
        made("whole", "Unloadable", "mean")


def test_generators_go_on_where_they_were() -> None:
    import random

    def draws() -> list[float]:
        return [torch.rand(()).item(), np.random.rand(), random.gauss(0, 1), np.random.standard_normal()]

    seed_all(2**40 + 1)
    draws()
    states = generators(torch.device("cpu"))
    expected = draws()
    set_generators(states, torch.device("cpu"))
    assert draws() == expected
