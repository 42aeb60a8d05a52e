"""The clips of two runs whose prediction changed: which, of which class, and into what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.data.class_names import class_names
from benchmark.runs.metrics import hits_at_k, label_ranks
from benchmark.runs.predictions import Predictions

NOT_FINITE = "not finite"
"""Named as the prediction for a clip with a NaN among its logits."""


@dataclass(frozen=True)
class Flip:
    """A clip on which exactly one of the runs is right: its class, and what A and B take it for."""

    id: str
    label: str
    a: str
    b: str


@dataclass(frozen=True)
class ClassFlips:
    """A class: its clips, those on which A and B are right, and how many went from right to wrong and back."""

    label: str
    clips: int
    a: int
    b: int
    lost: int
    gained: int


@dataclass(frozen=True)
class Flips:
    """What changed between A and B.

    Attributes:
        lost: Clips that A has right and B wrong, by id.
        gained: Clips that A has wrong and B right.
        by_class: Every class that occurs, by label.
        both_wrong: Clips that A and B take for two different wrong classes.
        ranks: On how many clips the label has another rank.
        largest: The largest difference of a finite logit; None where logits are not known exactly.
    """

    lost: tuple[Flip, ...] = ()
    gained: tuple[Flip, ...] = ()
    by_class: tuple[ClassFlips, ...] = ()
    both_wrong: int = 0
    ranks: int = 0
    largest: float | None = None


def find_flips(a: Predictions, b: Predictions, dataset: str, exact: bool) -> Flips:
    """What changed between two runs' predictions for the same clips of a data set.

    `exact`: whether their logits are the runs' own; otherwise they have the same order as these at least.
    """
    names, labels = np.array([*class_names(dataset), NOT_FINITE]), a.labels
    right, other = (hits_at_k(p.logits, labels, 1) for p in (a, b))
    taken, instead = _taken(a.logits), _taken(b.logits)
    lost, gained = right & ~other, other & ~right

    def clips(which: NDArray[np.bool_]) -> tuple[Flip, ...]:
        columns = (a.ids[which], names[labels[which]], names[taken[which]], names[instead[which]])
        return tuple(Flip(*map(str, clip)) for clip in zip(*columns, strict=True))

    apart = np.abs(a.logits.astype(float) - b.logits)
    ranks, others = (_ranks(p.logits, labels) for p in (a, b))
    return Flips(
        lost=clips(lost),
        gained=clips(gained),
        by_class=tuple(
            ClassFlips(str(names[label]), int(own.sum()), *(int((own & x).sum()) for x in (right, other, lost, gained)))
            for label in np.unique(labels)
            for own in [labels == label]
        ),
        both_wrong=int((~right & ~other & (taken != instead)).sum()),
        ranks=int((ranks != others).sum()),
        largest=float(apart[np.isfinite(apart)].max(initial=0.0)) if exact else None,
    )


def _taken(logits: NDArray[np.floating]) -> NDArray[np.intp]:
    """The class of the highest logit, the lower index in a tie; -1 for a clip with a NaN."""
    return np.where(np.isnan(logits).any(axis=1), -1, logits.argmax(axis=1))


def _ranks(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """The rank of each clip's label; -1 for a clip with a NaN."""
    return np.where(np.isnan(logits).any(axis=1), -1, label_ranks(logits, labels))
