"""What a run leaves when it is through: predictions.npz, and the content of result.json."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from benchmark.config.run import RunConfig
from benchmark.evaluate.views import Predicted
from benchmark.launch.clips import RunClips
from benchmark.runs.atomic import write_atomic
from benchmark.runs.directory import RESIDUAL, RunDir
from benchmark.runs.metrics import all_metrics
from benchmark.train.progress import EpochSummary


def write_predictions(run: RunDir, clips: RunClips, predicted: Predicted) -> dict[str, float]:
    """Write ids, labels and logits of the validation clips, sorted by id. Returns the metrics of these."""
    ids = np.array([clip.id for clip in clips.val.clips])
    labels = np.array([clip.label for clip in clips.val.clips])
    order = np.argsort(ids, kind="stable")
    metrics = all_metrics(predicted.logits[order], labels[order])
    arrays: dict[str, Any] = {"ids": ids[order], "labels": labels[order], "logits": predicted.logits[order]}
    if predicted.residual is not None:
        metrics[RESIDUAL] = arrays[RESIDUAL] = predicted.residual
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomic(run.path / "predictions.npz", buffer.getvalue())
    return metrics


def result_of(
    run: RunDir,
    config: RunConfig,
    clips: RunClips,
    predicted: Predicted,
    metrics: dict[str, float],
    history: list[EpochSummary],
) -> dict[str, Any]:
    """The content of result.json: metrics, and how many clips were missing, unreadable or without finite logits."""
    return {
        "key": run.key,
        "seed": config.seed,
        "epochs": len(history),
        "metrics": metrics,
        "num_clips": len(clips.val),
        "unreadable_clips": int((~predicted.readable).sum()),
        "non_finite_clips": predicted.non_finite,
        "unreadable_training_clips": max(summary.unreadable for summary in history),
        "missing_clips": clips.val.missing,
        "missing_training_clips": clips.train.missing,
        "train_loss": history[-1].loss,
    }
