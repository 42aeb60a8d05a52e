"""Every table's plot, read back from its SVG: markers, error bars and fronts stand where the cells say.

Positions become values by the labels of the ticks alone, so that nothing of the drawing is taken on trust.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmark.report.cells import Cell, build_cells, find_cell
from benchmark.report.plots import accuracy_cost as plot
from benchmark.report.plots import curves
from benchmark.report.plots.style import saved
from benchmark.report.text.layout import flat
from benchmark.spec.columns import COLUMNS
from benchmark.spec.files import table_paths
from benchmark.spec.table import Table

SVG = "{http://www.w3.org/2000/svg}"
PIXEL = 0.02
"""Of 72 to an inch: how far anything may be from its place. A marker is 5 wide."""

Spot = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """The ticks of an axis: their labels as numbers, and where they are."""

    values: np.ndarray
    places: np.ndarray

    def place(self, value: float) -> float:
        """Where a value belongs, linear or logarithmic as the ticks are."""
        linear = np.polyfit(self.values, self.places, 1)
        if np.abs(np.polyval(linear, self.values) - self.places).max() < PIXEL:
            return float(np.polyval(linear, value))
        if value == 0:
            return float(self.places[list(self.values).index(0)])
        above = self.values > 0
        logs = np.log(self.values[above])
        fit = np.polyfit(logs, self.places[above], 1)
        assert np.abs(np.polyval(fit, logs) - self.places[above]).max() < PIXEL
        return float(np.polyval(fit, math.log(value)))


@dataclass(frozen=True)
class Drawn:
    """One panel of an SVG: titles of the axes, their ticks, and what has an id, by it."""

    x: Scale
    y: Scale
    titles: tuple[str, str]
    spots: dict[str, list[Spot]]
    paths: dict[str, list[Spot]]


def _texts(group: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in group.iter(f"{SVG}text")]


def _uses(group: ElementTree.Element) -> list[Spot]:
    return [(float(use.get("x", "nan")), float(use.get("y", "nan"))) for use in group.iter(f"{SVG}use")]


def _path(group: ElementTree.Element) -> list[Spot]:
    path = next((p for child in group if child.tag == f"{SVG}path" for p in [child.get("d", "")]), "")
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", path)]


def _scale(axis: ElementTree.Element, coordinate: int) -> Scale:
    groups = [group for group in axis.iter(f"{SVG}g") if re.fullmatch(r"[xy]tick_\d+", group.get("id", ""))]
    ticks = [(float(_texts(g)[0].replace("−", "-")), _uses(g)[0][coordinate]) for g in groups if _texts(g)]
    return Scale(*np.array(ticks).T)


def read(svg: bytes) -> list[Drawn]:
    """The panels of an SVG from the top."""
    groups = [g for g in ElementTree.fromstring(svg.decode()).iter(f"{SVG}g") if g.get("id")]
    panels = []
    for panel in (g for g in groups if re.fullmatch(r"axes_\d+", g.get("id", ""))):
        named = {g.get("id", ""): g for g in panel.iter(f"{SVG}g")}
        horizontal, vertical = (g for key, g in named.items() if key.startswith("matplotlib.axis_"))
        ids = [key for key in named if re.match(r"(point|bar|front|curve)-", key)]
        panels.append(
            Drawn(
                _scale(horizontal, 0),
                _scale(vertical, 1),
                (_texts(horizontal)[-1], _texts(vertical)[-1]),
                {key: _uses(named[key]) for key in ids},
                {key: _path(named[key]) for key in ids},
            )
        )
    return panels


def column_of(table: Table, title: str, sources: Iterable[str]) -> str:
    """The column that an axis names: the one with the longest title that the axis' begins with."""
    keys = [key for key in (*table.columns, "gmacs", "mparams") if COLUMNS[key].source in sources]
    return max((key for key in keys if title.startswith(COLUMNS[key].title)), key=lambda k: len(COLUMNS[k].title))


def expected(table: Table, cells: list[Cell], value: str, cost: str) -> dict[tuple[str, int], tuple[float, Cell]]:
    """(printed or measured, number of the row) -> cost and the cell of the value, straight from the cells."""
    found = {}
    for number, row in enumerate(table.rows, 1):
        for kind, ours in (("printed", False), ("measured", True)):
            cell = find_cell(cells, row.label, value, ours)
            costs = [find_cell(cells, row.label, cost, own) for own in ((True,) if ours else (False, True))]
            at = next((c.value for c in costs if c and c.value is not None), None)
            if cell and cell.value is not None and at is not None:
                found[kind, number] = at, cell
    return found


def check_positions(table: Table, cells: list[Cell], panels: list[Drawn]) -> None:
    """Every marker and bar stands at its rows' cells, and every row that has both cells has one marker."""
    x_title = panels[-1].titles[0]
    value, cost = column_of(table, panels[0].titles[1], ["measured"]), column_of(table, x_title, ["counted"])
    wanted = expected(table, cells, value, cost)
    seen: list[tuple[str, int]] = []
    for panel in panels:
        for key in (key for key in panel.spots if key.startswith("point-")):
            _, kind, *numbers = key.split("-")
            rows = [(kind, int(number)) for number in numbers]
            seen += rows
            ((x, y),) = panel.spots[key]
            for row in rows:
                at, cell = wanted[row]
                assert cell.value is not None
                assert x == pytest.approx(panel.x.place(at), abs=PIXEL), key
                assert y == pytest.approx(panel.y.place(cell.value), abs=PIXEL), key
                bar = panel.paths.get(key.replace("point", "bar"), [])
                check_bar(panel, cell, x, bar, accuracy=COLUMNS[value].unit == "%")
                assert {wanted[other][1].runs for other in rows} == {cell.runs}
        assert all(key.replace("bar", "point") in panel.spots for key in panel.spots if key.startswith("bar-"))
    assert sorted(seen) == sorted(wanted)
    runs = [(wanted[row][1].runs, wanted[row][0]) for row in seen if row[0] == "measured"]
    drawn = [key for panel in panels for key in panel.spots if key.startswith("point-measured")]
    assert len(drawn) == len(set(runs))


