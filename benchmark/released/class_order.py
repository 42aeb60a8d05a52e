"""The order of a classifier's outputs, and the same weights in the order of a data set's labels.

A file says nowhere what its outputs are. In another order than the labels' it comes to chance, without a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.config.source import did_you_mean
from benchmark.models.weights import PretrainedWeightsError
from benchmark.released.registry import ClassOrder

UNNAMED = re.compile(r"class \d+")
SURE = 30.0
"""Points that a matching of outputs to labels must gain before another order is taken for likely."""


def outputs_of(order: ClassOrder | Path, classes: Sequence[str]) -> list[int]:
    """For each label the output that stands for it.

    Args:
        order: `alphabetical`, by the class names; `dataset`, the labels' own; or a file that names the class of each
            output, one a line.
        classes: names by label, as the data set's label files have them; `class 7` of one without a name.

    Raises:
        PretrainedWeightsError: classes have no names, or the file names others.
    """
    num_classes = len(classes)
    if order == "dataset":
        return list(range(num_classes))
    unnamed = sum(UNNAMED.fullmatch(name) is not None for name in classes)
    if unnamed or len(set(classes)) < num_classes:
        raise PretrainedWeightsError(
            f"{unnamed} of the data set's {num_classes} classes have no name here, and the weights are in the order of"
            " names: prepare the data set, or say --class-order dataset if the outputs are numbered as its labels are"
        )
    names = sorted(classes) if order == "alphabetical" else _names_in(Path(order))
    at = {_plain(name): i for i, name in enumerate(names)}
    if len(at) != num_classes or len(names) != num_classes:
        raise PretrainedWeightsError(f"{order} names {len(at)} classes, the data set has {num_classes}")
    for name in classes:
        if _plain(name) not in at:
            hint = did_you_mean(name, names)
            raise PretrainedWeightsError(f"{order} has no '{name}', which is a class of the data set.{hint}")
    return [at[_plain(name)] for name in classes]


def _names_in(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise PretrainedWeightsError(f"{path}: cannot be read as class names, one a line ({error})") from None


def _plain(name: str) -> str:
    """As names are compared: without what spellings of one list differ in."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def likely_order(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> str:
    """A sentence where the outputs tell classes apart, and not as they are numbered: their order is another one.

    Outputs and labels are matched one to one so that most of one half of the clips are right, and the matching is tried
    on the other half, since of few clips a class any predictions can be matched; "" unless that gains SURE points.
    """
    from scipy.optimize import linear_sum_assignment

    read = np.flatnonzero(~np.isnan(logits).any(axis=1))
    halves = np.array_split(np.random.default_rng(0).permutation(read), 2)
    if not len(halves[1]):
        return ""
    found, classes = logits.argmax(axis=1), logits.shape[1]
    counts = [np.zeros((classes, classes), np.int64) for _ in halves]
    for half, of_half in zip(halves, counts, strict=True):
        np.add.at(of_half, (found[half], labels[half]), 1)
    outputs, matched = linear_sum_assignment(counts[0], maximize=True)
    by_best = 100.0 * counts[1][outputs, matched].sum() / len(halves[1])
    as_numbered = 100.0 * float((found == labels)[halves[1]].mean())
    if by_best - as_numbered < SURE:
        return ""
    return (
        f"top-1 is {as_numbered:.1f} %, and would be {by_best:.1f} % with the outputs in another order: the order of"
        " classes is not the data set's. --class-order, or --classes FILE with the class of each output, says it"
    )
