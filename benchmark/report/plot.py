"""Accuracy against cost: printed values hollow, ours filled, with the Pareto front of each.

Values of different data sets or protocols never share an axis: then the printed and the measured ones have a panel
each, one above the other, over the same GMACs.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from benchmark.report.cells import Cell, find_cell
from benchmark.report.label_placement import Box, place
from benchmark.report.layout import dataset_title, flat, measured_dataset
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

# Okabe and Ito's palette, told apart with any colour vision; the marker's fill says the same without colour.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#595959"
WIDTH, HEIGHT, HEIGHT_OF_TWO = 3.4, 2.6, 4.2
DPI = 300
PER_POINT = DPI / 72
LOG_SPAN = 5.0
_TICK_STEPS = [1, 2, 2.5, 5, 10]
# Points nearer than this to each other in cost are drawn side by side, this far apart, if they would hide one another.
_TOUCHING, _APART = 4.0, 9.0
# Where all costs are equal, the whole width is free.
_APART_ALONE = 30.0
STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # Text stays text, so that a figure can be searched and edited; the salt makes element ids reproducible.
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmark",
}


@dataclass(frozen=True)
class Point:
    """A row in the plane. `error` is the SD over seeds, if several; `aside` is by how many points it is moved."""

    label: str
    gmacs: float
    accuracy: float
    error: float | None = None
    aside: float = 0.0


@dataclass(frozen=True)
class Series:
    """The points of one kind, with how they are drawn."""

    name: str
    points: tuple[Point, ...]
    ours: bool


def printed_points(cells: Sequence[Cell], column: str = "top1") -> tuple[Point, ...]:
    """Rows with a printed accuracy, at their printed GMACs or else at those counted here."""
    points = []
    for label in dict.fromkeys(cell.row for cell in cells):
        accuracy = find_cell(cells, label, column, ours=False)
        places = (find_cell(cells, label, "gmacs", ours=ours) for ours in (False, True))
        cost = next((cell.value for cell in places if cell and cell.value is not None), None)
        if accuracy and accuracy.value is not None and cost is not None and cost > 0:
            points.append(Point(label, cost, accuracy.value))
    return tuple(points)


def measured_points(cells: Sequence[Cell], column: str = "top1") -> tuple[Point, ...]:
    """Rows with a measured accuracy and counted GMACs."""
    points = []
    for label in dict.fromkeys(cell.row for cell in cells):
        accuracy = find_cell(cells, label, column, ours=True)
        cost = find_cell(cells, label, "gmacs", ours=True)
        if accuracy and accuracy.value is not None and cost and cost.value is not None and cost.value > 0:
            points.append(Point(label, cost.value, accuracy.value, accuracy.sd))
    return tuple(points)


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in accuracy at the same or a lower cost, by rising cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.gmacs, -p.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def panels(table: Table, cells: Sequence[Cell]) -> list[tuple[str, list[Series]]]:
    """What to draw: (title, series) per panel, from the top. Panels without a point are left out."""
    dataset = measured_dataset(table)
    printed = Series("printed", printed_points(cells), ours=False)
    measured = Series("measured", measured_points(cells), ours=True)
    if table.protocol == "paper" and dataset == table.dataset:
        together = [series for series in (printed, measured) if series.points]
        return [(dataset_title(dataset), together)] if together else []
    where = dataset_title(dataset)
    name = "measured ± SD" if any(point.error is not None for point in measured.points) else "measured"
    title = f"{name} ({where})" if table.protocol in where else f"{name} ({where}; {table.protocol})"
    titled = [(f"printed ({dataset_title(table.dataset)})", printed), (title, measured)]
    return [(title, [series]) for title, series in titled if series.points]


def accuracy_against_cost(table: Table, cells: Sequence[Cell]) -> dict[str, bytes]:
    """The figure as {"svg": ..., "png": ...}, without dates, so that the same cells give the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = panels(table, cells)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT_OF_TWO if len(shown) > 1 else HEIGHT), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        if shown:
            _draw(figure, canvas, shown)
        else:
            figure.text(0.5, 0.5, "no row has both accuracy and GMACs yet", ha="center", va="center", color=GREY)
        return {kind: saved(figure, kind) for kind in ("svg", "png")}


def saved(figure: Figure, kind: str) -> bytes:
    """The figure as `svg` or `png`, the same bytes each time."""
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata, dpi=DPI)
    return buffer.getvalue()


