"""Metrics that count clips: which of a run's clips are right by each, so that rows are compared clip by clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from benchmark.config.datasets import AT_LEVEL
from benchmark.data.embedded.graded import levels_of
from benchmark.runs.metrics import TOP_K, all_metrics, hits_at_k, member_accuracy, member_hits
from benchmark.runs.predictions import Predictions

MEAN_CLASS, MEMBER = "mean_class_acc", "member"
HIT_METRICS = (*TOP_K, MEAN_CLASS, MEMBER, *AT_LEVEL)
"""Metrics that are made of hits, so that their clips can be drawn again; a projection loss is not."""


def clip_hits(metric: str, found: Predictions) -> NDArray[np.bool_]:
    """Whether each clip that the metric is of is right, in the order of the clips; one of HIT_METRICS."""
    if metric == MEMBER:
        return member_hits(found.logits, found.labels)
    hits = hits_at_k(found.logits, found.labels, TOP_K.get(metric, 1))
    if metric not in AT_LEVEL:
        return hits
    axis, level = AT_LEVEL[metric]
    return hits[levels_of(found.ids)[:, axis] == level]


def strata_of(metric: str, found: Predictions) -> NDArray[np.integer] | None:
    """The classes over which the metric is a mean; None where it is one over clips."""
    return found.labels if metric == MEAN_CLASS else None


def level_metrics(found: Predictions) -> dict[str, float]:
    """Top-1 accuracies in percent of a run on a graded data set, by the names of AT_LEVEL, where a level has clips.

    Raises:
        ValueError: the clips are not numbered, as those of graded data sets are.
    """
    hits, graded = hits_at_k(found.logits, found.labels, 1), levels_of(found.ids)
    at = {name: hits[graded[:, axis] == level] for name, (axis, level) in AT_LEVEL.items()}
    return {name: 100.0 * float(mine.mean()) for name, mine in at.items() if mine.size}


def metrics_like(known: Iterable[Mapping[str, float]], found: Predictions) -> dict[str, float]:
    """Metrics of averaged predictions: those that predictions determine and every run of `known` has."""
    metrics, shared = all_metrics(found.logits, found.labels), set.intersection(*(set(each) for each in known))
    if MEMBER in shared:
        metrics[MEMBER] = member_accuracy(found.logits, found.labels)
    return metrics | (level_metrics(found) if shared & set(AT_LEVEL) else {})
