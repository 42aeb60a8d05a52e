"""What a record keeps of a run's predictions.

Exactly, for every clip: the rank of its label, the class that was predicted, and whether its label is ahead of the
other class of its pair, from which every accuracy follows to the digit. Coarsely: the probabilities of the classes, of
which there are too many for more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.runs.metrics import label_ranks, member_hits
from benchmark.runs.predictions import Predictions
from benchmark.runs.records.files import packed, unpacked

LEVELS = (255, 63, 15, 7)
"""Steps of the square root of a probability, the finest first. The root: an error is then small where it matters."""
LONGEST = 12_000
"""Characters that the probabilities take at most, where fewer levels can make it so."""
MOST_CLASSES = 64
"""With more classes, the KEPT most probable ones of each clip are kept, and what remains is shared by the others."""
KEPT = 5
NOT_FINITE = 65_535
"""Stands for the rank of a label among logits of which one is NaN: never a hit."""
STEP = 1e-5
"""Between the scores of neighbouring ranks, so that no two are equal; far more than a float32 is rounded by."""


def pack(found: Predictions) -> dict[str, Any]:
    """A run's predictions as plain data, without ids and labels: those of `unpack`."""
    classes = found.logits.shape[1]
    ranks = label_ranks(found.logits, found.labels)
    ranks[np.isnan(found.logits).any(axis=1)] = NOT_FINITE
    predicted = np.where(np.isnan(found.logits), -np.inf, found.logits).argmax(axis=1)
    roots = np.sqrt(probabilities(found.logits))
    kept: dict[str, Any] = {}
    if classes > MOST_CLASSES:
        best = np.argsort(-np.nan_to_num(roots), axis=1, kind="stable")[:, :KEPT]
        kept["best"] = packed(best.T.astype("<u2").tobytes())
        roots = np.take_along_axis(roots, best, axis=1)
    for levels in LEVELS:
        # A clip whose logits are not finite has no probabilities: zeros, which no other clip has alone.
        codes = np.rint(levels * np.nan_to_num(roots, nan=0.0)).astype(np.uint8)
        text = packed(codes.T.tobytes())  # class by class: neighbours are alike
        if len(text) <= LONGEST or classes > MOST_CLASSES:
            break
    if classes % 2 == 0 and classes <= MOST_CLASSES:
        kept["ahead"] = packed(np.packbits(member_hits(found.logits, found.labels)).tobytes())
    return {
        **kept,
        "classes": classes,
        "levels": levels,
        "roots": text,
        "ranks": packed(ranks.astype("<u2").tobytes()),
        "predicted": packed(((predicted - found.labels) % classes).astype("<u2").tobytes()),
    }


