"""A table as curves: its rows are the points, for tables that the paper shows as a figure (`curves` in the spec).

The last part of a row's label is its place on the x axis; the other parts name its curve. The first of them decides
the line's style and the fill of the markers, the second its colour and the shape of the markers, so that either can be
followed without the other. A row without a value is left out, and its neighbours are joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.report import plot
from benchmark.report.cells import Cell, find_cell
from benchmark.report.layout import dataset_title, measured_dataset, pretty
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)))
ASIDE = 0.008
"""Curves with error bars stand apart by this part of the x axis, so that the bars of one x can be told apart."""


@dataclass(frozen=True)
class Place:
    """A point of a curve. `error` is the SD over seeds, if there are several."""

    x: float
    value: float
    error: float | None = None


@dataclass(frozen=True)
class Curve:
    """The measured points of one curve by rising x, and its name's parts."""

    parts: tuple[str, ...]
    points: tuple[Place, ...] = field(default=())

    @property
    def name(self) -> str:
        """As the legend calls it."""
        return ", ".join(pretty(part) for part in self.parts) or "measured"


def find_curves(table: Table, cells: Sequence[Cell]) -> list[Curve]:
    """The curves in the order of the table's rows; those without any value are empty.

    A row whose label does not end in a finite number has no place on the axis and is left out.
    """
    assert table.curves is not None
    found: dict[tuple[str, ...], list[Place]] = {}
    for row in table.rows:
        *parts, last = (part.strip() for part in row.label.split(" | "))
        try:
            x = float(last)
        except ValueError:
            continue
        points = found.setdefault(tuple(parts), [])
        cell = find_cell(cells, row.label, table.curves.metric, ours=True)
        if math.isfinite(x) and cell and cell.value is not None:
            points.append(Place(x, cell.value, cell.sd))
    return [Curve(parts, tuple(sorted(points, key=lambda p: p.x))) for parts, points in found.items()]


def curves(table: Table, cells: Sequence[Cell]) -> dict[str, bytes]:
    """The figure as {"svg": ..., "png": ...}, the same bytes for the same cells; {} for a table without curves."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if table.curves is None:
        return {}
    several = find_curves(table, cells)
    rows_of_legend = math.ceil(len(several) / _legend_columns(several))
    with mpl.rc_context(plot.STYLE):
        height = plot.HEIGHT + 0.13 * rows_of_legend
        figure = Figure(figsize=(plot.WIDTH, height), dpi=plot.DPI)
        FigureCanvasAgg(figure)
        if any(curve.points for curve in several):
            _draw(figure, table, several, 0.2 + 0.14 * rows_of_legend)
        else:
            text = "no row is measured yet"
            figure.text(0.5, 0.5, text, ha="center", va="center", color=plot.GREY)
        return {kind: plot.saved(figure, kind) for kind in ("svg", "png")}


def _draw(figure: Figure, table: Table, several: Sequence[Curve], above: float) -> None:
    assert table.curves is not None
    height = figure.get_figheight()
    ax = figure.add_axes((0.135, 0.36 / height, 0.85, 1 - (0.36 + above) / height))
    shown = [curve for curve in several if curve.points]
    places = sorted({point.x for curve in shown for point in curve.points})
    span = places[-1] - places[0] or 1.0
    barred = [c for c in shown if any(point.error is not None for point in c.points)]
    styles, colours = (list(dict.fromkeys(_part(curve, i) for curve in several)) for i in (0, 1))
    for curve in shown:
        aside = ASIDE * span * (barred.index(curve) - (len(barred) - 1) / 2) if curve in barred else 0.0
        _draw_curve(ax, curve, styles.index(_part(curve, 0)), colours.index(_part(curve, 1)), aside)
    ax.set_xlim(places[0] - 0.06 * span, places[-1] + 0.06 * span)
    if len(places) <= 12:
        ax.set_xticks(places, [f"{x:g}" for x in places])
    ax.set_xlabel(pretty(table.curves.x))
    ax.set_ylabel(_axis_title(COLUMNS[table.curves.metric]))
    figure.text(0.02, 1 - 0.05 / height, _title(table, errors=bool(barred)), va="top", fontsize=7)
    ax.legend(
        frameon=False,
        fontsize=6.5,
        ncols=_legend_columns(shown),
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        borderaxespad=0.1,
        handlelength=2.6,
        labelspacing=0.3,
        columnspacing=1.2,
    )


def _draw_curve(ax: Axes, curve: Curve, style: int, colour: int, aside: float) -> None:
    shade = COLOURS[colour % len(COLOURS)]
    for point in curve.points:
        if point.error is not None:
            bar = [point.value - point.error, point.value + point.error]
            ax.plot([point.x + aside] * 2, bar, color=shade, linewidth=0.8, zorder=2)
    ax.plot(
        [point.x + aside for point in curve.points],
        [point.value for point in curve.points],
        color=shade,
        linewidth=0.9,
        linestyle=LINES[style % len(LINES)],
        marker=MARKERS[colour % len(MARKERS)],
        markersize=3.6,
        markeredgewidth=0.8,
        markerfacecolor=shade if style == 0 else "white",
        label=curve.name,
        zorder=3,
    )


def _part(curve: Curve, place: int) -> str:
    return curve.parts[place] if len(curve.parts) > place else ""


def _legend_columns(several: Sequence[Curve]) -> int:
    """A column of the legend for each line style, if all fit beside each other."""
    styles = {_part(curve, 0) for curve in several}
    return len(styles) if 1 < len(styles) <= 3 else min(3, max(1, len(several)))


def _axis_title(column: Column) -> str:
    accuracy = " accuracy" if column.base in ("top1", "top5") else ""
    return f"{column.title}{accuracy}{f' ({column.unit})' if column.unit else ''}"


def _title(table: Table, errors: bool) -> str:
    where = dataset_title(measured_dataset(table))
    name = "measured ± SD" if errors else "measured"
    return f"{name} ({where})" if table.protocol in where else f"{name} ({where}; {table.protocol})"
