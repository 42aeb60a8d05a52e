"""What the points of a plot are called: by the labels of their rows, or by numbers with a key beside the plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.report.plots.placement import Box, Spot, find_places
from benchmark.report.plots.points import Panel, Plane
from benchmark.report.plots.style import GREY, drawable, families
from benchmark.report.text.layout import flat

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMES, LONGEST = 8, 24
"""Up to so many names of so many characters stand at their points; otherwise points are numbered."""
SIZE = 6.5
PITCH = 0.135
"""Inches from a line of the key to the next."""
Line = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Name:
    """A text and the place that it names, in the axes' units."""

    text: str
    cost: float
    value: float


def names_of(panel: Panel, numbered: bool) -> list[Name]:
    """A name for every place of a panel where points stand: the rows' labels on lines of their own, or their numbers.

    A row that is both printed and measured in the panel is named once, where it is measured.
    """
    named: set[int] = set()
    at: dict[tuple[float, float], dict[int, str]] = {}
    for series in sorted(panel.series, key=lambda s: not s.ours):
        for point in series.points:
            new = {row: label for row, label in zip(point.rows, point.labels, strict=True) if row not in named}
            named |= new.keys()
            if new:
                at.setdefault((point.cost, point.value), {}).update(new)
    return [
        Name(", ".join(map(str, sorted(rows))) if numbered else "\n".join(map(flat, rows.values())), *place)
        for place, rows in sorted(at.items(), key=lambda item: min(item[1]))
    ]


def can_be_named(plane: Plane) -> bool:
    """Whether the points of a plot are few enough, and their names short enough, to be named where they stand."""
    names = key_of(plane).values()
    return len(names) <= MOST_NAMES and max(map(len, names)) <= LONGEST


def key_of(plane: Plane) -> dict[int, str]:
    """The rows that have a point in any panel, by number, in the order of the table."""
    points = [point for panel in plane.panels for series in panel.series for point in series.points]
    return dict(sorted((row, flat(label)) for p in points for row, label in zip(p.rows, p.labels, strict=True)))


def write_names(
    ax: Axes, names: Sequence[Name], markers: Sequence[Spot], lines: Sequence[Line], must: bool = False
) -> float:
    """Write names into axes whose limits are set, and thin lines to those that stand off.

    Args:
        ax: Where.
        names: What.
        markers: (cost, value) of everything that no name may hide.
        lines: Bars and fronts that no name may cross.
        must: Write even what finds no free place.

    Returns:
        How far the furthest name is from its point, in typographic points; infinity if one found no place.
    """
    scale = 72 / ax.figure.dpi
    canvas: Any = ax.figure.canvas

    def on_paper(cost: float, value: float) -> Spot:
        x, y = ax.transData.transform((cost, value)) * scale
        return float(x), float(y)

    texts = [
        ax.text(
            name.cost,
            name.value,
            drawable(name.text),
            fontfamily=families(name.text),
            fontsize=SIZE,
            color=GREY,
            linespacing=1.0,
            va="bottom",
            zorder=4,
        )
        for name in names
    ]
    extents = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    frame = ax.get_window_extent()
    anchors = [on_paper(name.cost, name.value) for name in names]
    places = find_places(
        anchors,
        [(box.width * scale, box.height * scale) for box in extents],
        [on_paper(*marker) for marker in markers],
        [[on_paper(x, y) for x, y in zip(*line, strict=True)] for line in lines],
        Box(*(float(v) * scale for v in (frame.x0, frame.y0, frame.x1, frame.y1))),
        must,
    )
    to_data = ax.transData.inverted()
    for text, place in zip(texts, places.of, strict=True):
        if place:
            x, y = to_data.transform((place.box.left / scale, place.box.bottom / scale))
            text.set_position((float(x), float(y)))
        if place and place.line:
            path = to_data.transform([[v / scale for v in spot] for spot in place.line])
            ax.plot(path[:, 0], path[:, 1], color=GREY, linewidth=0.4, zorder=1.5)
    return math.inf if None in places.of else places.furthest


def write_key(figure: Figure, heading: str, key: dict[int, str], left: float, top: float) -> None:
    """The numbers and the names of rows, one below the other, from a place in inches from the left and the top."""
    width, height = figure.get_size_inches()
    canvas: Any = figure.canvas
    digits = figure.text(0, 0, str(max(key)), fontsize=SIZE)
    column = digits.get_window_extent(canvas.get_renderer()).width / figure.dpi
    digits.remove()
    lines = [("", heading), *((str(number), name) for number, name in key.items())]
    for place, (number, name) in enumerate(lines):
        y = 1 - (top + PITCH * (place + 0.7)) / height
        style: Any = {"va": "baseline", "fontsize": SIZE}
        if number:
            figure.text((left + column) / width, y, number, ha="right", **style)
        x = left + (column + 0.08 if number else 0)
        colour = GREY if number else "black"
        figure.text(x / width, y, drawable(name), fontfamily=families(name), color=colour, **style)


def key_height(key: dict[int, str]) -> float:
    """Inches that the key takes, with its heading."""
    return PITCH * (len(key) + 1)