def _draw(figure: Figure, canvas: Any, shown: Sequence[tuple[str, list[Series]]]) -> None:
    axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    costs = [point.gmacs for _, several in shown for series in several for point in series.points]
    _set_x(axes[-1], costs)
    figure.subplots_adjust(0.135, 0.36 / figure.get_figheight(), 0.985, 1 - 0.2 / figure.get_figheight(), hspace=0.24)
    for ax, (title, several) in zip(axes, shown, strict=True):
        _set_y(ax, several)
        ax.set_title(title, loc="left", pad=4)
        ax.set_ylabel(f"{COLUMNS['top1'].title} accuracy (%)")
    # All panels or none, so that a row has the same place in each.
    crowded = any(_hides_another(ax, several) for ax, (_, several) in zip(axes, shown, strict=True))
    for ax, (_, given) in zip(axes, shown, strict=True):
        several = _side_by_side(ax, given) if crowded else given
        for series in several:
            _draw_series(ax, series)
        if len(several) > 1:
            _join_rows(ax, several)
            ax.legend(frameon=False, fontsize=6.5, loc="lower right", handletextpad=0.2, borderaxespad=0.1)
        _label(ax, canvas, several)
    if crowded and all(len(_clusters(ax, several)) == 1 for ax, (_, several) in zip(axes, shown, strict=True)):
        # A scale would invite reading costs off positions that say nothing about them.
        cost = sum(costs) / len(costs)
        axes[-1].set_xticks([cost], [f"{cost:.1f}"])
    axes[-1].set_xlabel(f"GMACs per clip, at paper scale{' (equal costs side by side)' if crowded else ''}")
    figure.align_ylabels()


def _join_rows(ax: Axes, several: Sequence[Series]) -> None:
    """A dotted line from a row's printed point to its measured one, since only the latter is named."""
    printed, measured = ({p.label: p for p in series.points} for series in several)
    for label in (label for label in printed if label in measured):
        ends = (printed[label], measured[label])
        places = [_x(ax, p) for p in ends], [p.accuracy for p in ends]
        ax.plot(*places, color=GREY, linewidth=0.5, linestyle=":", zorder=0.5)


def _clusters(ax: Axes, several: Sequence[Series]) -> list[list[tuple[int, int]]]:
    """Points that touch in cost, as (series, point) in the order of the rows."""
    ids = [(s, p) for s, series in enumerate(several) for p in range(len(series.points))]
    at = {(s, p): _position(ax, several[s].points[p])[0] for s, p in ids}
    rows = list(dict.fromkeys(point.label for series in several for point in series.points))
    clusters: list[list[tuple[int, int]]] = []
    for i in sorted(ids, key=lambda i: at[i]):
        if clusters and at[i] - at[clusters[-1][-1]] < _TOUCHING:
            clusters[-1].append(i)
        else:
            clusters.append([i])
    return [sorted(c, key=lambda i: (rows.index(several[i[0]].points[i[1]].label), i)) for c in clusters]


def _hides_another(ax: Axes, several: Sequence[Series]) -> bool:
    for cluster in _clusters(ax, several):
        boxes = [_marker_box(ax, several[s].points[p]) for s, p in cluster]
        if any(a.overlap(b) for i, a in enumerate(boxes) for b in boxes[:i]):
            return True
    return False


def _side_by_side(ax: Axes, several: Sequence[Series]) -> list[Series]:
    points = [list(series.points) for series in several]
    clusters = _clusters(ax, several)
    width = ax.get_window_extent().width / PER_POINT
    for cluster in clusters:
        apart = _APART if len(clusters) > 1 else min(_APART_ALONE, 0.75 * width / len(cluster))
        for place_in_cluster, (s, p) in enumerate(cluster):
            aside = apart * (place_in_cluster - (len(cluster) - 1) / 2)
            points[s][p] = replace(points[s][p], aside=aside)
    return [replace(series, points=tuple(moved)) for series, moved in zip(several, points, strict=True)]


def _position(ax: Axes, point: Point) -> tuple[float, float]:
    """Where the point is drawn, in typographic points."""
    x, y = ax.transData.transform((point.gmacs, point.accuracy)) / PER_POINT
    return float(x) + point.aside, float(y)


def _marker_box(ax: Axes, point: Point) -> Box:
    """The room of the marker and its error bar."""
    x, y = _position(ax, point)
    top = ax.transData.transform((point.gmacs, point.accuracy + (point.error or 0)))[1] / PER_POINT
    reach = max(2.8, float(top) - y)
    return Box(x - 2.8, y - reach, x + 2.8, y + reach)


