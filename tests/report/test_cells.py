from types import SimpleNamespace

import pytest

from benchmark.report.cell import Cell, find_cell
from benchmark.report.cells import build_cells, display
from benchmark.report.costs import CountedCost
from benchmark.report.results import SeedResult
from benchmark.report.text.csv_files import table_csv
from benchmark.report.text.layout import lay_out
from benchmark.spec.table import Row, Table


def _cell(**values: object) -> Cell:
    return Cell("row", "top1", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (_cell(kind="measured", value=51.42, sd=0.31, n=3, wanted=3), "51.4 ± 0.3 (3)"),
        (_cell(kind="measured", value=51.5, sd=0.2, n=2, wanted=3), "51.5 ± 0.2 (2/3)"),
        (_cell(kind="measured", value=51.4, n=1, wanted=1), "51.4"),
        (_cell(kind="measured", value=51.4, n=1, wanted=3), "51.4 (1/3)"),
        (_cell(kind="missing", state="running"), "…"),
        (_cell(kind="missing", state="failed"), "failed"),
        (_cell(kind="missing", state="pending"), "–"),
        (_cell(kind="missing"), "–"),
        (_cell(kind="printed", value=50.0, text="50.0"), "50.0"),
        (_cell(kind="printed", value=50.0, text="50"), "50"),
    ],
)
def test_text_of_a_cell(cell: Cell, text: str) -> None:
    assert display(cell) == text


def test_measured_cell_holds_mean_sd_and_the_runs_it_came_from(make: SimpleNamespace, table_3b: Table) -> None:
    runs = make.runs(table_3b)
    cell = find_cell(build_cells(table_3b, runs, {}), "8", "top1", ours=True)
    assert cell is not None
    values = [run.metrics["top1"] for run in runs["8"]]
    mean = sum(values) / 3
    assert cell.value == pytest.approx(mean)
    assert cell.sd == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
    assert cell.runs == tuple(run.key for run in runs["8"])


def test_costs_are_shown_where_the_paper_prints_none(make: SimpleNamespace) -> None:
    table = make.table("bqn-3c", "embedded")
    cells = build_cells(table, {}, make.costs(table))
    for column in ("gmacs", "mparams"):
        printed, ours = (find_cell(cells, table.rows[0].label, column, ours=o) for o in (False, True))
        assert printed is not None
        assert ours is not None
        assert (display(printed), ours.kind) == ("–", "counted")


def test_a_quoted_row_has_printed_values_and_nothing_of_ours(make: SimpleNamespace, table_3b: Table) -> None:
    quoted = Row(label="other paper", quoted=True, printed={"top1": 45.0})
    cells = build_cells(table_3b.model_copy(update={"rows": (*table_3b.rows, quoted)}), {}, {})
    assert find_cell(cells, "other paper", "top1", ours=True) is None
    cell = find_cell(cells, "other paper", "top1", ours=False)
    assert cell is not None
    assert cell.kind == "quoted"


def test_a_failed_seed_is_noted_and_left_out_of_the_mean(make: SimpleNamespace, table_3b: Table) -> None:
    runs = make.runs(table_3b)
    runs["8"][2] = make.seed_result("8", 2, 0.0, "failed")
    cell = find_cell(build_cells(table_3b, runs, {}), "8", "top1", ours=True)
    assert cell is not None
    assert (cell.n, cell.wanted, cell.state, cell.note) == (2, 3, "failed", "seed 2 failed")
    assert SeedResult(2, "k", "failed", {"top1": 50.0}).value("top1") is None


def test_a_count_in_doubt_says_so_and_is_no_number_to_compute_with(table_3b: Table) -> None:
    label = table_3b.rows[0].label
    doubt = "not counted: fft_rfft 2x"
    values = {"gmacs": 1.5, "mparams": 2.0}
    for cost, shown in (
        (CountedCost(values, doubt=doubt, at_least=True), "≥ 1.50"),
        (CountedCost(values, doubt="the counters differ by 12.0% (audit.md)"), "1.50"),
    ):
        cells = build_cells(table_3b, {}, {label: cost})
        macs = find_cell(cells, label, "gmacs", ours=True)
        params = find_cell(cells, label, "mparams", ours=True)
        assert macs is not None
        assert params is not None
        assert (display(macs), macs.note) == (shown, f"GMACs: {cost.doubt}")
        assert (display(params), params.note) == ("2.00", "")
        layout = lay_out(table_3b, cells, {label: cost})
        assert f"GMACs: {cost.doubt}." in layout.notes
        (first, *_) = table_csv(table_3b, cells, {label: cost}, []).splitlines()[1:]
        assert ("1.5" in first.split(",")) == (not cost.at_least)
