from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from benchmark.report.cells import build_cells
from benchmark.report.plots.curves import curves, find_curves
from benchmark.spec.load import load_table
from benchmark.spec.table import Table


@pytest.fixture(scope="module")
def fig3() -> Table:
    return load_table("bqn-fig3", "embedded", (0, 1, 2))


def test_curves_are_the_measured_means_by_kernel_and_training(fig3: Table, make: SimpleNamespace) -> None:
    runs = {row.label: [make.seed_result(row.label, s, 40.0 + 5 * s) for s in fig3.seeds] for row in fig3.rows}
    runs["trained | 7^2 | 0.9"] = [make.seed_result("trained | 7^2 | 0.9", 0, 30.0)]
    del runs["untrained | 9^2 | 1.3"]
    found = {curve.name: curve.points for curve in find_curves(fig3, build_cells(fig3, runs, {}))}
    assert list(found) == [f"{how}, {k}²" for how in ("trained", "untrained") for k in (5, 7, 9)]
    upside_down = fig3.model_copy(update={"rows": fig3.rows[::-1]})
    again = find_curves(upside_down, build_cells(upside_down, runs, {}))
    assert {curve.name: curve.points for curve in again} == found
    assert [p.x for p in found["trained, 9²"]] == [0.7, 0.9, 1.1, 1.3]
    assert [p.x for p in found["untrained, 9²"]] == [0.7, 0.9, 1.1]
    values = [result.metrics["top1"] for result in runs["trained | 5^2 | 1.1"]]
    point = found["trained, 5²"][2]
    assert point.value == pytest.approx(sum(values) / 3)
    assert point.error == pytest.approx(5, abs=0.5)
    (one,) = [place for place in found["trained, 7²"] if place.x == 0.9]
    assert one.seeds == 1
    assert one.error == pytest.approx(100 * (one.value / 100 * (1 - one.value / 100) / 480) ** 0.5)


def test_svg_names_the_curves_and_the_places(fig3: Table, make: SimpleNamespace) -> None:
    runs = {row.label: [make.seed_result(row.label, s, 40.0 + s) for s in fig3.seeds] for row in fig3.rows}
    cells = build_cells(fig3, runs, {})
    made = curves(fig3, cells)
    tree = ElementTree.fromstring(made["svg"].decode())
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"σ", "0.7", "0.9", "1.1", "1.3", "trained, 9²", "untrained, 5²", "Top-1 accuracy (%)"} <= set(texts)
    assert "measured ± SD over 3 seeds (motionpairs 2; embedded)" in texts
    assert made["png"].startswith(b"\x89PNG")
    assert curves(fig3, cells) == made


def test_one_seed_shows_the_error_of_its_clips(make: SimpleNamespace) -> None:
    table = load_table("bqn-fig6", "embedded", (0,))
    runs = {row.label: [make.seed_result(row.label, 0, 50.0)] for row in table.rows}
    svg = curves(table, build_cells(table, runs, {}))["svg"].decode()
    assert "measured ± SE of the clips (1 seed) (motionpairs 2; embedded)" in svg
    assert svg.count('id="bar-') == len(table.rows)


def test_a_table_without_measured_rows_or_without_curves_has_no_picture(fig3: Table, table_3b: Table) -> None:
    assert curves(fig3, build_cells(fig3, {}, {})) == {}
    assert curves(table_3b, build_cells(table_3b, {}, {})) == {}