def _x(ax: Axes, point: Point) -> float:
    """The drawn position on the axis of costs."""
    x, y = _position(ax, point)
    return float(ax.transData.inverted().transform((x * PER_POINT, y * PER_POINT))[0])


def _draw_series(ax: Axes, series: Series) -> None:
    colour = BLUE if series.ours else VERMILLION
    front = pareto_front(series.points)
    if len(front) > 1:
        ax.plot(
            [_x(ax, p) for p in front],
            [p.accuracy for p in front],
            color=colour,
            linewidth=0.8,
            linestyle="-" if series.ours else (0, (4, 2)),
            alpha=0.6,
            zorder=1,
        )
    for point in series.points:
        if point.error is not None:
            bar = [point.accuracy - point.error, point.accuracy + point.error]
            ax.plot([_x(ax, point)] * 2, bar, color=colour, linewidth=0.8, zorder=2)
    ax.plot(
        [_x(ax, p) for p in series.points],
        [p.accuracy for p in series.points],
        linestyle="none",
        marker="o",
        markersize=4,
        markeredgewidth=0.9,
        markeredgecolor=colour,
        markerfacecolor=colour if series.ours else "white",
        label=series.name,
        zorder=3,
    )


def _set_x(ax: Axes, values: Sequence[float]) -> None:
    """Log over more than a factor of five. One per cent at least, so that equal costs do not look different."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    low, high = min(values), max(values)
    if high > LOG_SPAN * low:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        margin = (high / low) ** 0.12
        ax.set_xlim(low / margin, high * margin)
    else:
        margin = max(0.15 * (high - low), 0.005 * (low + high) / 2)
        ax.set_xlim(low - margin, high + margin)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=_TICK_STEPS))
    ax.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))


def _set_y(ax: Axes, several: Sequence[Series]) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    ends = [p.accuracy + s * (p.error or 0) for series in several for p in series.points for s in (-1, 1)]
    margin = max(0.15 * (max(ends) - min(ends)), 0.5)
    ax.set_ylim(min(ends) - margin, max(ends) + margin)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=_TICK_STEPS))
    ax.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))


def _label(ax: Axes, canvas: Any, several: Sequence[Series]) -> None:
    """Name every point; a row that both series show is named once, at ours."""
    renderer = canvas.get_renderer()
    frame = ax.get_window_extent(renderer)
    anchors, texts, obstacles = [], [], []
    named: set[str] = set()
    for series in sorted(several, key=lambda s: not s.ours):
        for point in series.points:
            x, y = _position(ax, point)
            obstacles.append(_marker_box(ax, point))
            if point.label not in named:
                named.add(point.label)
                text = ax.text(0, 0, flat(point.label), fontsize=6, color=GREY, zorder=4)
                extent = text.get_window_extent(renderer)
                anchors.append((x, y))
                texts.append((text, extent.width / PER_POINT, extent.height / PER_POINT))
        obstacles += _front_boxes(ax, series)
    legend = ax.get_legend()
    if legend is not None:
        obstacles.append(_in_points(legend.get_window_extent(renderer)))
    bounds = _in_points(frame)
    places = place(anchors, [(width, height) for _, width, height in texts], obstacles, bounds)
    inverse = ax.transData.inverted()
    for (text, width, height), anchor, box in zip(texts, anchors, places, strict=True):
        x, y = inverse.transform((box.left * PER_POINT, box.bottom * PER_POINT))
        text.set_position((float(x), float(y)))
        text.set_verticalalignment("bottom")
        near = (min(max(anchor[0], box.left), box.left + width), min(max(anchor[1], box.bottom), box.bottom + height))
        if math.dist(near, anchor) > 6:
            ends = inverse.transform([[v * PER_POINT for v in end] for end in (anchor, near)])
            ax.plot(ends[:, 0], ends[:, 1], color=GREY, linewidth=0.35, alpha=0.7, zorder=1.5)


def _in_points(pixels: Bbox) -> Box:
    return Box(*(float(v) / PER_POINT for v in (pixels.x0, pixels.y0, pixels.x1, pixels.y1)))


def _front_boxes(ax: Axes, series: Series) -> list[Box]:
    """Small boxes along the Pareto line, for labels to keep clear of."""
    corners = [_position(ax, p) for p in pareto_front(series.points)]
    boxes = []
    for start, end in pairwise(corners):
        steps = max(2, int(math.dist(start, end) / 3))
        for i in range(steps + 1):
            x, y = (a + (b - a) * i / steps for a, b in zip(start, end, strict=True))
            boxes.append(Box(float(x) - 0.6, float(y) - 0.6, float(x) + 0.6, float(y) + 0.6))
    return boxes
