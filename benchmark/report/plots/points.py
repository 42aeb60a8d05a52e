"""What a plot of accuracy against cost shows: a point for every row that has both, as printed and as measured.

Values of different data sets or protocols never share an axis: then the printed and the measured ones have a panel
each, over the same costs. No drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmark.report.cell import Cell, find_cell
from benchmark.report.cells import ALWAYS_COUNTED
from benchmark.report.columns.kinds import KINDS
from benchmark.report.datasets import dataset_title, measured_dataset
from benchmark.report.statistics.stats import binomial_se
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Table

ACCURACIES = ("top1", "mean_class_acc", "top5")


@dataclass(frozen=True)
class Point:
    """Where one or several rows stand: `rows` are their numbers in the table, from 1, and `labels` their labels.

    `error`: the SD over `seeds`, or with one seed the standard error of the accuracy over the evaluated clips; None
    where neither is known. `counted`: of a printed value, whether its cost is counted here for want of a printed one.
    """

    rows: tuple[int, ...]
    labels: tuple[str, ...]
    cost: float
    value: float
    error: float | None = None
    seeds: int = 0
    counted: bool = False


@dataclass(frozen=True)
class Series:
    """The points of one kind, and what they are in words."""

    name: str
    points: tuple[Point, ...]
    ours: bool
    lab: str = ""

    @property
    def kind(self) -> str:
        """`printed` or `measured`; `theirs-LAB` of another lab's runs."""
        return f"theirs-{self.lab}" if self.lab else "measured" if self.ours else "printed"


@dataclass(frozen=True)
class Panel:
    """Series of one data set and protocol. `what` is empty where the series are told apart by a legend."""

    what: str
    where: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Plane:
    """The two columns that a table is drawn by, and its panels from the top."""

    cost: Column
    value: Column
    panels: tuple[Panel, ...]


def find_plane(table: Table, cells: Sequence[Cell]) -> Plane | None:
    """What to draw, by the first columns for which any row has both values; None where no row has.

    A table's own accuracies come before those of other data sets, and these before errors such as ENoPR. Of costs, the
    first MACs that the paper prints, then those of the whole network, then parameters.
    """
    for value in _values(table):
        for cost in _costs(table):
            panels = tuple(_panels(table, cells, value, cost))
            if panels:
                return Plane(cost, value, panels)
    return None


def pareto_front(points: Sequence[Point], better: str = "higher") -> list[Point]:
    """The points that no other beats at the same or a lower cost, by rising cost; of points that coincide, all.

    A point of the same value at a higher cost is beaten. Values change in one direction along the front.
    """
    sign = -1 if better == "lower" else 1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -sign * p.value, p.rows)):
        last = front[-1] if front else None
        coincide = last is not None and (last.cost, last.value) == (point.cost, point.value)
        if last is None or coincide or sign * point.value > sign * last.value:
            front.append(point)
    return front


def value_title(column: Column) -> str:
    """A measured column as an axis names it: `Top-1 accuracy (%)`."""
    accuracy = " accuracy" if column.base in ("top1", "top5") else ""
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.title}{accuracy}{unit}{'' if column.better == 'higher' else ', lower is better'}"


def cost_title(column: Column) -> str:
    """A cost column as an axis names it: `GMACs per clip, at paper scale`."""
    if column.quantity == "params":
        return f"{column.title} ({column.unit}), at paper scale"
    return f"{column.title}{' per clip' if column.per == 'view' else ''}, at paper scale"


def sampling_error(cell: Cell) -> float | None:
    """The standard error of an accuracy in percent over the evaluated clips; None for what is no share of clips."""
    if cell.value is None or not cell.clips or COLUMNS[cell.column].base not in ACCURACIES:
        return None
    return binomial_se(cell.value, cell.clips)


def measured_name(seeds: Sequence[int], clips: bool = True) -> str:
    """`measured`, with what the bars are: of points with as many `seeds`, and with known `clips` where it is one."""
    several = sorted({n for n in seeds if n > 1})
    shown = []
    if several:
        shown.append(f"SD over {several[0]}{f'–{several[-1]}' if len(several) > 1 else ''} seeds")
    if clips and 1 in seeds:
        shown.append("SE of the clips (1 seed)")
    return f"measured ± {' or '.join(shown)}" if shown else "measured"


def where_measured(table: Table) -> str:
    """Data set and protocol, the latter once, and the settings of the request."""
    where = dataset_title(measured_dataset(table))
    where = where if table.protocol in where else f"{where}; {table.protocol}"
    return "; ".join([where, *table.asked])


