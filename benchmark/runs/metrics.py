"""Accuracies from stored predictions. Hits are computed per clip, so that rows can be compared clip by clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOP_K = {"top1": 1, "top5": 5}


def hits_at_k(logits: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    """Whether the label is among the k highest logits of each clip.

    Ties go to the lower class index, as in a stable sort. A clip with a NaN among its logits is a miss. With k at or
    above the number of classes every other clip is a hit.

    Args:
        logits: (clips, classes).
        labels: (clips,), each in [0, classes).
        k: at least 1.

    Raises:
        ValueError: the shapes do not fit, a label is out of range, or k < 1.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} must be (clips, classes) and (clips,)")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    hits: NDArray[np.bool_] = (label_ranks(logits, labels) < k) & ~np.isnan(logits).any(axis=1)
    return hits


def label_ranks(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many classes come before each clip's label (clips,), by their logits, and by their index where these tie.

    Raises:
        ValueError: a label is out of range.
    """
    classes = logits.shape[1]
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"labels span {labels.min()}..{labels.max()}, but there are {classes} classes")
    own = np.take_along_axis(logits, labels[:, None].astype(np.intp), axis=1)
    before = np.arange(classes)[None, :] < labels[:, None]
    ranks: NDArray[np.int64] = ((logits > own) | ((logits == own) & before)).sum(axis=1)
    return ranks


def top_k_accuracy(logits: NDArray[np.floating], labels: NDArray[np.integer], k: int = 1) -> float:
    """Percentage of clips whose label is among the k highest logits; NaN without clips."""
    return _percent(hits_at_k(logits, labels, k))


def mean_class_accuracy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean over the classes that occur of their top-1 accuracy, in percent; NaN without clips."""
    hits = hits_at_k(logits, labels, 1)
    counts = np.bincount(labels)
    per_class = np.bincount(labels, weights=hits)[counts > 0] / counts[counts > 0]
    return _percent(per_class)


def member_accuracy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Percentage of clips whose own class has a higher logit than the other one of its pair, (0, 1), (2, 3), ...

    Half of them are right where nothing of the order of frames is known: chance is 50 %.
    """
    return _percent(member_hits(logits, labels))


def member_hits(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each clip's own class has a higher logit than the other one of its pair; not with a NaN among them."""
    rows = np.arange(len(labels))
    hits: NDArray[np.bool_] = (logits[rows, labels] > logits[rows, labels ^ 1]) & ~np.isnan(logits).any(axis=1)
    return hits


def all_metrics(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """Every measured column that predictions determine, in percent."""
    accuracies = {name: top_k_accuracy(logits, labels, k) for name, k in TOP_K.items()}
    return accuracies | {"mean_class_acc": mean_class_accuracy(logits, labels)}


def _percent(values: NDArray[np.bool_] | NDArray[np.floating]) -> float:
    return 100.0 * float(np.mean(values)) if values.size else float("nan")
