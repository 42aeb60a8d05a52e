"""Accuracy against cost: printed values hollow, ours filled, with the Pareto front of each; other labs' hollow squares.

A point stands at its row's cost and value and is never moved; what would hide another thing is its name, and names are
placed (`names`), or replaced by numbers with a key beside the plot. In the SVG a marker's group has the id
`point-<printed, measured or theirs-LAB>-<numbers of its rows>`, its error bar's `bar-` and the same, so that they can
be read back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.report.cell import Cell
from benchmark.report.labels import flat
from benchmark.report.plots.axes import set_cost_axis, set_value_axis
from benchmark.report.plots.names import can_be_named, key_height, key_of, names_of, write_key, write_names
from benchmark.report.plots.points import Panel, Plane, Point, Series, cost_title, find_plane, pareto_front, value_title
from benchmark.report.plots.style import BLUE, DPI, GREY, PALETTE, STYLE, VERMILLION, finish, saved
from benchmark.spec.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
LEFT, RIGHT, TOP, BOTTOM, BETWEEN, KEY_GAP = 0.48, 0.06, 0.24, 0.38, 0.26, 0.16
WIDE, WIDE_WITH_KEY, HIGH, HIGH_OF_SEVERAL = 2.86, 3.3, 2.1, 1.7
LINE = 0.125
LABS = PALETTE[2:]
HIGHER = (1.0, 1.3, 1.7)
"""Heights of a numbered plot that are tried, as factors, until no number is far from its point."""
FAR = 16.0
"""In typographic points; from there on it takes a while to see which point is meant."""


def accuracy_against_cost(table: Table, cells: Sequence[Cell]) -> dict[str, bytes]:
    """The figure as {"svg": ..., "png": ...}, the same bytes for the same cells; {} where no row can be drawn."""
    figure = draw(table, cells)
    return {} if figure is None else {kind: saved(figure, kind) for kind in ("svg", "png")}


def draw(table: Table, cells: Sequence[Cell]) -> Figure | None:
    """The figure, or None where no row has an accuracy, or another result, and a cost."""
    import matplotlib as mpl

    plane = find_plane(table, cells)
    if plane is None:
        return None
    with mpl.rc_context(STYLE):
        tried: list[tuple[float, Figure]] = []
        for numbered, factor in [(False, 1.0)] * can_be_named(plane) + [(True, factor) for factor in HIGHER]:
            furthest, figure = _attempt(table, plane, numbered, factor)
            if furthest <= FAR:
                return finish(figure)
            tried.append((furthest, figure))
        furthest, figure = min(tried, key=lambda one: one[0])
        return finish(figure if furthest < math.inf else _attempt(table, plane, True, HIGHER[-1], must=True)[1])


def _attempt(table: Table, plane: Plane, numbered: bool, factor: float, must: bool = False) -> tuple[float, Figure]:
    """The figure with panels higher by a factor, and how far its furthest name is from its point (`write_names`)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    key = key_of(plane) if numbered else {}
    wide = WIDE_WITH_KEY if key else WIDE
    figure = Figure(figsize=(LEFT + wide + RIGHT, 1), dpi=DPI)
    FigureCanvasAgg(figure)
    titles = [_title(figure, panel, wide) for panel in plane.panels]
    # Lines of two entries each.
    legends = [math.ceil(len(panel.series) / 2) if len(panel.series) > 1 else 0 for panel in plane.panels]
    above = [TOP + LINE * (title.count("\n") + legend) for title, legend in zip(titles, legends, strict=True)]
    count = len(plane.panels)
    around = sum(above) + BOTTOM + BETWEEN * (count - 1)
    high = factor * (HIGH if count == 1 else HIGH_OF_SEVERAL)
    if key:
        high = max(high, (key_height(key) + TOP + RIGHT - around) / count)
    width, height = LEFT + wide + RIGHT, around + count * high
    figure.set_size_inches(width, height)
    everyone = [point for panel in plane.panels for series in panel.series for point in series.points]
    top = furthest = 0.0
    for panel, title, legend, room in zip(plane.panels, titles, legends, above, strict=True):
        top += room
        ax = figure.add_axes((LEFT / width, 1 - (top + high) / height, wide / width, high / height))
        ax.set_title(title, loc="left", pad=4 + 72 * LINE * legend)
        set_cost_axis(ax, [point.cost for point in everyone])
        set_value_axis(ax, [point for series in panel.series for point in series.points])
        lines = _draw_panel(ax, panel, plane.value.better)
        markers = [(point.cost, point.value) for series in panel.series for point in series.points]
        furthest = max(furthest, write_names(ax, names_of(panel, numbered), markers, lines, must))
        top += high + BETWEEN
    ax.set_xlabel(cost_title(plane.cost))
    _title_value_axes(figure, value_title(plane.value))
    if key:
        write_key(figure, flat(table.label_header), key, LEFT + wide + KEY_GAP, TOP - 0.02)
    return furthest, figure


