"""A table as curves: its rows are the points, for tables that the paper shows as a figure (`curves` in the spec).

The last part of a row's label is its place on the x axis; the other parts name its curve. The first of them decides
the line's style and the fill of the markers, the second its colour and the shape of the markers, so that either can be
followed without the other. A row without a value is left out, and its neighbours are joined. Bars that stand at one x
are told apart by the width of their caps: nothing is moved aside. In the SVG the group of a curve's line and markers
has the id `curve-<its number>`, that of the bar at its nth marker `bar-<its number>-<n>`, both from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmark.report.cell import Cell, find_cell
from benchmark.report.labels import pretty
from benchmark.report.plots.points import measured_name, sampling_error, value_title, where_measured
from benchmark.report.plots.style import DPI, PALETTE, STYLE, finish, saved
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 3.4, 2.6
"""Inches, without the legend."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)))
CAPS = (3.0, 9.0)
"""Widths of the narrowest and the widest caps, in typographic points."""


@dataclass(frozen=True)
class Place:
    """A point of a curve. `error`: the SD over `seeds`, or with one seed the standard error over the clips."""

    x: float
    value: float
    error: float | None = None
    seeds: int = 0


@dataclass(frozen=True)
class Curve:
    """The measured points of one curve by rising x, and its name's parts."""

    parts: tuple[str, ...]
    points: tuple[Place, ...] = field(default=())

    @property
    def name(self) -> str:
        """As the legend calls it."""
        return ", ".join(pretty(part) for part in self.parts if part) or "measured"


def find_curves(table: Table, cells: Sequence[Cell]) -> list[Curve]:
    """The curves in the order of the table's rows; those without any value are empty.

    A row whose label does not end in a finite number has no place on the axis and is left out.
    """
    assert table.curves is not None
    found: dict[tuple[str, ...], list[Place]] = {}
    for row in (row for row in table.rows if not row.theirs):
        *parts, last = (part.strip() for part in row.label.split(" | "))
        try:
            x = float(last)
        except ValueError:
            continue
        points = found.setdefault(tuple(parts), [])
        cell = find_cell(cells, row.label, table.curves.metric, ours=True)
        if math.isfinite(x) and cell and cell.value is not None:
            error = cell.sd if cell.sd is not None else sampling_error(cell) if cell.n == 1 else None
            points.append(Place(x, cell.value, error, cell.n))
    return [Curve(parts, tuple(sorted(points, key=lambda p: p.x))) for parts, points in found.items()]


def curves(table: Table, cells: Sequence[Cell]) -> dict[str, bytes]:
    """The figure as {"svg": ..., "png": ...}, the same bytes for the same cells.

    {} for a table without curves, and for one whose curves have no point yet.
    """
    figure = draw(table, cells)
    return {} if figure is None else {kind: saved(figure, kind) for kind in ("svg", "png")}


def draw(table: Table, cells: Sequence[Cell]) -> Figure | None:
    """The table's figure, or None where there is nothing to draw."""
    if table.curves is None:
        return None
    several = find_curves(table, cells)
    points = [point for curve in several for point in curve.points]
    name = measured_name([point.seeds for point in points if point.error is not None])
    heading = f"{name} ({where_measured(table)})"
    return figure_of(several, pretty(table.curves.x), value_title(COLUMNS[table.curves.metric]), heading)


def figure_of(several: Sequence[Curve], x_title: str, y_title: str, heading: str) -> Figure | None:
    """Some curves in one pair of axes under their legend; None where they have no point."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not any(curve.points for curve in several):
        return None
    rows_of_legend = math.ceil(len(several) / _legend_columns(several))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT + 0.13 * rows_of_legend), dpi=DPI)
        FigureCanvasAgg(figure)
        ax = _draw(figure, several, 0.2 + 0.14 * rows_of_legend)
        ax.set_xlabel(x_title)
        ax.set_ylabel(y_title)
        figure.text(0.02, 1 - 0.05 / figure.get_figheight(), heading, va="top", fontsize=7)
        return finish(figure)


def _draw(figure: Figure, several: Sequence[Curve], above: float) -> Axes:
    height = figure.get_figheight()
    ax = figure.add_axes((0.135, 0.36 / height, 0.85, 1 - (0.36 + above) / height))
    shown = [(number, curve) for number, curve in enumerate(several, 1) if curve.points]
    points = [point for _, curve in shown for point in curve.points]
    ticks = sorted({point.x for point in points})
    span = ticks[-1] - ticks[0] or 1.0
    styles, colours = (list(dict.fromkeys(_part(curve, i) for curve in several)) for i in (0, 1))
    handles = []
    for number, curve in shown:
        # The first curve's caps are the widest, so that those of the curves over it are seen inside them.
        cap = CAPS[1] - (CAPS[1] - CAPS[0]) * (number - 1) / max(1, len(several) - 1)
        style, colour = styles.index(_part(curve, 0)), colours.index(_part(curve, 1))
        handles.append(_draw_curve(ax, curve, number, style, colour, cap))
    ax.set_xlim(ticks[0] - 0.06 * span, ticks[-1] + 0.06 * span)
    if len(ticks) <= 12:
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.legend(
        handles,
        [curve.name for _, curve in shown],
        frameon=False,
        fontsize=6.5,
        ncols=_legend_columns([curve for _, curve in shown]),
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        borderaxespad=0.1,
        handlelength=2.6,
        labelspacing=0.3,
        columnspacing=1.2,
    )
    return ax


def _draw_curve(ax: Axes, curve: Curve, number: int, style: int, colour: int, cap: float) -> Any:
    shade = PALETTE[colour % len(PALETTE)]
    for nth, point in enumerate(curve.points, 1):
        if point.error is None:
            continue
        look: Any = {"linewidth": 0.45, "alpha": 0.75}
        if point.seeds > 1:
            look = {"linewidth": 0.8, "marker": "_", "markersize": cap, "markeredgewidth": 0.8}
        bar = [point.value - point.error, point.value + point.error]
        (line,) = ax.plot([point.x] * 2, bar, color=shade, zorder=2, **look)
        line.set_gid(f"bar-{number}-{nth}")
    (line,) = ax.plot(
        [point.x for point in curve.points],
        [point.value for point in curve.points],
        color=shade,
        linewidth=0.9,
        linestyle=LINES[style % len(LINES)],
        marker=MARKERS[colour % len(MARKERS)],
        markersize=3.6,
        markeredgewidth=0.8,
        markerfacecolor=shade if style == 0 else "white",
        zorder=3,
    )
    line.set_gid(f"curve-{number}")
    return line


def _part(curve: Curve, index: int) -> str:
    return curve.parts[index] if len(curve.parts) > index else ""


def _legend_columns(several: Sequence[Curve]) -> int:
    """A column of the legend for each line style, if all fit beside each other."""
    styles = {_part(curve, 0) for curve in several}
    return len(styles) if 1 < len(styles) <= 3 else min(3, max(1, len(several)))
