"""The audit: the printed costs of BQN, and what makes a count doubtful."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from benchmark.cli.audit import audit_plain
from benchmark.config.run import of_one_view
from benchmark.cost.audit import AuditRow, CostCell, audit_row, audit_table
from benchmark.cost.cache import cached, get
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.record import CostRecord, OperatorCount, UncountedOperator
from benchmark.cost.verdict import Verdict
from benchmark.report.costs import counted_cost
from benchmark.report.text.audit import audit_markdown, digits, left_out, link_to_costs
from benchmark.spec.columns import COLUMNS
from benchmark.spec.load import load_table
from benchmark.spec.table import CostReading, Table

ROOT = Path(__file__).resolve().parents[2]


def counted(table_id: str) -> tuple[Table, dict[str, AuditRow]]:
    """A table with its audit, all of it counted on the readings' networks to count half as many."""
    table = load_table(table_id)
    read = [
        row.model_copy(update={"paper_config": row.readings["gmacs"].config}) if row.config else row
        for row in table.rows
    ]
    table = table.model_copy(update={"rows": tuple(read)})
    return table, {row.label: row for row in audit_table(table, get)}


@pytest.mark.parametrize(
    "table_id", ["bqn-3a", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bqn-3b", "bqn-3d"))]
)
def test_every_printed_cost_of_bqn_is_reproduced_by_its_reading(table_id: str) -> None:
    table, rows = counted(table_id)
    assert set(rows) == {row.label for row in table.rows}
    verdicts = {label: row.cells["gmacs"].verdict for label, row in rows.items()}
    assert {label: verdict.text() for label, verdict in verdicts.items() if verdict and not verdict.reproduced} == {}
    assert all(verdicts.values())


def test_a_fused_row_costs_what_its_members_do() -> None:
    _, rows = counted("bqn-3a")
    fused, members = rows["Quiet+Busy"], [rows["Quiet"], rows["Busy"]]
    assert fused.cells["gmacs"].count == pytest.approx(sum(row.cells["gmacs"].count for row in members))
    assert fused.cells["mparams"].count == pytest.approx(sum(row.cells["mparams"].count for row in members))
    assert fused.torch_gmacs == pytest.approx(sum(row.torch_gmacs for row in members))
    assert fused.cells["gmacs"].reading_count == pytest.approx(65.757, abs=5e-4)


def test_a_video_costs_its_views() -> None:
    one = OperatorCount(path="", module_class="Conv2d", operator="conv", macs=10**9, calls=1, inputs=1, outputs=1)
    record = CostRecord(
        input_shape=(1,),
        operators=(one,),
        uncounted=(),
        parameters=(),
        classes={},
        torch_macs={"convolution": 10**9},
        versions={},
    )
    table = load_table("bqn-5")
    rows = {row.label: row for row in audit_table(table, lambda config: record)}
    views = {label: table.row(label).paper_config for label in rows}
    assert {label: row.cells["gmacs"].count for label, row in rows.items()} == dict.fromkeys(rows, 1.0)
    assert {label: row.cells["gmacs_video"].count for label, row in rows.items()} == {
        label: config.views for label, config in views.items() if config
    }
    assert {row.cells["gmacs_video"].count for row in rows.values()} == {10, 30}


def test_the_counters_differ_by_the_operators_named() -> None:
    table = load_table("bqn-3d")
    row = audit_row(table, table.row("160^2x8 | 256^2x8"), get)
    assert row is not None
    assert sum(row.difference_by_operator.values()) == pytest.approx(row.cells["gmacs"].count - row.torch_gmacs)
    assert set(row.difference_by_operator) == {"batch_norm", "upsample_bilinear2d", "adaptive_avg_pool2d"}
    assert row.torch_difference == pytest.approx(1 - row.torch_gmacs / row.cells["gmacs"].count)
    assert row.uncounted["max_pool2d"][0] == 2
    assert row.unclassified == {}
    cell = row.cells["gmacs"]
    assert cell.reading_count is not None
    assert (round(cell.count, 3), round(cell.reading_count, 3)) == (60.814, 60.768)


def one_row() -> tuple[Table, CostRecord]:
    """A table whose costs are not read, and the count of its first row."""
    table = load_table("bqn-3a")
    row = table.rows[0].model_copy(update={"readings": {}, "printed": {}})
    assert row.paper_config is not None
    return table.model_copy(update={"rows": (row,)}), get(of_one_view(row.paper_config))


def audited(table: Table, record: CostRecord) -> AuditRow:
    (row,) = audit_table(table, lambda config: record)
    return row


def test_explained_differences_between_the_counters_are_no_doubt() -> None:
    table, record = one_row()
    row = audited(table, record)
    assert row.torch_difference > 0.005
    assert (row.disagreement, row.doubt, counted_cost(row).doubt) == (0.0, "", "")


@pytest.mark.parametrize(
    ("change", "doubt"), [(-0.5, "the counters differ by 49."), (1.0, "50."), (0.02, "2.0%"), (-4e-3, ""), (0, "")]
)
def test_an_unexplained_difference_is_a_doubt_unless_it_is_small(change: float, doubt: str) -> None:
    table, record = one_row()
    convolutions = round(record.torch_macs["convolution"] * (1 + change))
    row = audited(table, record.model_copy(update={"torch_macs": record.torch_macs | {"convolution": convolutions}}))
    assert doubt in row.doubt
    assert bool(doubt) == bool(row.doubt) == bool(row.as_dict()["doubt"])
    cost = counted_cost(row)
    assert (cost.doubt, cost.at_least) == (row.doubt, False)
    assert (f"; {row.doubt.removesuffix(' (audit.md)')}" in left_out(row)) or not doubt


def test_an_operator_that_is_not_counted_makes_the_count_a_lower_bound() -> None:
    table, record = one_row()
    unknown = UncountedOperator(operator="fft_rfft", kind="unknown", calls=2, elements=0)
    row = audited(table, record.model_copy(update={"uncounted": (*record.uncounted, unknown)}))
    assert row.doubt == "not counted: fft_rfft 2x"
    cost = counted_cost(row)
    assert (cost.doubt, cost.at_least) == (row.doubt, True)
    for text in (audit_markdown(table, [row]), audit_plain(table, [row], 80)):
        shown = " ".join(text.replace("\\", "").split())
        assert f">= {digits(row.cells['gmacs'].count, COLUMNS['gmacs'])} " in shown
        assert "; not counted: fft_rfft 2x" in shown
        assert shown.count(">= ") == 1


def test_the_plain_count_of_the_trained_network_does_not_give_the_print_and_says_what_comes_near() -> None:
    table = load_table("bqn-3b")
    audit = audit_row(table, table.row("16").model_copy(update={"readings": {}}), get)
    assert audit is not None
    verdict = audit.cells["gmacs"].verdict
    assert verdict is not None
    assert not verdict.reproduced
    assert verdict.count == pytest.approx(67.079, abs=5e-4)
    assert verdict.nearest == "thop_2001 on the network that is trained"
    assert "not reproduced; nearest 65.851" in verdict.text()


def test_printed_parameters_are_judged_too() -> None:
    table, _ = counted("bqn-3b")
    row = table.row("16")
    readings = {"mparams": row.readings["gmacs"]}
    row = row.model_copy(
        update={"printed": {"mparams": 47.4}, "printed_text": {"mparams": "47.4"}, "readings": readings}
    )
    audit = audit_row(table, row)
    assert audit is not None
    assert audit.cells["gmacs"].verdict is None
    verdict = audit.cells["mparams"].verdict
    assert verdict is not None
    assert verdict.how == "truncated or rounded"


def test_uncounted_and_quoted_rows_are_left_out_and_named() -> None:
    table, _ = counted("bqn-3a")
    assert audit_table(table, lambda config: None) == []
    assert "not counted yet: Quiet; Busy; Quiet+Busy; BQN." in audit_markdown(table, [])
    quoted = table.rows[0].model_copy(update={"quoted": True, "paper_config": None, "config": None})
    assert audit_row(table, quoted, cached) is None


def test_a_table_may_name_exactly_the_conventions_that_there_are() -> None:
    named = CostReading.model_fields["convention"].annotation
    assert set(get_args(named)) == set(CONVENTIONS)


def test_markdown_has_a_line_per_row_and_links_every_convention_used() -> None:
    table, rows = counted("bqn-3d")
    text = audit_markdown(table, list(rows.values()), "../../../docs/costs.md")
    first = text.split("\n\n")[3].splitlines()
    assert len(first) == 2 + len(table.rows)
    assert {line.count("|") for line in first} == {8}
    assert "| 160^2x6, 256^2x8 | 55.5 |" in re.sub(" +", " ", text)
    linked = re.findall(
        r"^- \[(\w+)\]\(\.\./\.\./\.\./docs/costs\.md#(\w+)\): ", text.partition("Conventions:")[2], re.M
    )
    assert "[thop_2005](../../../docs/costs.md#thop_2005) with model." in text
    assert ("thop_2005", "thop_2005") in linked
    assert ("fvcore", "fvcore") in linked
    anchors = re.findall(r"^### (\w+)$", (ROOT / "docs" / "costs.md").read_text(), re.M)
    assert set(anchors) == set(CONVENTIONS)
    assert "#" not in audit_markdown(table, list(rows.values())).removeprefix("#")
    assert "[" not in audit_markdown(table, list(rows.values()))


def test_the_page_on_costs_is_found_from_any_results_folder(tmp_path: Path) -> None:
    for depth, folder in ((3, "bqn/4"), (4, "bqn/4/proxy"), (5, "bqn/4/paper/ucf101")):
        link = link_to_costs(ROOT / "results" / folder)
        assert link == "../" * depth + "docs/costs.md"
        assert (ROOT / "results" / folder / link).resolve() == ROOT / "docs" / "costs.md"
    assert link_to_costs(tmp_path) == ""


@pytest.mark.parametrize(
    ("value", "printed", "shown"),
    [
        (0.000204, "", "0.204K"),
        (0.000204, "0.20K", "0.204K"),
        (23.86464, "", "23.8646"),
        (39.17432, "39.2M", "39.1743M"),
        (0.0, "", "0"),
    ],
)
def test_few_parameters_are_counted_in_thousands(value: float, printed: str, shown: str) -> None:
    assert digits(value, COLUMNS["mparams"], printed) == shown


@pytest.mark.parametrize("width", [60, 80])
def test_the_audit_fits_a_terminal_and_is_plain(width: int) -> None:
    table, rows = counted("bqn-3d")
    text = audit_plain(table, list(rows.values()), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert not re.search(r"[|\\]|\*\*", text)
    # Nothing is cut inside a word.
    words = set(text.split())
    assert all(word in words for row in rows.values() for word in row.label.replace(" | ", ", ").split())
    assert "(1) thop_2005 with " in text
    unread = {label: replace(row, cells={**row.cells, "gmacs": unexplained(row)}) for label, row in rows.items()}
    text = audit_plain(table, list(unread.values()), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert " ".join(text.split()).count(
        "not reproduced; nearest 1.000 by fvcore on the network that is trained"
    ) == len(rows)


def unexplained(row: AuditRow) -> CostCell:
    nearest = Verdict("1", 2.0, None, "fvcore on the network that is trained", 1.0, "1.000")
    return replace(row.cells["gmacs"], verdict=nearest)
