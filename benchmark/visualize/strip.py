"""Rows of images over the frames of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.visualize.clip import GAP, LINE, MARGIN, TALLEST, WHEEL
from benchmark.visualize.colours import flow_wheel
from benchmark.visualize.figure import WIDTH, bare, new_figure, wrapped
from benchmark.visualize.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 0.52
"""Inches: two lines of title and the numbers of the frames."""


def spread(count: int, columns: int, needed: Sequence[int] = ()) -> list[int]:
    """At most `columns` of `count` places, evenly spread; each needed one takes the place of its nearest."""
    shown = np.unique(np.linspace(0, count - 1, min(columns, count)).round().astype(int)).tolist()
    for t in dict.fromkeys(needed):
        if t not in shown:
            free = [i for i, place in enumerate(shown) if place not in needed]
            if free:
                shown[min(free, key=lambda i: abs(shown[i] - t))] = t
            else:
                shown.append(t)
    return sorted(shown)


def strip(
    title: str,
    subtitle: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    marks: Mapping[tuple[int, int], tuple[int, int]] | None = None,
) -> Figure:
    """Rows of images, a column each place of a clip.

    Args:
        title: First line, or several where it is long.
        subtitle: The next line.
        columns: What stands above each.
        rows: Of as many images (S, S, 3).
        marks: (row, column) -> (y, x), a red point there.
    """
    side = min((WIDTH - MARGIN) / len(columns) - GAP, TALLEST)
    width = max(WIDTH, MARGIN + len(columns) * (side + GAP))
    titles = wrapped(title, width - 0.1)
    above = TOP + 0.15 * (len(titles) - 1)
    pitch = max(side, 3 * LINE + 0.03) + GAP
    total = above + len(rows) * pitch
    figure = new_figure(width, total)
    for i, text in enumerate([*titles, subtitle]):
        is_title = i < len(titles)
        y = 1 - (0.05 + 0.15 * i) / total
        weight = "bold" if is_title else "normal"
        figure.text(0.05 / width, y, text, va="top", fontsize=7.5 if is_title else 6.5, weight=weight)
    for i, text in enumerate(columns):
        centre = MARGIN + i * (side + GAP) + side / 2
        figure.text(centre / width, 1 - (above - 0.03) / total, text, ha="center", va="bottom", size=6)
    for r, row in enumerate(rows):
        top = above + r * pitch
        for i, text in enumerate(line for line in (row.title, row.origin, row.scale) if line):
            y = 1 - (top + 0.02 + LINE * i) / total
            figure.text(
                0.05 / width, y, text, va="top", fontsize=6.5 if i == 0 else 6, weight="normal" if i else "bold"
            )
        if row.is_flow:
            box = ((MARGIN - WHEEL - 0.06) / width, 1 - (top + WHEEL) / total, WHEEL / width, WHEEL / total)
            ax = figure.add_axes(box)
            ax.imshow(flow_wheel(96), interpolation="none")
            bare(ax)
        for i, image in enumerate(row.images):
            left = MARGIN + i * (side + GAP)
            ax = figure.add_axes((left / width, 1 - (top + side) / total, side / width, side / total))
            ax.imshow(image, interpolation="none", aspect="auto")
            bare(ax)
            if marks and (r, i) in marks:
                y, x = marks[r, i]
                ax.plot([x], [y], marker="o", color="red", markersize=3.5, markeredgecolor="white", markeredgewidth=0.5)
    return figure
