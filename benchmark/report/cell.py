"""A cell: one value of one row and column, and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.cost.latency import Timed
from benchmark.report.results import State


@dataclass(frozen=True)
class Cell:
    """One value of one row and column. A row that is not quoted has two for every column: the printed one, and ours.

    Attributes:
        row, column: The row's label and the column's key.
        kind: `printed` or `quoted`; the column's kind, for a value of ours; `missing` where there is none.
        value: In `unit`, the column's.
        sd: Of a measured value over its seeds; None for one seed.
        n: Seeds that make up a measured value, of `wanted`; passes of a timed one.
        runs: Keys of the runs behind a measured value, whose numbers by seed are `values`.
        state: How far the runs are that a measured value lacks.
        text: Shown instead of the digits, for instance those of the print.
        multiple: K, M or G, where a count is shown in another than the column's.
        timed: Of a timed value, which is the median of its passes: their spread and the device.
        clips: That each run of a measured value was evaluated on.
        at_least: Whether a count is a lower bound, since not everything is counted.
    """

    row: str
    column: str
    kind: str
    value: float | None = None
    sd: float | None = None
    n: int = 0
    wanted: int = 0
    unit: str = ""
    runs: tuple[str, ...] = ()
    state: State | None = None
    values: tuple[tuple[int, float], ...] = ()
    text: str = ""
    note: str = ""
    multiple: str = ""
    timed: Timed | None = None
    clips: int = 0
    at_least: bool = False


def find_cell(cells: Sequence[Cell], row: str, column: str, ours: bool) -> Cell | None:
    """The printed or our cell of a row and column; None where a quoted row has none of ours."""
    pair = [cell for cell in cells if cell.row == row and cell.column == column]
    return pair[1] if ours and len(pair) > 1 else None if ours or not pair else pair[0]