def unpack(kept: dict[str, Any], ids: NDArray[np.str_], labels: NDArray[np.integer]) -> Predictions:
    """Predictions of which ranks and predicted classes are the run's, and the logits made up to fit them.

    Raises:
        ValueError: what is kept cannot be what `pack` made of predictions of these clips.
    """
    clips, classes, levels = len(ids), kept["classes"], kept["levels"]
    if not 1 <= classes < NOT_FINITE or levels not in LEVELS or not clips:
        raise ValueError(f"{clips} clips, {classes} classes and {levels} levels cannot be")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels span {labels.min()}..{labels.max()}, but there are {classes} classes")
    ranks = _numbers(kept["ranks"], "<u2", clips)
    predicted = (_numbers(kept["predicted"], "<u2", clips) + labels) % classes
    of_nan = ranks == NOT_FINITE
    if (ranks[~of_nan] >= classes).any() or ((predicted == labels) != (ranks == 0))[~of_nan].any():
        raise ValueError("ranks of labels and predicted classes contradict each other")
    columns = classes if classes <= MOST_CLASSES else KEPT
    codes = _numbers(kept["roots"], "u1", columns * clips).reshape(columns, clips).T
    if (codes > levels).any():
        raise ValueError(f"codes beyond {levels} levels")
    shares = _shares(codes, levels)
    if columns < classes:
        best = _numbers(kept["best"], "<u2", columns * clips).reshape(columns, clips).T
        shares = _with_the_rest(shares, best, classes)
    without = ~codes.any(axis=1)
    _check_order(shares[~without], labels[~without], ranks[~without], predicted[~without])
    ahead = None
    if kept.get("ahead") is not None:
        if classes % 2:
            raise ValueError(f"{classes} classes are no pairs")
        ahead = np.unpackbits(_numbers(kept["ahead"], "u1", -(-clips // 8)).astype(np.uint8), count=clips).astype(bool)
    logits = _scores(shares, labels, np.where(of_nan, predicted != labels, ranks), predicted, ahead)
    logits[np.flatnonzero(without), predicted[without]] = np.inf  # so that averages with it are not finite, either
    logits[of_nan] = np.nan
    if ahead is not None:
        rows, other = np.arange(clips), labels ^ 1
        # Of two equal logits the lower class has the better rank, and neither is ahead.
        equal = member_hits(logits, labels) & ~ahead & (shares[rows, labels] == shares[rows, other]) & (labels < other)
        logits[equal, other[equal]] = logits[equal, labels[equal]]
        if (member_hits(logits, labels) != ahead)[~without].any():
            raise ValueError("ranks of labels and of the other classes of their pairs contradict each other")
    return Predictions(ids, labels, logits)


def as_kept(found: Predictions) -> Predictions:
    """A run's predictions as its record gives them back."""
    return unpack(pack(found), found.ids, found.labels)


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax of each clip's logits; NaN for a clip of which one is NaN or infinite."""
    wide = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        weights = np.exp(wide - wide.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _shares(codes: NDArray[np.int64], levels: int) -> NDArray[np.float64]:
    """Probabilities by their codes; what was rounded to nothing is a quarter of a step's root."""
    return (np.maximum(codes, 0.25) / levels) ** 2


def _with_the_rest(known: NDArray[np.float64], best: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Shares of all classes: those of the best, and what remains for each of the others, never more than these."""
    if (best >= classes).any() or (np.diff(np.sort(best, axis=1), axis=1) == 0).any():
        raise ValueError("its best classes are not distinct classes")
    if (np.diff(known, axis=1) > 0).any():
        raise ValueError("its best classes are not in order")
    rest = np.clip((1.0 - known.sum(axis=1)) / (classes - KEPT), 1e-9, known[:, -1])
    shares = np.repeat(rest[:, None], classes, axis=1)
    np.put_along_axis(shares, best, known, axis=1)
    return shares


def _check_order(
    shares: NDArray[np.float64], labels: NDArray[np.integer], ranks: NDArray[np.integer], predicted: NDArray[np.integer]
) -> None:
    """Refuse ranks and predicted classes that the shares, in which neighbours may be equal, exclude."""
    rows = np.arange(len(shares))
    own = shares[rows, labels][:, None]
    above, level = (shares > own).sum(axis=1), (shares == own).sum(axis=1)
    if (ranks < above).any() or (ranks >= above + level).any():
        raise ValueError("ranks of labels are not those of its probabilities")
    if (shares[rows, predicted] < shares.max(axis=1, initial=0.0)).any():
        raise ValueError("predicted classes are not those of its probabilities")


def _scores(
    shares: NDArray[np.float64],
    labels: NDArray[np.integer],
    ranks: NDArray[np.integer],
    predicted: NDArray[np.integer],
    ahead: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    """Logits with these label ranks and predicted classes, otherwise in the order of the shares, and no two equal.

    `ahead`: whether a label is before the other class of its pair; among equal shares that one comes last or first.
    """
    clips, classes = shares.shape
    rows = np.arange(clips)
    # A sort by place: the predicted class has the first, the label that of its rank, all others by their shares.
    among_equals = np.zeros((clips, classes), dtype=np.int8)
    if ahead is not None:
        among_equals[rows, labels ^ 1] = np.where(ahead, 1, -1)
    by_share = np.lexsort((among_equals, -shares), axis=1)
    others = (by_share != labels[:, None]) & (by_share != predicted[:, None])
    free = np.ones((clips, classes), dtype=bool)
    free[:, 0] = False
    free[rows, ranks] = False
    order = np.empty((clips, classes), dtype=np.int64)
    order[:, 0] = predicted
    missed = ranks > 0
    order[rows[missed], ranks[missed]] = labels[missed]
    order[free] = by_share[others]
    values = np.log(np.sort(shares, axis=1)[:, ::-1]) - STEP * np.arange(classes)
    scores = np.empty((clips, classes), dtype=np.float32)
    np.put_along_axis(scores, order, values.astype(np.float32), axis=1)
    return scores


def _numbers(text: str, kind: str, count: int) -> NDArray[np.int64]:
    size = count * np.dtype(kind).itemsize
    return np.frombuffer(unpacked(text, size), dtype=kind).astype(np.int64)
