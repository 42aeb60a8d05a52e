"""The code that a run records, and trainings by other code, which are neither continued nor taken over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config.run import EvalConfig
from benchmark.data.loader import ClipDataset
from benchmark.launch.training import CHECKPOINT_SECONDS
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import REPLACED, RunDir
from benchmark.runs.key import run_key
from benchmark.runs.trainings import other_code
from tests.launch.small import SMALL

VIEWS = SMALL.model_copy(update={"eval": EvalConfig(scale=36, clips=2)})


def by_other(run: RunDir) -> None:
    """As if the code had changed since the run was made, or begun."""
    code = json.loads((run.path / "code.json").read_text())
    code["symbols"]["benchmark/train/optim.py"]["lr_at"] = "of then"
    write_json(run.path / "code.json", code)


def test_a_training_by_other_code_is_begun_anew_and_one_by_this_code_goes_on(
    made: Callable[..., RunDir], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole, item, read = made("whole"), ClipDataset.__getitem__, [0]
    assert other_code(whole) is None
    monkeypatch.setenv(CHECKPOINT_SECONDS, "1e-9")

    def leave(dataset: ClipDataset, index: int) -> Any:
        read[0] += type(dataset) is ClipDataset  # not those of the miniature
        if read[0] == 7 and type(dataset) is ClipDataset:
            raise KeyboardInterrupt
        return item(dataset, index)

    monkeypatch.setattr(ClipDataset, "__getitem__", leave)
    left = RunDir(tmp_path / "left" / whole.key)
    with pytest.raises(KeyboardInterrupt):
        made("left")
    by_other(left)
    state = torch.load(left.path / "checkpoint.pt", weights_only=True)
    torch.save({**state, "model": {k: v * 2 for k, v in state["model"].items()}}, left.path / "checkpoint.pt")
    capsys.readouterr()
    assert made("left").result == whole.result
    assert "training starts anew: what there is of it was trained by other code: train/optim.py changed" in (
        capsys.readouterr().out
    )
    assert other_code(left) is None
    logits = [np.load(run.path / "predictions.npz")["logits"] for run in (left, whole)]
    assert np.array_equal(*logits)


def test_a_training_by_other_code_serves_no_other_views(made: Callable[..., RunDir]) -> None:
    first = made()
    by_other(first)
    assert "trained_by" not in made(config=VIEWS).env
    # That training is the newer one now; made anew, the first takes it over.
    first.set_aside()
    assert first.state == "pending"
    assert {path.name for path in first.path.iterdir()} == {"config.json", "lock", REPLACED}
    assert (first.path / REPLACED / "result.json").exists()
    again = made()
    assert again.env["trained_by"] == run_key(VIEWS)
    assert other_code(again) is None
    assert not (again.path / REPLACED).exists()
