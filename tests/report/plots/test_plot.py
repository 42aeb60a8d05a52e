from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmark.report.cells import build_cells
from benchmark.report.labels import flat
from benchmark.report.plots import accuracy_cost as plot
from benchmark.report.plots import curves
from benchmark.report.plots.names import LONGEST, MOST_NAMES, key_of, names_of
from benchmark.report.plots.points import Panel, Plane, Point, Series, find_plane
from benchmark.report.plots.style import saved
from benchmark.spec.columns import COLUMNS

ODD = [
    "plain",
    "$x_$",
    "$\\alpha$=1",
    "costs $5 and $6",
    "lr $5 to $6_",
    "\\$5 and \\$6",
    "_hidden_",
    "100% _x_ #1 & more",
    "<b>bold</b> &amp;",
    "tail\\",
    "α→β, naïve “q”",
    "双流",
    "עברית",
    "👍 a",
    "`x|y`",
    "{a}^{b}",
    "a long label " * 12 + "end",
]


def texts(svg: bytes) -> list[str]:
    return [
        "".join(e.itertext()) for e in ElementTree.fromstring(svg.decode()).iter("{http://www.w3.org/2000/svg}text")
    ]


def write_spec(path: Path, labels: list[str], more: str = "", columns: str = "top1, gmacs") -> Path:
    quoted = [label.replace("\\", "\\\\").replace('"', '\\"') for label in labels]
    path.write_text(
        f'paper: labels\ntable: {path.stem}\ncaption: "100% of $x$"\ndataset: motionpairs\nlabel: "$k_$"\n'
        f"columns: [{columns}]\nbase: [network/bqn_r50, recipe/bqn, data/something-v1]\n{more}rows:\n"
        + "".join(
            f'  - {{label: "{label}", quoted: true, printed: {{top1: {50 + i}.5, gmacs: {10 + i}.0}}}}\n'
            for i, label in enumerate(quoted)
        )
        + "  - {label: own}\n"
    )
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [3, len(ODD)])
def test_labels_are_drawn_as_they_are_written(
    count: int, make: SimpleNamespace, tmp_path: Path, texts_cut_off: Callable[[Any], list[str]]
) -> None:
    table = make.table(str(write_spec(tmp_path / "odd.yaml", ODD[:count])), "embedded", (0,))
    figure = plot.draw(table, build_cells(table, {}, {}))
    assert figure is not None
    assert texts_cut_off(figure) == []
    found = texts(saved(figure, "svg"))
    for label in ODD[:count]:
        assert flat(label).rstrip() in [text.rstrip() for text in found]
    assert ("$k_$" in found) == (count > MOST_NAMES)  # the key's heading
    assert saved(figure, "png").startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_names_of_curves_are_drawn_as_they_are_written(
    make: SimpleNamespace, tmp_path: Path, texts_cut_off: Callable[[Any], list[str]]
) -> None:
    spec = tmp_path / "curves.yaml"
    write_spec(spec, [], 'curves: {x: "$x_$ in $"}\n', "top1")
    head = spec.read_text().partition("rows:")[0].replace('"$k_$"', '"$k_$ | $x$"')
    labels = [f"{name} | {x}" for name in ODD if "|" not in name for x in (1, 2)]
    quoted = [label.replace("\\", "\\\\") for label in labels]
    spec.write_text(f"{head}rows:\n" + "".join(f'  - {{label: "{label}"}}\n' for label in quoted))
    table = make.table(str(spec), "embedded", (0,))
    runs = {row.label: [make.seed_result(row.label, 0, 50.0)] for row in table.rows}
    figure = curves.draw(table, build_cells(table, runs, {}))
    assert figure is not None
    assert texts_cut_off(figure) == []
    found = [text.rstrip() for text in texts(saved(figure, "svg"))]
    assert {name.rstrip() for name in ODD if "|" not in name} | {"$x_$ in $"} <= set(found)


def test_nothing_to_draw_is_no_picture(make: SimpleNamespace) -> None:
    table = make.table("bqn-3c", "embedded")
    assert plot.accuracy_against_cost(table, build_cells(table, make.runs(table), {})) == {}
    assert plot.accuracy_against_cost(table, build_cells(table, {}, {})) == {}


