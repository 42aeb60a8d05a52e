"""A kind of column is one object and one line of the registry: every file of a table, and its claims, go by it."""

import csv
from pathlib import Path

import pytest

from benchmark.report.cell import Cell
from benchmark.report.cells import build_cells
from benchmark.report.claims.judge import judge_claims
from benchmark.report.columns.kind import ColumnKind, Evidence, our_cell
from benchmark.report.columns.kinds import KINDS
from benchmark.report.plots.points import find_plane
from benchmark.report.render import render
from benchmark.report.statistics.compare import Comparison
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.load import load_table
from benchmark.spec.table import Row, Table

SPEC = """\
paper: mine
table: letters
caption: Letters.
dataset: something-v1
columns: [letters, top1]
base: [network/bqn_r50, recipe/bqn, data/something-v1]
rows:
  - {label: light, printed: {letters: 6, top1: 45.6}}
  - {label: middle, set: {model.num_bplc: 4}, printed: {top1: 47.4}}
  - {label: theirs, quoted: true, printed: {letters: 14}}
claims:
  - {id: mine-letters.01, lhs: middle, relation: ">", rhs: light, metric: letters, text: middle is longer}
  - {id: mine-letters.02, lhs: light, relation: ">", rhs: middle, metric: letters, text: light is longer}
  - {id: mine-letters.03, lhs: theirs, relation: ">", rhs: light, metric: letters, text: theirs is longest}
"""


class Letters(ColumnKind):
    """The number of letters of a row's label."""

    axis = "cost"

    def cell(self, row: Row, column: Column, evidence: Evidence) -> Cell:
        return our_cell(row, column, float(len(row.label)))


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table with a column of a kind that is added by one line of each registry."""
    monkeypatch.setitem(KINDS, "lettered", Letters())
    monkeypatch.setitem(COLUMNS, "letters", Column("letters", "Letters", "", "lettered", "lower", decimals=0))
    path = tmp_path / "letters.yaml"
    path.write_text(SPEC)
    return load_table(str(path))


def test_a_new_kind_stands_in_every_file(table: Table, tmp_path: Path) -> None:
    out = tmp_path / "out"
    render(table, {}, {}, out)
    with (out / "cells.csv").open(newline="") as file:
        cells = [c for c in csv.DictReader(file) if c["column"] == "letters"]
    assert [(c["label"], c["kind"], c["value"]) for c in cells] == [
        *(("light", "printed", "6.0"), ("light", "lettered", "5.0")),
        *(("middle", "missing", ""), ("middle", "lettered", "6.0")),
        ("theirs", "quoted", "14.0"),
    ]
    with (out / "table.csv").open(newline="") as file:
        assert [line["lettered_letters"] for line in csv.DictReader(file)] == ["5.0", "6.0", ""]
    lines = [[part.strip() for part in line.split("|")] for line in (out / "table.md").read_text().splitlines()]
    assert [line[2] for line in lines if line[1:2] and line[1] in ("light", "middle")] == ["6 / 5", "– / 6"]
    tex = (out / "table.tex").read_text()
    assert "Letters" in tex
    assert "& printed & lettered &" in tex


def test_a_claim_on_it_is_judged_by_its_values(table: Table, tmp_path: Path) -> None:
    longer, shorter, quoted = judge_claims(table, Comparison(table, {}), {})
    assert (longer.state, longer.reason) == ("supported", "lettered difference +1.00")
    assert (shorter.state, shorter.reason) == ("contradicted", "lettered difference -1.00")
    assert quoted.state == "not testable here"
    render(table, {}, {}, tmp_path / "out")
    assert "lettered difference +1.00" in (tmp_path / "out" / "table.md").read_text()
    assert "lettered difference +1.00" in (tmp_path / "out" / "claims.csv").read_text()


def test_it_is_an_axis_where_it_says_so(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = find_plane(table, build_cells(table, {}, {}))
    assert plane is not None
    assert plane.cost.key == "letters"
    monkeypatch.setattr(Letters, "axis", "")
    assert find_plane(table, build_cells(table, {}, {})) is None


def test_every_column_is_of_a_known_kind_and_holds_what_that_kind_reads() -> None:
    assert {column.kind for column in COLUMNS.values()} == set(KINDS)
    field = {"measured": "metric", "counted": "quantity", "timed": "batch", "config": "path"}
    assert set(field) == set(KINDS)
    for column in COLUMNS.values():
        filled = {name for name in field.values() if getattr(column, name)}
        assert filled == {field[column.kind]}, column.key
