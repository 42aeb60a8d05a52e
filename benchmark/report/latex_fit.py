"""How a LaTeX table is made to fit the line: the largest type it fits in, then label columns that wrap.

Widths are those of Computer Modern, by the copy of it that comes with matplotlib, for the 345 pt lines of a standard
article. Documents with narrower lines are served by the scaling that `report.latex` adds to every table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

LINE = 345.0
"""Points; `\\linewidth` of an article in one column."""
SIZES = {"small": 9.25, "footnotesize": 8.5, "scriptsize": 7.97}
"""Type size -> points per em of the 10 pt design, whose smaller ones are a little wider than their size."""
SPACING = (4.0, 3.0, 2.0)
SLACK = 1.04


@dataclass(frozen=True)
class Fit:
    """A type size by its command, the space beside columns in points, and the width of every column that wraps."""

    size: str
    spacing: float
    wraps: tuple[float | None, ...]


def fit(columns: Sequence[Sequence[str]], text: Sequence[bool]) -> Fit:
    """The first that fits, from the largest type down; else the smallest, with every text column as narrow as it gets.

    Args:
        columns: Plain entries of every column, headings among them.
        text: Which columns may wrap.
    """
    natural = [max((width(entry) for entry in column), default=0.0) for column in columns]
    none: tuple[float | None, ...] = (None,) * len(columns)
    for size, em in SIZES.items():
        for spacing in SPACING[:-1]:
            if em * sum(natural) + 2 * spacing * len(columns) <= LINE:
                return Fit(size, spacing, none)
    words = [max((width(w) for entry in column for w in entry.split()), default=0.0) for column in columns]
    for size, em in list(SIZES.items())[1:]:
        for spacing in SPACING:
            room = (LINE - 2 * spacing * len(columns)) / em
            capped = _capped(natural, words, text, room)
            last = (size, spacing) == ("scriptsize", SPACING[-1])
            if last or sum(capped) <= room:
                wraps = tuple(round(c * em, 1) if c < n else None for c, n in zip(capped, natural, strict=True))
                return Fit(size, spacing, wraps)
    raise AssertionError("the last size is always taken")


def _capped(natural: Sequence[float], words: Sequence[float], text: Sequence[bool], room: float) -> list[float]:
    """The widths once the widest text columns are cut to one width that leaves all in `room`, words staying whole."""
    low, high = 0.0, max(natural, default=0.0)
    capped = list(natural)
    for _ in range(30):
        cut = (low + high) / 2
        capped = [min(n, max(cut, w)) if wraps else n for n, w, wraps in zip(natural, words, text, strict=True)]
        low, high = (cut, high) if sum(capped) <= room else (low, cut)
    return [min(n, max(low, w)) if wraps else n for n, w, wraps in zip(natural, words, text, strict=True)]


def width(text: str) -> float:
    """The width of a text in Computer Modern, in em of its 10 pt design, with a little to spare."""
    return SLACK * sum(_advance(character) for character in text)


@cache
def _advance(character: str) -> float:
    if not 0x20 <= ord(character) <= 0x7E or character in r"\^_<>|{}~":
        return 0.8  # few are wider than that
    return float(_font().load_char(ord(character)).linearHoriAdvance) / 65536 / 10


@cache
def _font() -> Any:
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    font = FT2Font(f"{get_data_path()}/fonts/ttf/cmr10.ttf")
    font.set_size(10, 72)
    return font
