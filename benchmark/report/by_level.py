"""Accuracy by level of difficulty: the rows of a table on the graded embedded data set, along one of its axes.

Which level a clip has follows from its id (`benchmark.data.embedded.graded`): stored predictions are enough.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.config.datasets import LEVEL_COUNT
from benchmark.data.embedded.graded import GRADED, LEVELS
from benchmark.report.datasets import measured_dataset
from benchmark.report.fuse import with_fused
from benchmark.report.plots.curves import Curve, Place, figure_of
from benchmark.report.plots.points import measured_name, where_measured
from benchmark.report.plots.style import saved
from benchmark.report.results import RowRuns
from benchmark.report.statistics.clip_hits import clip_hits
from benchmark.report.statistics.stats import binomial_se
from benchmark.spec.table import Table

MEANING = {
    "speed": "travel of the sprite, in short sides",
    "contrast": "opacity of the sprite",
    "clutter": "contrast of the background, and one distractor more at each level",
}
FIELDS = ("table", "label", "axis", "level", "setting", "top1", "sd", "n", "clips")


class NotGradedError(Exception):
    """The table is not measured on a data set with levels; the message says on which it is."""


@dataclass(frozen=True)
class AtLevel:
    """Top-1 accuracy of a row at a level, in percent.

    Mean and SD over `seeds` (the latter None for one), on `clips` clips of each.
    """

    level: int
    top1: float
    sd: float | None
    seeds: int
    clips: int

    @property
    def error(self) -> float:
        """The SD over seeds, or with one seed the standard error over the clips."""
        return self.sd if self.sd is not None else binomial_se(self.top1, self.clips)


@dataclass(frozen=True)
class RowByLevel:
    """The levels of a row, easiest first; none before a seed is done."""

    label: str
    levels: tuple[AtLevel, ...]


def by_level(table: Table, runs: RowRuns, axis: str) -> list[RowByLevel]:
    """Every row that is not quoted, from its finished seeds.

    Args:
        table: measured on a graded data set.
        runs: the results of its rows.
        axis: one of AXES.

    Raises:
        NotGradedError: the table's clips have no levels.
    """
    if (name := measured_dataset(table)) not in GRADED:
        raise NotGradedError(f"{table.id} is measured on {name} here, whose clips have no levels of {axis}")
    complete, found = with_fused(table, runs), []
    for row in table.rows:
        seeds = [one.predictions() for one in complete.get(row.label, ()) if one.state == "done" and one.predictions]
        at: list[AtLevel] = []
        for level in range(1, LEVEL_COUNT + 1) if seeds else ():
            hits = [clip_hits(f"top1_{axis}_{level}", seed) for seed in seeds]
            values = [100 * float(own.mean()) for own in hits]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
            at.append(AtLevel(level, float(np.mean(values)), sd, len(values), len(hits[-1])))
        if not row.quoted:
            found.append(RowByLevel(row.label, tuple(at)))
    return found


def as_csv(table: Table, axis: str, rows: Sequence[RowByLevel]) -> str:
    """A line per row and level, raw; `setting` is what the level stands for."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(FIELDS)
    for row in rows:
        for at in row.levels:
            sd = "" if at.sd is None else at.sd
            setting = LEVELS[axis][at.level - 1]
            writer.writerow([table.id, row.label, axis, at.level, setting, at.top1, sd, at.seeds, at.clips])
    return file.getvalue()


def as_cells(rows: Sequence[RowByLevel]) -> list[list[str]]:
    """Label and accuracies of every row as text: `51.4 ± 0.3 (3)`, `51.4` for one seed, `–` without any."""
    shown = []
    for row in rows:
        texts = [
            f"{at.top1:.1f}" if at.sd is None else f"{at.top1:.1f} ± {at.sd:.1f} ({at.seeds})" for at in row.levels
        ]
        shown.append([row.label, *(texts or ["–"] * LEVEL_COUNT)])
    return shown


def header(axis: str) -> list[str]:
    """Titles of the columns of `as_cells`: each level with what it stands for."""
    return ["Model", *(f"{level}: {setting:g}" for level, setting in enumerate(LEVELS[axis], 1))]


def picture(table: Table, axis: str, rows: Sequence[RowByLevel]) -> dict[str, bytes]:
    """A curve per row as {"svg": ..., "png": ...}, the same bytes for the same rows; {} where no row has a value."""
    several = [
        Curve(("", row.label), tuple(Place(at.level, at.top1, at.error, at.seeds) for at in row.levels)) for row in rows
    ]
    name = measured_name([at.seeds for row in rows for at in row.levels if math.isfinite(at.error)])
    title = f"level of {axis}, easy to hard"
    figure = figure_of(several, title, "Top-1 accuracy (%)", f"{name} ({where_measured(table)})")
    return {} if figure is None else {kind: saved(figure, kind) for kind in ("svg", "png")}
