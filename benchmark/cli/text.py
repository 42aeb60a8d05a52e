"""Plain aligned text for the terminal: the same with and without one, so that it can be piped and read."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.spec.datasets import DATASETS


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table with aligned columns; `right` are the indices of the columns that align to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


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
