"""Tables that take rows and claims from other tables, and rows that are a product of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.source import SpecError
from benchmark.runs.key import run_key
from benchmark.spec.load import load_table
from benchmark.spec.table import SweepRows, Table

FIRST = """
paper: p
table: first
caption: Original.
dataset: something-v1
columns: [top1, top5, gmacs]
base: network/bqn
set: {train.lr: 0.5}
reading: {convention: fvcore, why: plain}
rows:
  - {label: a, printed: {top1: 40.10, gmacs: 65.9}}
  - {label: b, set: {model.num_bplc: 4}, printed: {top1: 41.0}, note: of b}
  - {label: both, average: [a, b], printed: {top1: 42.0}}
claims:
  - {id: p-first.01, lhs: b, relation: ">", rhs: a, metric: top1, text: b is better}
  - {id: p-first.02, lhs: both, relation: best, rhs: [a, b], metric: top1, text: both are best}
"""
SECOND = """
paper: p
table: second
caption: Repeats the first.
dataset: something-v1
columns: [top1, gmacs]
base: network/bqn
rows:
  - {include: first, row: b, label: B, printed: {top1: 41.5}, note: differs}
  - {include: first, rows: [a, both]}
claims:
  - {include: first}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHMARK_TABLES", str(tmp_path))
    for name, text in {
        "bases/network/bqn": "model: {name: bqn}\n",
        "protocols/paper": "title: t\nseeds: [0]\n",
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "first.yaml").write_text(FIRST.lstrip())
    return tmp_path / "p"


def second(folder: Path, old: str = "", new: str = "") -> Table:
    text = SECOND.lstrip().replace("include: first", "include: p-first")
    assert old in text
    (folder / "second.yaml").write_text(text.replace(old, new, 1) if old else text)
    return load_table("p-second", "paper")


def problems(folder: Path, old: str, new: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        second(folder, old, new)
    return [str(problem) for problem in caught.value.problems]


def test_an_included_row_is_the_same_run_under_its_new_name(write: Path) -> None:
    first, table = load_table("p-first", "paper"), second(write)
    assert [row.label for row in table.rows] == ["B", "a", "both"]
    for ours, theirs in (("B", "b"), ("a", "a")):
        one, other = table.row(ours).config, first.row(theirs).config
        assert one is not None
        assert other is not None
        assert run_key(one) == run_key(other)
        assert one.train.lr == 0.5  # of the table that the row was written in


def test_printed_cells_can_be_replaced_and_others_stay_digit_for_digit(write: Path) -> None:
    table = second(write)
    assert table.row("B").printed_text == {"top1": "41.5"}
    assert table.row("B").note == "differs"
    assert table.row("a").printed_text == {"top1": "40.10", "gmacs": "65.9"}
    assert table.row("a").readings["gmacs"].why == "plain"


def test_fused_rows_and_claims_follow_the_new_labels(write: Path) -> None:
    table = second(write)
    assert table.row("both").average == ("a", "B")
    assert [(claim.id, claim.lhs, claim.rhs) for claim in table.claims] == [
        ("p-second.01", ("B",), ("a",)),
        ("p-second.02", ("both",), ("a", "B")),
    ]


def test_included_claims_repeat_the_originals_and_stand_where_the_include_says(write: Path) -> None:
    assert [(claim.repeats, claim.where) for claim in second(write).claims] == [("p-first.01", ""), ("p-first.02", "")]
    table = second(write, "  - {include: p-first}\n", "  - {include: p-first, where: Section 2}\n")
    assert {claim.where for claim in table.claims} == {"Section 2"}


def test_claims_about_rows_that_were_left_out_are_left_out(write: Path) -> None:
    table = second(write, "rows: [a, both]", "rows: [a]")
    assert [claim.id for claim in table.claims] == ["p-second.01"]


def test_claims_have_the_order_that_they_are_asked_for_in(write: Path) -> None:
    table = second(write, "  - {include: p-first}\n", "  - {include: p-first, only: [p-first.02, p-first.01]}\n")
    assert [(claim.id, claim.repeats) for claim in table.claims] == [
        ("p-second.01", "p-first.02"),
        ("p-second.02", "p-first.01"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "include: p-first, row: b",
            "include: p-frist, row: b",
            "no table 'p-frist' to include. Did you mean 'p-first'?",
        ),
        ("row: b", "row: bb", "'p-first' has no row 'bb'. Did you mean 'b'?"),
        ("row: b, label: B", "label: B", "label, printed and note change one row: name it with `row`"),
        ("rows: [a, both]", "row: a, rows: [both]", "give `row` or `rows`, not both"),
        ("rows: [a, both]", "row: a, lable: c", "unknown key 'lable'. Did you mean 'label'?"),
        ("label: B", "label: a", "label 'a' is given twice"),
    ],
)
def test_a_wrong_include_is_named_with_its_line(write: Path, old: str, new: str, expected: str) -> None:
    assert any(text.endswith(expected) and ".yaml:" in text for text in problems(write, old, new)), problems(
        write, old, new
    )