def check_bar(panel: Drawn, cell: Cell, x: float, bar: list[Spot], accuracy: bool) -> None:
    """An SD where there are several seeds, the binomial standard error of the clips where there is one."""
    error = cell.sd
    if error is None and cell.n == 1 and accuracy and cell.value is not None:
        error = 100 * math.sqrt(cell.value / 100 * (1 - cell.value / 100) / cell.clips)
    assert (error is None) == (bar == [])
    if error is not None and cell.value is not None:
        assert {place for place, _ in bar} == {x}
        ends = [panel.y.place(cell.value + sign * error) for sign in (-1, 1)]
        assert sorted(y for _, y in bar) == pytest.approx(sorted(ends), abs=PIXEL)


def check_front(panel: Drawn, kind: str, up: bool) -> None:
    """A front joins all markers that no other beats, from left to right and always for the better."""
    spots = {s for key, found in panel.spots.items() if key.startswith(f"point-{kind}") for s in found}
    better = {s: -s[1] if up else s[1] for s in spots}  # an SVG's y points down
    unbeaten = [s for s in spots if not any(o != s and o[0] <= s[0] and better[o] >= better[s] for o in spots)]
    path = panel.paths.get(f"front-{kind}", [])
    assert sorted(set(path)) == (sorted(unbeaten) if len(unbeaten) > 1 else [])
    for (x, y), (further, next_y) in itertools.pairwise(path):
        assert further >= x
        assert next_y <= y if up else next_y >= y


def check_names(figure: Any) -> None:
    """Names and numbers hide neither each other nor a marker."""
    renderer = figure.canvas.get_renderer()
    for ax in figure.axes:
        boxes = [text.get_window_extent(renderer) for text in ax.texts]
        for a, b in itertools.combinations(boxes, 2):
            assert min(a.x1, b.x1) <= max(a.x0, b.x0) or min(a.y1, b.y1) <= max(a.y0, b.y0)
        points = [line for line in ax.lines if str(line.get_gid()).startswith("point-")]
        for x, y in (ax.transData.transform(line.get_xydata()[0]) for line in points):
            assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for box in boxes)


@pytest.mark.parametrize("name", table_paths())
def test_a_plot_shows_its_cells(name: str, make: SimpleNamespace, texts_cut_off: Callable[[Any], list[str]]) -> None:
    of_three = make.table(name, "embedded", (0, 1, 2))
    for table in (of_three, of_three.model_copy(update={"seeds": (0,)})):
        cells = build_cells(table, *make.fabricated(table))
        figure = plot.draw(table, cells)
        assert figure is not None
        assert texts_cut_off(figure) == []
        check_names(figure)
        svg = saved(figure, "svg")
        panels = read(svg)
        check_positions(table, cells, panels)
        for panel, kind in itertools.product(panels, ("printed", "measured")):
            check_front(panel, kind, up="lower" not in panel.titles[1])
        texts = _texts(ElementTree.fromstring(svg.decode()))
        shown = {int(n) for panel in panels for key in panel.spots for n in key.split("-")[2:] if key[:5] == "point"}
        assert {flat(table.rows[number - 1].label) for number in shown} <= set(texts)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("name", [name for name, path in table_paths().items() if "curves:" in path.read_text()])
def test_curves_show_their_cells(
    name: str, seeds: int, make: SimpleNamespace, texts_cut_off: Callable[[Any], list[str]]
) -> None:
    table = make.table(name, "embedded", tuple(range(seeds)))
    assert table.curves is not None
    cells = build_cells(table, *make.fabricated(table))
    figure = curves.draw(table, cells)
    assert figure is not None
    assert texts_cut_off(figure) == []
    (panel,) = read(saved(figure, "svg"))
    rows: dict[str, list[tuple[float, Cell | None]]] = {}
    for row in table.rows:
        curve, _, x = row.label.rpartition(" | ")
        if re.fullmatch(r"[\d.]+", x):
            rows.setdefault(curve, []).append((float(x), find_cell(cells, row.label, table.curves.metric, ours=True)))
    for number, points in enumerate(rows.values(), 1):
        assert len(panel.spots[f"curve-{number}"]) == len(points)
        for place, (x, cell) in enumerate(sorted(points, key=lambda point: point[0])):
            assert cell is not None
            assert cell.value is not None
            at, height = panel.spots[f"curve-{number}"][place]
            assert (at, height) == pytest.approx((panel.x.place(x), panel.y.place(cell.value)), abs=PIXEL)
            check_bar(panel, cell, at, panel.paths.get(f"bar-{number}-{place + 1}", []), accuracy=True)
