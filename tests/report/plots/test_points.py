from types import SimpleNamespace

import pytest

from benchmark.report.cell import Cell
from benchmark.report.cells import build_cells
from benchmark.report.plots.points import (
    Point,
    cost_title,
    find_plane,
    measured_name,
    pareto_front,
    sampling_error,
    value_title,
)
from benchmark.spec.columns import COLUMNS


def points(*places: tuple[float, float]) -> list[Point]:
    return [Point((number,), (str(number),), *place) for number, place in enumerate(places, 1)]


def rows(front: list[Point]) -> list[tuple[int, ...]]:
    return [point.rows for point in front]


def test_a_front_has_no_beaten_point() -> None:
    assert rows(pareto_front(points((1, 50), (2, 49), (2, 52), (2, 51), (3, 52)))) == [(1,), (3,)]


def test_points_that_coincide_are_both_on_the_front_or_both_off_it() -> None:
    assert rows(pareto_front(points((2, 52), (1, 50), (2, 52), (3, 51), (3, 51)))) == [(2,), (1,), (3,)]


def test_of_equal_costs_only_the_best_counts() -> None:
    assert rows(pareto_front(points((1, 50), (1, 52), (1, 51)))) == [(2,)]


def test_a_front_of_errors_falls() -> None:
    assert rows(pareto_front(points((1, 0.3), (2, 0.35), (2, 0.2), (3, 0.2)), "lower")) == [(1,), (3,)]


def test_values_of_different_data_sets_or_protocols_never_share_a_panel(make: SimpleNamespace) -> None:
    def kinds(protocol: str, **changed: str) -> list[list[str]]:
        table = make.table("bqn-3b", protocol).model_copy(update=changed)
        plane = find_plane(table, build_cells(table, make.runs(table), make.costs(table)))
        assert plane is not None
        return [[series.kind for series in panel.series] for panel in plane.panels]

    assert kinds("proxy") == [["printed"], ["measured"]]
    assert kinds("embedded", dataset="motionpairs") == [["printed"], ["measured"]]
    assert kinds("paper") == [["printed", "measured"]]


def test_rows_without_cost_or_accuracy_are_left_out(make: SimpleNamespace) -> None:
    table = make.table("bqn-3c", "embedded")
    runs, costs = make.runs(table), make.costs(table)
    assert find_plane(table, build_cells(table, runs, {})) is None
    del costs["Max | after fc"], runs["Average | after fc"]
    plane = find_plane(table, build_cells(table, runs, costs))
    assert plane is not None
    assert [len(panel.series[0].points) for panel in plane.panels] == [3, 2]
    assert plane.panels[0].what == "printed, at costs counted here"


@pytest.mark.parametrize(
    ("name", "value", "cost"),
    [
        ("bqn-3b", "top1", "gmacs"),
        ("bqn-1", "top1", "extra_gmacs"),
        ("bqn-6", "mean_class_acc", "gmacs"),
        ("cmr-1", "top1", "gmacs_video"),
        ("thesis-4.3", "top1", "insert_gmacs"),
        ("da-5", "top1", "gmacs"),
        ("da-8", "enopr", "extra_gmacs"),
        ("thesis-3.1", "mae", "gmacs"),
    ],
)
def test_a_table_is_drawn_by_the_accuracy_and_the_cost_that_it_has(
    name: str, value: str, cost: str, make: SimpleNamespace
) -> None:
    table = make.table(name, "embedded", (0,))
    plane = find_plane(table, build_cells(table, *make.fabricated(table)))
    assert plane is not None
    assert (plane.value.key, plane.cost.key) == (value, cost)


def test_one_run_in_two_rows_is_one_point_and_equal_accuracies_of_two_runs_are_two(make: SimpleNamespace) -> None:
    table = make.table("bqn-3b", "embedded", (0,))
    result = make.seed_result("any", 0, 50.0)
    other = make.seed_result("another", 0, 50.0)
    runs = {"0": [result], "4": [result], "8": [other], "16": [result]}
    costs = make.costs(table)
    costs["0"] = costs["4"] = costs["8"]
    plane = find_plane(table, build_cells(table, runs, costs))
    assert plane is not None
    (measured,) = plane.panels[1].series
    assert [(point.rows, point.labels) for point in measured.points] == [
        ((1, 2), ("0", "4")),
        ((3,), ("8",)),
        ((4,), ("16",)),
    ]


def test_the_error_of_one_seed_is_that_of_a_share_of_clips() -> None:
    def cell(column: str, value: float, clips: int) -> Cell:
        return Cell("row", column, "measured", value, n=1, clips=clips)

    assert sampling_error(cell("top1", 50.0, 400)) == pytest.approx(2.5)
    assert sampling_error(cell("top1", 90.0, 100)) == pytest.approx(3.0)
    assert sampling_error(cell("top1", 100.0, 100)) == 0
    assert sampling_error(cell("top1", 50.0, 0)) is None
    assert sampling_error(cell("enopr", 0.5, 100)) is None


def test_names_say_what_the_bars_are() -> None:
    assert measured_name([]) == "measured"
    assert measured_name([1, 1]) == "measured ± SE of the clips (1 seed)"
    assert measured_name([3, 3]) == "measured ± SD over 3 seeds"
    assert measured_name([3, 2, 1]) == "measured ± SD over 2–3 seeds or SE of the clips (1 seed)"


def test_axes_say_what_they_are() -> None:
    assert cost_title(COLUMNS["gmacs"]) == "GMACs per clip, at paper scale"
    assert cost_title(COLUMNS["gmacs_video"]) == "GMACs, all views, at paper scale"
    assert cost_title(COLUMNS["mparams"]) == "Params (M), at paper scale"
    assert value_title(COLUMNS["top1"]) == "Top-1 accuracy (%)"
    assert value_title(COLUMNS["enopr"]) == "ENoPR, lower is better"