def test_a_table_that_includes_itself_is_refused(write: Path) -> None:
    found = problems(write, "{include: p-first, rows: [a, both]}", "{include: p-second, rows: [B]}")
    assert any("'p-second' includes itself" in text for text in found)


def sweep(folder: Path, entry: str) -> Table:
    text = SECOND.lstrip().replace("include: first", "include: p-first").split("claims:")[0]
    (folder / "second.yaml").write_text(text + entry)
    return load_table("p-second", "paper")


def test_a_sweep_is_a_row_for_every_combination(write: Path) -> None:
    table = sweep(
        write,
        '  - {label: "{num_bplc} {sigma}", set: {train.lr: 0.1},\n'
        "     sweep: {model.num_bplc: [0, 8], model.mbpm.sigma: [0.7, 1.1]}}\n",
    )
    assert [row.label for row in table.rows][3:] == ["0 0.7", "0 1.1", "8 0.7", "8 1.1"]
    config = table.row("8 0.7").config
    assert config is not None
    assert config.model.name == "bqn"
    assert (config.model.num_bplc, config.model.mbpm.sigma, config.train.lr) == (8, 0.7, 0.1)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((("res3",), ("res3", "res4.all")), ["at res3", "at res3, res4.all"]),
        (((), ("se",)), ["at none", "at se"]),
        ((((1, 1, 1),), ((1, 1, 1), (3, 3, 3))), ["at (1, 1, 1)", "at (1, 1, 1), (3, 3, 3)"]),
        ((0.5, "first", True), ["at 0.5", "at first", "at True"]),
    ],
)
def test_lists_of_a_sweep_are_labels_without_brackets(values: tuple[object, ...], labels: list[str]) -> None:
    rows = SweepRows(sweep={"model.key": values}, label="at {key}").expand()
    assert [row.label for row in rows] == labels
    assert [row.set["model.key"] for row in rows] == list(values)


def test_a_sweep_whose_label_names_nothing_is_refused(write: Path) -> None:
    with pytest.raises(SpecError, match="the label asks for 'sigma'; the sweep has num_bplc"):
        sweep(write, '  - {label: "{sigma}", sweep: {model.num_bplc: [0, 8]}}\n')


def test_printed_costs_may_carry_a_multiple(write: Path) -> None:
    table = sweep(write, "")
    assert table.row("a").printed["gmacs"] == 65.9
    text = FIRST.lstrip().replace("gmacs: 65.9", "gmacs: 65900M")
    (write / "first.yaml").write_text(text)
    row = load_table("p-first", "paper").row("a")
    assert row.printed["gmacs"] == pytest.approx(65.9)
    assert row.printed_text["gmacs"] == "65900M"
    (write / "first.yaml").write_text(FIRST.lstrip().replace("top1: 40.10", "top1: 40K"))
    with pytest.raises(SpecError, match="'40K' has a multiple, but top1 is not counted in multiples"):
        load_table("p-first", "paper")


def test_rows_of_another_data_set_are_not_taken_for_this_one_s(write: Path) -> None:
    found = problems(write, "dataset: something-v1", "dataset: hmdb51")
    assert any("'p-first' prints values of something-v1, this table of hmdb51" in text for text in found)
