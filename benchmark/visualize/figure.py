"""One style for all pictures, and files that depend on nothing but what is drawn.

Figures are made without pyplot: nothing is shown on a screen, and no state is shared between two of them.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.report.plots import style
from benchmark.runs.atomic import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = style.STYLE
"""That of the tables' figures."""

WIDTH = 7.0
"""Inches: the two columns of a page."""

PALETTE = style.PALETTE
"""Okabe and Ito's colours."""

DIVERGING = "RdBu_r"
"""Colour map of signed numbers: white at zero."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches. Use it, and `write` it, within `matplotlib.rc_context(STYLE)`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def write(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Save as `<name>.png` and `<name>.svg`, replacing files of that name, and return their paths.

    The figure is enlarged first by what would be cut off at its edges.
    `name` may hold any text; what is unusual in a file's name becomes `_`.
    """
    stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "picture"
    folder.mkdir(parents=True, exist_ok=True)
    style.finish(figure)
    paths = []
    for kind in ("png", "svg"):
        path = folder / f"{stem}.{kind}"
        write_atomic(path, style.saved(figure, kind))
        paths.append(path)
    return paths


def wrapped(title: str, width: float, points: float = 7.5) -> list[str]:
    """A bold title of a size in points on as many lines as fit into a width in inches; a file's long name is broken."""
    return textwrap.wrap(title, max(20, int(width / (0.0092 * points)))) or [""]


def bare(ax: Axes) -> None:
    """Take away ticks and frame, for axes that hold an image."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
