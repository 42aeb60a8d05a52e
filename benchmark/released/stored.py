"""Where evaluations of published weights are kept, and what they came to. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.config.run import RunConfig, TrainConfig
from benchmark.runs.directory import RunDir, runs_root
from benchmark.runs.errors import RunDirError
from benchmark.runs.json_files import read_json
from benchmark.runs.key import keyed_settings
from benchmark.runs.predictions import Predictions, read_predictions

WEIGHTS = "weights.json"
"""What of an evaluation's folder says which weights these are."""


@dataclass(frozen=True)
class StoredEvaluation:
    """An evaluation that is done: by which weights, its metrics in percent and its predictions."""

    name: str
    run: RunDir
    metrics: dict[str, float]
    predictions: Predictions


def without_training(config: RunConfig) -> RunConfig:
    """The config of an evaluation: the recipe but for its precision is no part of it, nor are weights to start from."""
    model = config.model
    if getattr(model, "pretrained", None):
        model = model.model_copy(update={"pretrained": None})
    train = TrainConfig(precision=config.train.precision)
    return config.model_copy(update={"model": model, "train": train, "seed": 0})


def folder_of(config: RunConfig) -> Path:
    """The folder of all evaluations of a network on some clips by some views."""
    text = json.dumps(keyed_settings(without_training(config)), sort_keys=True)
    return runs_root() / "released" / hashlib.sha256(text.encode()).hexdigest()[:16]


def stored_evaluations(config: RunConfig) -> Iterator[StoredEvaluation]:
    """All that are done, by the names of the weights. Those that are damaged are passed over."""
    found = []
    for path in folder_of(config).glob(f"*/{WEIGHTS}"):
        run = RunDir(path.parent)
        try:
            result, about = run.result, read_json(path)
            if result is None or about is None:
                continue
            predictions, metrics = read_predictions(run, result)
        except RunDirError:
            continue
        found.append(StoredEvaluation(str(about["name"]), run, metrics, predictions))
    yield from sorted(found, key=lambda one: (one.name, one.run.key))