def _values(table: Table) -> list[Column]:
    values = [COLUMNS[key] for key in table.columns if KINDS[COLUMNS[key].kind].axis == "value"]

    def rank(column: Column) -> tuple[bool, bool, bool]:
        # Top-5 says less than top-1, whatever the order of the columns.
        return column.base not in ACCURACIES, bool(column.dataset), column.base == "top5"

    return sorted(values, key=rank)


def _costs(table: Table) -> list[Column]:
    costs = [COLUMNS[key] for key in (*table.columns, *ALWAYS_COUNTED) if KINDS[COLUMNS[key].kind].axis == "cost"]
    return sorted(dict.fromkeys(costs), key=lambda column: column.quantity == "params")


def _panels(table: Table, cells: Sequence[Cell], value: Column, cost: Column) -> Iterator[Panel]:
    printed = tuple(_printed(table, cells, value, cost))
    measured = tuple(_measured(table, cells, value, cost))
    ours = Series(measured_name(_barred(measured)), measured, ours=True)
    of_labs = tuple(_of_labs(table, cells, value, cost))
    theirs = Series(_printed_name(printed), printed, ours=False)
    dataset, here = value.dataset or table.dataset, measured_dataset(table)
    if table.protocol == "paper" and dataset == here:
        together = tuple(series for series in (theirs, ours, *of_labs) if series.points)
        if together:
            yield Panel(together[0].name if len(together) == 1 else "", dataset_title(here), together)
        return
    if printed:
        yield Panel(theirs.name, dataset_title(dataset), (theirs,))
    here_and_there = tuple(series for series in (ours, *of_labs) if series.points)
    if here_and_there:
        what = here_and_there[0].name if len(here_and_there) == 1 else ""
        yield Panel(what, where_measured(table), here_and_there)


def _barred(points: Sequence[Point]) -> list[int]:
    return [point.seeds for point in points if point.error is not None]


def _of_labs(table: Table, cells: Sequence[Cell], value: Column, cost: Column) -> Iterator[Series]:
    """A series for every lab whose runs stand beside ours."""
    for lab in dict.fromkeys(row.theirs for row in table.rows if row.theirs):
        points = tuple(_measured(table, cells, value, cost, lab))
        yield Series(f"theirs: {lab}", points, ours=False, lab=lab)


def _printed_name(points: Sequence[Point]) -> str:
    counted = [point.counted for point in points]
    if not any(counted):
        return "printed"
    return "printed, at costs counted here" if all(counted) else "printed, unprinted costs counted here"


def _printed(table: Table, cells: Sequence[Cell], value: Column, cost: Column) -> Iterator[Point]:
    """Rows with a printed value, at their printed cost or else at the one counted here; those that coincide as one."""
    rows_at: dict[tuple[float, float, bool], list[int]] = {}
    for number, row in enumerate(table.rows, 1):
        found = _number(find_cell(cells, row.label, value.key, ours=False))
        costs = [_number(find_cell(cells, row.label, cost.key, ours=ours)) for ours in (False, True)]
        at = next((known for known in costs if known is not None), None)
        if found is not None and at is not None:
            rows_at.setdefault((at, found, costs[0] is None), []).append(number)
    for (at, found, counted), rows in rows_at.items():
        yield Point(tuple(rows), _labels(table, rows), at, found, counted=counted)


def _measured(table: Table, cells: Sequence[Cell], value: Column, cost: Column, lab: str = "") -> Iterator[Point]:
    """Our rows, or a lab's, with a measured value and a counted cost; those of the same runs as one."""
    rows_at: dict[tuple[object, ...], list[int]] = {}
    found: dict[int, tuple[float, Cell]] = {}
    for number, row in enumerate(table.rows, 1):
        if row.theirs != lab:
            continue
        cell = find_cell(cells, row.label, value.key, ours=True)
        at = _number(find_cell(cells, row.label, cost.key, ours=True))
        if cell and at is not None and _number(cell) is not None:
            found[number] = at, cell
            rows_at.setdefault((at, cell.value, *(cell.runs or [number])), []).append(number)
    for rows in rows_at.values():
        at, cell = found[rows[0]]
        assert cell.value is not None
        error = cell.sd if cell.sd is not None else sampling_error(cell) if cell.n == 1 else None
        yield Point(tuple(rows), _labels(table, rows), at, cell.value, error, cell.n)


def _labels(table: Table, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(table.rows[number - 1].label for number in rows)


def _number(cell: Cell | None) -> float | None:
    # A cost of which not everything is counted has no place on an axis.
    if cell is None or cell.value is None or cell.at_least:
        return None
    return cell.value if math.isfinite(cell.value) else None