def _title_value_axes(figure: Figure, title: str) -> None:
    """Titles of the y axes below each other, as far to the left as the widest numbers need."""
    canvas: Any = figure.canvas
    numbers = [ax.yaxis.get_tightbbox(canvas.get_renderer()) for ax in figure.axes]
    left = min(box.x0 for box in numbers if box) - 3 * figure.dpi / 72
    for ax in figure.axes:
        ax.set_ylabel(title)
        ax.yaxis.set_label_coords((left - ax.bbox.x0) / ax.bbox.width, 0.5)


def _title(figure: Figure, panel: Panel, room: float) -> str:
    """What and where on one line, or on two where the panel is not wide enough."""
    whole = f"{panel.what} ({panel.where})" if panel.what else panel.where
    text = figure.text(0, 0, whole)
    canvas: Any = figure.canvas
    wide = text.get_window_extent(canvas.get_renderer()).width / figure.dpi
    text.remove()
    return f"{panel.what}\n({panel.where})" if panel.what and wide > room else whole


def _draw_panel(ax: Axes, panel: Panel, better: str) -> list[tuple[Sequence[float], Sequence[float]]]:
    """Draw the points of a panel; returns the lines that names are to keep clear of."""
    lines: list[tuple[Sequence[float], Sequence[float]]] = []
    handles: list[Any] = []
    names = [series.lab for series in panel.series if series.lab]
    of_labs = {lab: LABS[i % len(LABS)] for i, lab in enumerate(names)}
    for series in panel.series:
        front = pareto_front(series.points, better)
        path = [p.cost for p in front], [p.value for p in front]
        colour = of_labs.get(series.lab) or (BLUE if series.ours else VERMILLION)
        if len(set(zip(*path, strict=True))) > 1:
            dashes: Any = "-" if series.ours else (0, (4, 2))
            (line,) = ax.plot(*path, color=colour, linewidth=0.8, linestyle=dashes, alpha=0.6, zorder=1)
            line.set_gid(f"front-{series.kind}")
            lines.append(path)
        for point in series.points:
            if point.error is not None:
                lines.append(_draw_bar(ax, series, point, point.error, colour))
            handle = _draw_marker(ax, series, point, colour)
        handles.append(handle)
    if len(panel.series) > 1:
        lines += _join_rows(ax, panel.series)
        ax.legend(
            handles,
            [series.name for series in panel.series],
            frameon=False,
            ncols=2,
            fontsize=6.5,
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            handletextpad=0.1,
            borderaxespad=0.1,
            columnspacing=1.2,
        )
    return lines


def _gid(kind: str, series: Series, point: Point) -> str:
    return "-".join([kind, series.kind, *map(str, point.rows)])


def _draw_marker(ax: Axes, series: Series, point: Point, colour: str) -> Any:
    # A rim of the other colour, so that markers that touch are seen apart.
    rim: Any = {"markersize": 4, "markeredgewidth": 0.9, "markeredgecolor": colour, "markerfacecolor": "white"}
    if series.ours:
        rim = {"markersize": 4.4, "markeredgewidth": 0.3, "markeredgecolor": "white", "markerfacecolor": colour}
    shape = "s" if series.lab else "o"
    (marker,) = ax.plot([point.cost], [point.value], linestyle="none", marker=shape, zorder=3, **rim)
    marker.set_gid(_gid("point", series, point))
    return marker


def _draw_bar(
    ax: Axes, series: Series, point: Point, error: float, colour: str
) -> tuple[Sequence[float], Sequence[float]]:
    """A bar with caps over seeds; a thin one for what one seed leaves, the sampling error of the clips."""
    bar = [point.cost] * 2, [point.value - error, point.value + error]
    style: Any = {"linewidth": 0.9, "marker": "_", "markersize": 3.5, "markeredgewidth": 0.7}
    if point.seeds == 1:
        style = {"linewidth": 0.45, "alpha": 0.75}
    (line,) = ax.plot(*bar, color=colour, zorder=2, **style)
    line.set_gid(_gid("bar", series, point))
    return bar


def _join_rows(ax: Axes, several: Sequence[Series]) -> list[tuple[Sequence[float], Sequence[float]]]:
    """A dotted line from a row's printed point to its measured one, since only the latter is named."""
    by_kind = {s.kind: {row: point for point in s.points for row in point.rows} for s in several}
    printed, measured = by_kind.get("printed", {}), by_kind.get("measured", {})
    pairs = dict.fromkeys((printed[row], measured[row]) for row in printed if row in measured)
    lines: list[tuple[Sequence[float], Sequence[float]]] = []
    for a, b in pairs:
        lines.append(([a.cost, b.cost], [a.value, b.value]))
        ax.plot(*lines[-1], color=GREY, linewidth=0.5, linestyle=":", zorder=0.5)
    return lines
