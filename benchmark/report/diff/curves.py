"""Where two trainings part: their losses and training accuracies by epoch, and what their miniatures came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

Value = float | None


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 1, as (A, B): training loss, and top-1 in percent; None where a run has no such epoch."""

    epoch: int
    loss: tuple[Value, Value]
    top1: tuple[Value, Value]


@dataclass(frozen=True)
class Curves:
    """Both trainings by epoch. `parted`: the first epoch in which they differ, in anything of these two."""

    epochs: tuple[Epoch, ...]
    parted: Epoch | None


def compare_curves(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> Curves:
    """Two trainings side by side, by the lines of their metrics.jsonl."""
    none: Mapping[str, Any] = {}
    epochs = tuple(
        Epoch(number, (one.get("loss"), other.get("loss")), (one.get("top1"), other.get("top1")))
        for number, (one, other) in enumerate(zip_longest(a, b, fillvalue=none), 1)
    )
    parted = (epoch for epoch in epochs if epoch.loss[0] != epoch.loss[1] or epoch.top1[0] != epoch.top1[1])
    return Curves(epochs, next(parted, None))


OBSERVED = (
    *("format", "start", "clips"),
    *("exact", "first weights", "rates", "decay", "training", "logits", "residual", "bits"),
)
"""The parts of behaviour.json, in the order in which one follows from another; `on` says where it was made."""


@dataclass(frozen=True)
class Observed:
    """A value of a miniature that differs, by its place in behaviour.json; `a` or `b` is None where one lacks it."""

    what: str
    a: Any
    b: Any

    @property
    def of_bits_alone(self) -> bool:
        """Whether everything agrees to the digits that are noted, and only the digest of all bits does not."""
        return self.what == "bits"


def first_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> Observed | None:
    """The first value in which two miniatures differ, parts in their order; None where they are equal."""
    parts = [*OBSERVED, *(part for part in dict.fromkeys([*a, *b]) if part not in (*OBSERVED, "on"))]
    ours, theirs = (dict(_leaves({part: of[part] for part in parts if part in of})) for of in (a, b))
    for what in dict.fromkeys([*ours, *theirs]):
        if ours.get(what) != theirs.get(what):
            return Observed(what, ours.get(what), theirs.get(what))
    return None


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Values by place; numbers that stand in a row, as losses by step do, one by one."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, f"{place}, {key}" if place else key)
    elif isinstance(value, list) or (isinstance(value, str) and len(row := _numbers(value)) > 1):
        for number, below in enumerate(value if isinstance(value, list) else row, 1):
            yield from _leaves(below, f"{place}, {number}")
    else:
        yield place, value


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return []
