"""Plain aligned text for the terminal: the same with and without one, so that it can be piped and read."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from textwrap import wrap

from benchmark.config.datasets import DATASETS

GAP = "  "
NARROWEST = 8
"""Characters that a column keeps where its words are cut to fit a terminal."""


def say(text: str) -> None:
    """A line beside what a command prints."""
    print(text, file=sys.stderr)


def whole_number(least: int) -> Callable[[str], int]:
    """What argparse reads an option by that is a whole number, `least` or more."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} up")
        return int(text)

    return read


def terminal_width() -> int:
    """Columns of the terminal; 80 where the output is piped."""
    return shutil.get_terminal_size().columns


def paragraph(text: str, width: int, indent: str = "") -> str:
    """Text wrapped by words; lines after the first are indented."""
    return "\n".join(wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)) or ""


def grid(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    width: int | None = None,
    further: Sequence[str] = (),
) -> str:
    """A table with aligned columns.

    Args:
        header: Titles.
        rows: Cells.
        right: Indices of the columns that align to the right.
        width: Of the terminal: cells are wrapped by words, those of the widest column first, until all lines fit.
        further: For every row a text that continues it on lines of its own, or "".
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    if width is not None:
        widths = _narrowed(header, rows, widths, width)

    def lines(row: Sequence[str]) -> list[str]:
        cells = [wrap(cell, w, break_on_hyphens=False) or [""] for cell, w in zip(row, widths, strict=True)]
        return [
            GAP.join(
                text.rjust(w) if i in right else text.ljust(w)
                for i, (text, w) in enumerate(zip([(c[n : n + 1] or [""])[0] for c in cells], widths, strict=True))
            ).rstrip()
            for n in range(max(map(len, cells)))
        ]

    out = [*lines(header), GAP.join("-" * w for w in widths)]
    for i, row in enumerate(rows):
        out += lines(row)
        if i < len(further) and further[i]:
            out += wrap(further[i], width or 10**6, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(out)


def _narrowed(header: Sequence[str], rows: Sequence[Sequence[str]], widths: list[int], width: int) -> list[int]:
    """Widths that add up to the terminal's where they can; words stay whole while any column can break at a space."""
    room = width - len(GAP) * (len(widths) - 1)
    words = [max([1, *(len(word) for row in [header, *rows] for word in row[i].split())]) for i in range(len(widths))]
    for least in (words, [min(w, NARROWEST) for w in words]):
        while sum(widths) > room and any(w > of for w, of in zip(widths, least, strict=True)):
            widest = max((i for i in range(len(widths)) if widths[i] > least[i]), key=lambda i: widths[i])
            widths = [w - (i == widest) for i, w in enumerate(widths)]
    return widths


def tables_as_typed(arguments: argparse.Namespace) -> str:
    """The tables of a command and the options that choose their runs, as another command takes them."""
    options = {"--protocol": arguments.protocol, "--dataset": arguments.dataset, "--seeds": arguments.seeds}
    words = ["--all"] if arguments.all else list(arguments.tables)
    for name, value in options.items():
        if value and value != "embedded":
            words += [name, ",".join(map(str, value)) + "," * (len(value) == 1) if isinstance(value, tuple) else value]
    return shlex.join([*words, *(word for setting in arguments.asked for word in ("--set", setting))])


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3.4 h`; `?` where it is not known."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def split_of(dataset: str) -> str:
    """Which official split a run is of, as added to its row's label; nothing for the first and the only one."""
    number = DATASETS[dataset].official_split
    return f" (split {number})" if number > 1 else ""
