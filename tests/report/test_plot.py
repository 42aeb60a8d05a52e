import itertools
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from benchmark.report.cells import build_cells
from benchmark.report.label_placement import Box, place
from benchmark.report.plot import Point, accuracy_against_cost, panels, pareto_front


def test_pareto_front_has_no_dominated_point() -> None:
    points = [Point("a", 1, 50), Point("b", 2, 49), Point("c", 2, 52), Point("d", 2, 51), Point("e", 3, 52)]
    assert [p.label for p in pareto_front(points)] == ["a", "c"]


def test_values_of_different_data_sets_never_share_a_panel(make: SimpleNamespace) -> None:
    table = make.table("bqn-3b", "proxy")
    found = panels(table, build_cells(table, make.runs(table), make.costs(table)))
    assert [[series.name for series in several] for _, several in found] == [["printed"], ["measured"]]
    paper = make.table("bqn-3b", "paper")
    together = panels(paper, build_cells(paper, make.runs(paper), make.costs(paper)))
    assert [[series.name for series in several] for _, several in together] == [["printed", "measured"]]


def test_rows_without_cost_or_accuracy_are_left_out(make: SimpleNamespace) -> None:
    table = make.table("bqn-3c", "embedded")
    runs, costs = make.runs(table), make.costs(table)
    assert panels(table, build_cells(table, runs, {})) == []
    del costs["Max | after fc"], runs["Average | after fc"]
    (_, [printed]), (_, [measured]) = panels(table, build_cells(table, runs, costs))
    assert (len(printed.points), len(measured.points)) == (3, 2)
    assert accuracy_against_cost(table, build_cells(table, {}, {}))["png"].startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["bqn-3a", "bqn-3b", "bqn-3c", "bqn-3d", "bqn-3e", "bqn-3f"])
def test_svg_names_every_row_in_both_panels_as_text(name: str, make: SimpleNamespace) -> None:
    table = make.table(name, "proxy")
    svg = accuracy_against_cost(table, build_cells(table, make.runs(table), make.costs(table)))["svg"].decode()
    texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    for row in table.rows:
        assert texts.count(row.label.replace(" | ", ", ").replace("^2", "²")) == 2
    assert "dc:date" not in svg


def test_labels_of_coinciding_points_do_not_overlap() -> None:
    anchors = [(100.0, 50.0)] * 4 + [(100.0, 52.0), (103.0, 50.0)]
    markers = [Box(x - 3, y - 3, x + 3, y + 3) for x, y in anchors]
    bounds = Box(0, 0, 220, 120)
    boxes = place(anchors, [(60.0, 7.0)] * len(anchors), markers, bounds)
    for a, b in itertools.combinations(boxes, 2):
        assert a.overlap(b) == 0
    for box in boxes:
        assert box.overlap(bounds) == pytest.approx(60 * 7)
        assert all(box.overlap(marker) == 0 for marker in markers)
