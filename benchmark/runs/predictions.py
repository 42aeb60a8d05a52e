"""What a finished run predicted, read back and checked against what else the run has written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.config.datasets import DATASETS
from benchmark.runs.directory import RESIDUAL, RunDir
from benchmark.runs.errors import RunDirError, damaged
from benchmark.runs.metrics import all_metrics, member_accuracy


@dataclass(frozen=True)
class Predictions:
    """What one run predicted: ids (clips,), labels (clips,), logits (clips, classes), sorted by id."""

    ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


def read_predictions(run: RunDir, result: Mapping[str, Any]) -> tuple[Predictions, dict[str, float]]:
    """What a finished run predicted, and its metrics, computed from that.

    A metric that they do not determine (a projection loss) is the one stored beside them, or else in result.json.

    Raises:
        DamagedRunError: predictions.npz is gone, cut, or cannot be what the run wrote, or result.json says otherwise.
    """
    path = run.path / "predictions.npz"
    try:
        return _checked(run, result, path)
    except RunDirError:
        raise
    except FileNotFoundError:
        raise damaged(path, "it is gone") from None
    except KeyError as error:
        raise damaged(path, f"it has no {error}") from None
    except Exception as error:  # a changed byte can make numpy and zipfile raise nearly anything
        raise damaged(path, str(error) or type(error).__name__) from None


def _checked(run: RunDir, result: Mapping[str, Any], path: Path) -> tuple[Predictions, dict[str, float]]:
    with np.load(path) as stored:
        held = {name: stored[name] for name in stored.files}
    found = Predictions(held["ids"], held["labels"], held["logits"])
    metrics = all_metrics(found.logits, found.labels)
    (clips, classes), data = found.logits.shape, run.config.data
    if not clips or found.ids.shape != (clips,) or (found.ids[1:] <= found.ids[:-1]).any():
        raise damaged(path, "its clips are not each there once, in order")
    if classes != data.num_classes:
        raise damaged(path, f"it has {classes} classes, {data.dataset} has {data.num_classes}")
    evaluated = run.env.get("clips", {}).get("val", {}).get("found", clips)
    for where, said in (("result.json", result.get("num_clips", clips)), ("env.json", evaluated)):
        if clips != said:
            raise damaged(path, f"it has {clips} clips, {where} says {said}")
    if DATASETS[data.dataset].mirrored:  # its classes come in pairs
        metrics["member"] = member_accuracy(found.logits, found.labels)
    if RESIDUAL in held:
        metrics[RESIDUAL] = float(held[RESIDUAL])
    for name, said in result["metrics"].items():
        if not math.isclose(metrics.setdefault(name, said), said, rel_tol=1e-9, abs_tol=1e-9):
            by_predictions = f"{name} is {said:g}, but {metrics[name]:g} by predictions.npz"
            raise damaged(path.with_name("result.json"), by_predictions)
    return found, metrics
