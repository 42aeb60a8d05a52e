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

    Outputs and labels are matched one to one so that most clips are right; "" unless that gains SURE points.
    """
    from scipy.optimize import linear_sum_assignment

    read = ~np.isnan(logits).any(axis=1)
    if not read.any():
        return ""
    found, true = logits[read].argmax(axis=1), labels[read]
    counts = np.zeros((logits.shape[1],) * 2, np.int64)
    np.add.at(counts, (found, true), 1)
    outputs, matched = linear_sum_assignment(counts, maximize=True)
    by_best = 100.0 * counts[outputs, matched].sum() / len(true)
    as_numbered = 100.0 * float((found == true).mean())
    if by_best - as_numbered < SURE:
        return ""
    return (
        f"top-1 is {as_numbered:.1f} %, and would be {by_best:.1f} % with the outputs in another order: the order of"
        " classes is not the data set's. --class-order, or --classes FILE with the class of each output, says it"
    )