def test_the_same_cells_give_the_same_bytes(make: SimpleNamespace) -> None:
    table = make.table("bqn-4", "embedded", (0, 1, 2))
    cells = build_cells(table, *make.fabricated(table))
    first, again = plot.accuracy_against_cost(table, cells), plot.accuracy_against_cost(table, cells)
    assert first == again
    assert first["png"].startswith(b"\x89PNG")
    assert b"dc:date" not in first["svg"]


def test_few_points_are_named_where_they_stand_in_both_panels(make: SimpleNamespace) -> None:
    table = make.table("bqn-3a", "proxy")
    found = texts(plot.accuracy_against_cost(table, build_cells(table, make.runs(table), make.costs(table)))["svg"])
    for row in table.rows:
        assert found.count(flat(row.label)) == 2


def test_many_points_are_numbered_as_the_rows_with_one_key_for_both_panels(make: SimpleNamespace) -> None:
    table = make.table("bqn-4", "embedded", (0,))
    cells = build_cells(table, *make.fabricated(table))
    found = texts(plot.accuracy_against_cost(table, cells)["svg"])
    number = next(n for n, row in enumerate(table.rows, 1) if row.label.startswith("BQN_En"))
    assert found.count(flat(table.rows[number - 1].label)) == 1
    assert found.count(str(number)) == 3
    key = [text for text in found if text in {flat(row.label) for row in table.rows}]
    order = [flat(row.label) for row in table.rows]
    assert key == sorted(key, key=order.index)


def test_rows_at_one_place_share_a_name_and_a_row_of_both_kinds_is_named_where_it_is_measured() -> None:
    printed = Series("printed", (Point((1, 3), ("a", "c"), 1.0, 50.0), Point((2,), ("b",), 2.0, 51.0)), ours=False)
    measured = Series("measured", (Point((2,), ("b",), 2.1, 60.0), Point((4,), ("d",), 2.1, 60.0)), ours=True)
    panel = Panel("", "here", (printed, measured))
    assert [(n.text, n.cost) for n in names_of(panel, numbered=True)] == [("1, 3", 1.0), ("2, 4", 2.1)]
    assert [n.text for n in names_of(panel, numbered=False)] == ["a\nc", "b\nd"]
    assert key_of(Plane(COLUMNS["gmacs"], COLUMNS["top1"], (panel,))) == {1: "a", 2: "b", 3: "c", 4: "d"}


def test_a_row_s_printed_and_measured_points_are_joined(make: SimpleNamespace) -> None:
    table = make.table("bqn-3b", "paper")
    runs = make.runs(table)
    del runs["4"]
    cells = build_cells(table, runs, make.costs(table))
    figure, plane = plot.draw(table, cells), find_plane(table, cells)
    assert figure is not None
    assert plane is not None
    printed, measured = (
        {point.labels: (point.cost, point.value) for point in s.points} for s in plane.panels[0].series
    )
    lines: list[Any] = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_xydata().tolist() for line in lines] == [
        [list(printed[label,]), list(measured[label,])] for label in ("0", "8", "16")
    ]


def test_names_that_are_long_or_find_no_place_become_numbers(make: SimpleNamespace, tmp_path: Path) -> None:
    table = make.table(str(write_spec(tmp_path / "long.yaml", ["short", "l" * (LONGEST + 1)])), "embedded", (0,))
    found = texts(plot.accuracy_against_cost(table, build_cells(table, {}, {}))["svg"])
    assert {"1", "2", "short"} <= set(found)


def test_more_points_than_have_room_are_drawn_all_the_same(make: SimpleNamespace, tmp_path: Path) -> None:
    spec = tmp_path / "crowd.yaml"
    head = write_spec(spec, []).read_text().partition("rows:")[0].replace("table: odd", "table: crowd")
    printed = (f"printed: {{top1: {50 + i / 1000}, gmacs: 10.0}}" for i in range(90))
    lines = [f'  - {{label: "row {i}", quoted: true, {values}}}\n' for i, values in enumerate(printed)]
    spec.write_text(f"{head}rows:\n{''.join(lines)}  - {{label: own}}\n")
    table = make.table(str(spec), "embedded", (0,))
    figure = plot.draw(table, build_cells(table, {}, {}))
    assert figure is not None
    assert saved(figure, "svg").decode().count('id="point-printed-') == 90
