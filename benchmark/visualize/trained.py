"""What a run directory offers to a picture: its config, the weights of its checkpoint, and its training curves."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.config.run import RunConfig
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import DamagedRunError
from benchmark.runs.find import find_run
from benchmark.visualize.errors import VisualizeError

SHORT = 8
"""Characters of a run key that a picture shows."""


@dataclass(frozen=True)
class Trained:
    """A run with a checkpoint: `weights` is the network's state dict after `epochs` epochs."""

    run: RunDir
    config: RunConfig
    weights: Mapping[str, Tensor]
    epochs: int

    @property
    def name(self) -> str:
        """The run as pictures call it."""
        return f"run {self.run.key[:SHORT]}"

    @property
    def origin(self) -> str:
        """How far the weights are trained, such as `trained, 3 of 7 epochs (run 1a2b3c4d)`."""
        total = self.config.train.epochs
        epochs = f"{total} epochs" if self.epochs == total else f"{self.epochs} of {total} epochs"
        return f"trained, {epochs} ({self.name})"

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The weights whose names start with `prefix`, without it."""
        return {key[len(prefix) :]: value for key, value in self.weights.items() if key.startswith(prefix)}


def config_of(run: RunDir) -> RunConfig:
    """The config of a run. Raises VisualizeError if it cannot be read by this version."""
    try:
        return run.config
    except DamagedRunError as error:
        raise VisualizeError(str(error)) from error


def load_trained(name: str) -> Trained:
    """The checkpoint of a run.

    Raises:
        RunDirError: There is no such run.
        VisualizeError: It has no checkpoint, or an unreadable one.
    """
    run = find_run(name)
    config, path = config_of(run), run.checkpoint
    if not path.is_file():
        raise VisualizeError(f"run {run.key} has no checkpoint.pt: it has not finished an epoch, or it was removed")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return Trained(run, config, state["model"], len(state["history"]))
    except (RuntimeError, KeyError, TypeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise VisualizeError(
            f"{path} is damaged ({type(error).__name__}); remove its folder to run it again"
        ) from error


def training_curve(run: RunDir) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, one per finished epoch (`EpochSummary`).

    Raises:
        VisualizeError: The run has none, or they are damaged.
    """
    path = run.path / "metrics.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    except ValueError as error:
        raise VisualizeError(f"{path} is damaged ({error}); the run's next start writes it again") from error
    if not lines:
        raise VisualizeError(f"run {run.key} has no metrics.jsonl: it has not finished an epoch")
    return lines
