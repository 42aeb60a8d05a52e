"""A clip in every representation, one below the other; the columns are places in the clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmark.visualize.colours import flow_wheel
from benchmark.visualize.figure import STYLE, WIDTH, bare, new_figure, wrapped, write
from benchmark.visualize.representation import trained_representation
from benchmark.visualize.rows import Row, build_rows, frames_needed, gather, representations
from benchmark.visualize.source import Source, open_source, starts
from benchmark.visualize.trained import load_trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches.
MARGIN, TOP, GAP = 1.75, 0.42, 0.05
LINE = 0.115
WHEEL = 0.27
TALLEST = 1.2


def draw_clip(
    target: str, folder: Path, runs: Sequence[str] = (), start: int = 0, columns: int = 6, size: int = 160
) -> list[Path]:
    """Draw a clip in all representations and return the files.

    Args:
        target: A video file, or `<data set>[:<split>[:<index>]]`.
        folder: Where the files go.
        runs: Run keys; a run's representation is shown with the run's weights.
        start: Number, from 0, of the first column's frame.
        columns: How many places of the clip are shown at most.
        size: Shorter side, in pixels, to which larger frames are reduced before anything is computed.

    Raises:
        DataError: The clip or a run cannot be shown; VisualizeError and DecodeError are its kinds.
    """
    source = open_source(target, size)
    shown = representations([trained_representation(load_trained(name)) for name in runs])
    length = frames_needed(shown)
    firsts = starts(source.frames, start, columns, length)
    frames = gather(source.read, firsts, length, source.frames)
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = _figure(source, firsts, build_rows(frames, shown))
        return write(figure, folder, f"clip-{source.name}")


def _figure(source: Source, firsts: NDArray[np.int64], rows: Sequence[Row]) -> Figure:
    across = (WIDTH - MARGIN) / len(firsts) - GAP
    factor = min(across / source.width, TALLEST / source.height)
    wide, high = factor * source.width, factor * source.height
    pitch = [max(high, LINE * len(_lines(row)) + 0.03) + GAP for row in rows]
    width = MARGIN + len(firsts) * (wide + GAP)
    titles = wrapped(source.title, width - 0.1)
    above = TOP + 0.15 * (len(titles) - 1)
    total = above + sum(pitch)
    figure = new_figure(width, total)
    for i, text in enumerate(titles):
        figure.text(0.05 / width, 1 - (0.05 + 0.15 * i) / total, text, va="top", fontsize=7.5, weight="bold")
    for column, first in enumerate(firsts):
        centre = MARGIN + column * (wide + GAP) + wide / 2
        seconds = f"\n{first / source.fps:.2f} s" if source.fps else ""
        figure.text(
            centre / width, 1 - (above - 0.03) / total, f"frame {first}{seconds}", ha="center", va="bottom", size=6
        )
    top = above
    for row, step in zip(rows, pitch, strict=True):
        _label(figure, row, top, step)
        for column, image in enumerate(row.images):
            left = MARGIN + column * (wide + GAP)
            ax = figure.add_axes((left / width, 1 - (top + high) / total, wide / width, high / total))
            ax.imshow(image, interpolation="none", aspect="auto")
            bare(ax)
        top += step
    return figure


def _lines(row: Row) -> list[str]:
    return [line for line in (row.title, *_wrapped(row.origin), row.scale) if line]


def _wrapped(origin: str) -> list[str]:
    """`trained, 7 epochs (run 1a2b3c4d)` on two lines: the margin is narrow."""
    before, bracket, after = origin.partition(" (")
    return [before, f"({after}"] if bracket else [origin]


def _label(figure: Figure, row: Row, top: float, step: float) -> None:
    width, total = figure.get_figwidth(), figure.get_figheight()
    for i, line in enumerate(_lines(row)):
        y = 1 - (top + 0.02 + LINE * i) / total
        figure.text(
            0.05 / width, y, line, va="top", fontsize=6.5 if i == 0 else 6, weight="bold" if i == 0 else "normal"
        )
    if row.is_flow:
        left, bottom = MARGIN - WHEEL - 0.06, top + min(step - GAP, WHEEL + 0.02)
        ax = figure.add_axes((left / width, 1 - bottom / total, WHEEL / width, WHEEL / total))
        ax.imshow(flow_wheel(96), interpolation="none")
        bare(ax)
