"""The trainings of a table's rows: loss and accuracy of each epoch, and the validations made on the way, if any.

A line a row; of several seeds the mean, with the range that they span. Training accuracies are those of the clips as
they were seen, in training mode and while the weights changed. In the SVG a row's lines have the ids `loss-<n>`,
`training-<n>` and `validation-<n>`, n counting the rows from 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.plan import row_runs
from benchmark.report.labels import flat
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.runs.validation import validation_curve
from benchmark.spec.table import Table
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.figure import PALETTE, STYLE, WIDTH, new_figure, write
from benchmark.visualize.trained import training_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
"""Of lines; another one after all colours are used."""


@dataclass(frozen=True)
class RowTraining:
    """A row's seeds, by what was measured: values by epoch, counted from 1."""

    label: str
    seeds: int
    loss: Mapping[int, tuple[float, ...]]
    top1: Mapping[int, tuple[float, ...]]
    validation: Mapping[int, tuple[float, ...]]


def trainings(table: Table) -> list[RowTraining]:
    """The rows with a finished epoch. Raises VisualizeError: there is none."""
    found = []
    for row in table.rows:
        runs = [RunDir.of(run_key(config)) for _, config in row_runs(row, table.seeds)] if row.config else []
        begun = [run for run in runs if (run.path / "metrics.jsonl").is_file()]
        if begun:
            curves = [training_curve(run) for run in begun]
            loss, top1 = (_by_epoch(curves, quantity) for quantity in ("loss", "top1"))
            validation = _by_epoch([with_result(run) for run in begun], "top1")
            found.append(RowTraining(row.label, len(begun), loss, top1, validation))
    if not found:
        raise VisualizeError(f"no run of {table.id} has finished an epoch here: python -m benchmark run {table.id}")
    return found


def with_result(run: RunDir) -> list[dict[str, Any]]:
    """The validations made on the way and, where there are any, the run's result as the last of them."""
    curve, result = validation_curve(run), run.result
    if curve and result is not None:
        curve.append({"epoch": run.config.train.epochs - 1, "top1": result["metrics"]["top1"]})
    return curve


def _by_epoch(curves: Sequence[Sequence[Mapping[str, Any]]], quantity: str) -> dict[int, tuple[float, ...]]:
    values: dict[int, tuple[float, ...]] = {}
    for curve in curves:
        for line in curve:
            epoch = int(line["epoch"]) + 1
            values[epoch] = (*values.get(epoch, ()), float(line[quantity]))
    return dict(sorted(values.items()))


def draw_training(folder: Path, table: Table) -> list[Path]:
    """Draw `<table>_training` and return its files. Raises VisualizeError: no run has finished an epoch."""
    import matplotlib as mpl
    import matplotlib.ticker

    rows = trainings(table)
    validated = any(row.validation for row in rows)
    with mpl.rc_context(STYLE):
        columns = 3 if max(len(flat(row.label)) for row in rows) < 28 else 1
        legend = 0.14 * math.ceil(len(rows) / columns)
        figure = new_figure(WIDTH, 2.5 + legend)
        height = figure.get_figheight()
        left, right = (figure.add_axes((x, (legend + 0.45) / height, 0.42, 1.75 / height)) for x in (0.07, 0.57))
        handles = []
        for number, row in enumerate(rows, 1):
            turn, colour = divmod(number - 1, len(PALETTE))
            look: Any = {"color": PALETTE[colour], "linestyle": STYLES[turn % len(STYLES)]}
            handles.append(_line(left, row.loss, f"loss-{number}", **look))
            _line(right, row.top1, f"training-{number}", linewidth=0.6 if validated else 1.0, **look)
            if row.validation:
                _line(right, row.validation, f"validation-{number}", marker="o", markersize=2.5, **look)
        left.set_ylabel("training loss")
        right.set_ylabel("top-1 (%)" if validated else "training top-1 (%)")
        for ax in (left, right):
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        names = [flat(row.label) + (f" ({row.seeds} seeds)" if row.seeds > 1 else "") for row in rows]
        place: Any = {"loc": "lower left", "bbox_to_anchor": (0.05, 0)}
        figure.legend(handles, names, ncols=columns, frameon=False, fontsize=6, **place)
        figure.text(0.07, 1 - 0.12 / height, f"{table.id}, protocol {table.protocol}", fontweight="bold", va="top")
        if validated:
            figure.text(0.57, 1 - 0.12 / height, "thin: training; with marks: validation", va="top")
        return write(figure, folder, f"{table.id}_training")


def _line(ax: Axes, values: Mapping[int, tuple[float, ...]], gid: str, linewidth: float = 1.0, **look: Any) -> Any:
    """The mean of the seeds by epoch, and where they are several the range that they span."""
    epochs = list(values)
    means = [float(np.mean(of_epoch)) for of_epoch in values.values()]
    (line,) = ax.plot(epochs, means, linewidth=linewidth, **look)
    line.set_gid(gid)
    if max(map(len, values.values())) > 1:
        low, high = ([float(of(v)) for v in values.values()] for of in (np.min, np.max))
        ax.fill_between(epochs, low, high, color=look["color"], alpha=0.12, linewidth=0)
    return line
