"""A row looked at closely: accuracy by class, what is taken for what, and the clips that are most wrong.

From the stored predictions of its finished seeds, which records do not hold in full: of run directories alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.data.class_names import class_names
from benchmark.report.labels import flat
from benchmark.report.plots.style import STYLE, finish, saved
from benchmark.report.results import SeedResult
from benchmark.runs.errors import RunDirError
from benchmark.runs.metrics import hits_at_k
from benchmark.spec.table import Row, Table

NAMED = 30
"""Classes up to which the picture names them and counts their clips."""


@dataclass(frozen=True)
class OfClass:
    """A class in a row's predictions.

    Attributes:
        clips: that it has.
        top1: accuracy by seed, in percent.
        taken_for: the other class that its clips are most often taken for, "" where they never are; `share` of them, in
            percent.
    """

    name: str
    clips: int
    top1: tuple[float, ...]
    taken_for: str
    share: float


@dataclass(frozen=True)
class WrongClip:
    """A clip whose own class is far behind the first: `behind` in log probability, the mean over seeds."""

    id: str
    name: str
    taken_for: str
    behind: float


@dataclass(frozen=True)
class LookedAt:
    """A row's predictions, counted.

    Attributes:
        seeds: those that are counted.
        classes: by label.
        confusion: clips by true and predicted class, summed over seeds; clips without finite logits are in none.
        wrong: most wrong first.
    """

    label: str
    seeds: tuple[int, ...]
    classes: tuple[OfClass, ...]
    confusion: NDArray[np.int64]
    wrong: tuple[WrongClip, ...]


def look_at(table: Table, row: Row, results: Sequence[SeedResult], most: int = 20) -> LookedAt:
    """Count a row's predictions.

    Args:
        table: of the row.
        row: a measured one.
        results: of its seeds.
        most: clips that are named.

    Raises:
        RunDirError: no seed has predictions here.
    """
    done = [one for one in results if one.state == "done" and one.predictions and one.recorded is None]
    if not done or row.config is None:
        recorded = any(one.recorded for one in results)
        why = "records hold no scores of all classes" if recorded else "no seed is finished"
        raise RunDirError(f"{table.id}, {flat(row.label)}: {why}: python -m benchmark run {table.id}")
    several = [one.predictions() for one in done if one.predictions]
    names = class_names(row.config.data.dataset)
    count = len(names)
    confusion = np.zeros((count, count), np.int64)
    accuracy, behind = [], []
    first = several[0]
    votes = np.zeros((len(first.ids), count))
    for found in several:
        finite = np.isfinite(found.logits).all(axis=1)
        guesses = np.where(finite, np.nan_to_num(found.logits, nan=-np.inf).argmax(axis=1), -1)
        np.add.at(confusion, (found.labels[finite], guesses[finite]), 1)
        hits = hits_at_k(found.logits, found.labels, 1)
        accuracy.append(
            [
                100.0 * float(hits[found.labels == label].mean()) if (found.labels == label).any() else np.nan
                for label in range(count)
            ]
        )
        if np.array_equal(found.ids, first.ids):
            logits = np.where(finite[:, None], found.logits, 0.0).astype(np.float64)
            log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
            own = log_p[np.arange(len(log_p)), found.labels]
            behind.append(np.where(finite, log_p.max(axis=1) - own, 0.0))
            votes[finite, guesses[finite]] += 1
    classes = []
    for label, name in enumerate(names):
        others = confusion[label].copy()
        others[label] = 0
        total, most_often = int(confusion[label].sum()), int(others.argmax())
        there = int(others[most_often])
        classes.append(
            OfClass(
                name,
                int((first.labels == label).sum()),
                tuple(float(of_seed[label]) for of_seed in accuracy),
                names[most_often] if there else "",
                100.0 * there / total if total else 0.0,
            )
        )
    distance = np.mean(behind, axis=0)
    order = [i for i in np.argsort(-distance, kind="stable")[:most] if distance[i] > 0]
    wrong = [
        WrongClip(str(first.ids[i]), names[first.labels[i]], names[int(votes[i].argmax())], float(distance[i]))
        for i in order
    ]
    return LookedAt(row.label, tuple(one.seed for one in done), tuple(classes), confusion, tuple(wrong))


def files_of(looked: LookedAt) -> dict[str, str | bytes | None]:
    """per_class.csv, confusion.csv (rows: true, columns: predicted), most_wrong.csv and the confusion's picture."""
    per_class = [("class", "clips", "top1", "sd", "n", "taken_for", "share")]
    lines: list[tuple[Any, ...]] = [*per_class]
    for one in looked.classes:
        sd = float(np.std(one.top1, ddof=1)) if len(one.top1) > 1 else ""
        lines.append((one.name, one.clips, float(np.mean(one.top1)), sd, len(one.top1), one.taken_for, one.share))
    names = [one.name for one in looked.classes]
    counted = [("true", *names), *((name, *row.tolist()) for name, row in zip(names, looked.confusion, strict=True))]
    wrong = [("clip", "class", "taken_for", "behind"), *((w.id, w.name, w.taken_for, w.behind) for w in looked.wrong)]
    figure = _picture(looked)
    return {
        "per_class.csv": _csv(lines),
        "confusion.csv": _csv(counted),
        "most_wrong.csv": _csv(wrong),
        "confusion.svg": saved(figure, "svg"),
        "confusion.png": saved(figure, "png"),
    }


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()


def _picture(looked: LookedAt) -> Any:
    """Rows are true classes, columns predicted ones; colours are shares of a row's clips."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(looked.classes)
    shares = looked.confusion / np.maximum(looked.confusion.sum(axis=1, keepdims=True), 1)
    with mpl.rc_context(STYLE):
        side = max(2.4, min(6.0, 0.24 * count))
        figure = Figure(figsize=(side + 1.6, side + 1.2))
        FigureCanvasAgg(figure)
        ax = figure.add_axes((1.2 / (side + 1.6), 0.9 / (side + 1.2), side / (side + 1.6), side / (side + 1.2)))
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        for spine in ax.spines.values():
            spine.set_visible(False)
        if count <= NAMED:
            names = [one.name for one in looked.classes]
            ax.set_xticks(range(count), names, rotation=90)
            ax.set_yticks(range(count), names)
            for i, j in np.argwhere(looked.confusion > 0):
                colour = "white" if shares[i, j] > 0.5 else "black"
                ax.text(j, i, str(looked.confusion[i, j]), ha="center", va="center", fontsize=5, color=colour)
        ax.set_xlabel("predicted class")
        ax.set_ylabel("true class")
        seeds = f"{len(looked.seeds)} seed{'s'[: len(looked.seeds) > 1]}"
        ax.set_title(f"{flat(looked.label)} ({seeds})", loc="left")
        return finish(figure)
