"""How a LaTeX table is made to fit: the largest type in which it is as wide as the line, then label columns that wrap.

Widths are those of Computer Modern, by the copy of it that comes with matplotlib, for the 345 pt lines of a standard
article. Documents with narrower lines are served by the scaling that latex.py adds to every table; it also
serves tables that would be too tall, which are laid out for a longer line and scaled down.
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
STRETCHES = (1.0, 1.1, 1.2, 1.3, 1.4)
LEADING = 1.2


@dataclass(frozen=True)
class Fit:
    """A type size by its command, the space beside columns in points, and the width of every column that wraps.

    Attributes:
        width: Of the whole table, in points.
        height: Of its body, in points, once it is scaled to the line.
    """

    size: str
    spacing: float
    wraps: tuple[float | None, ...]
    width: float
    height: float


def fit(columns: Sequence[Sequence[str]], text: Sequence[bool], tallest: float) -> Fit:
    """The largest type that fits; else the smallest, with the text columns as narrow as they get.

    Args:
        columns: Plain entries of every column, its title's lines first; all have the same number below those.
        text: Which columns may wrap.
        tallest: Points that there are for the body.
    """
    found = [_fit_line(columns, text, LINE * stretch) for stretch in STRETCHES]
    return next((one for one in found if one.height <= tallest), found[-1])


def _fit_line(columns: Sequence[Sequence[str]], text: Sequence[bool], line: float) -> Fit:
    natural = [max((width(entry) for entry in column), default=0.0) for column in columns]
    words = [max((width(w) for entry in column for w in entry.split()), default=0.0) for column in columns]
    whole = [(size, spacing, natural) for size in SIZES for spacing in SPACING[:-1]]
    narrow = [
        (size, spacing, _capped(natural, words, text, (line - 2 * spacing * len(columns)) / SIZES[size]))
        for size in list(SIZES)[1:]
        for spacing in SPACING
    ]

    def total(size: str, spacing: float, widths: Sequence[float]) -> float:
        return SIZES[size] * sum(widths) + 2 * spacing * len(columns)

    size, spacing, widths = next((tried for tried in [*whole, *narrow] if total(*tried) <= line), narrow[-1])
    wide = total(size, spacing, widths)
    caps = [w if w < n else None for w, n in zip(widths, natural, strict=True)]
    height = _lines(columns, caps) * SIZES[size] * LEADING * min(1.0, LINE / wide)
    wraps = tuple(None if cap is None else round(cap * SIZES[size], 1) for cap in caps)
    return Fit(size, spacing, wraps, wide, height)


def _lines(columns: Sequence[Sequence[str]], caps: Sequence[float | None]) -> int:
    """Lines of text in the table, titles aside."""
    rows = min((len(column) for column in columns), default=0)
    body = [column[len(column) - rows :] for column in columns]
    return sum(
        max(1 if cap is None else _wrapped(column[i], cap) for column, cap in zip(body, caps, strict=True))
        for i in range(rows)
    )


def _wrapped(entry: str, cap: float) -> int:
    """Lines that an entry takes in a column of that width."""
    lines, used = 1, 0.0
    for word in entry.split():
        needed = width(word) + (width(" ") if used else 0.0)
        if used and used + needed > cap:
            lines, used = lines + 1, width(word)
        else:
            used += needed
    return lines


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
