"""A table's file from the cells that a paper prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.config.source import SpecError
from benchmark.spec.load import load_table
from benchmark.spec.new_table import column_key, read_printed

WIDE = """\
Method,Backbone,Frames,"Top-1 (%)",Top-5@hmdb51,FLOPs,#Params,Memory
TSN,R50,8,19.7,46.6,33G,24.3M,4
TDN,R50,8,52.3,80.6,36G,-,5
"TDN, big: yes",R101,16,55.3*,n/a,132G,N/A,6
"""
LONG = "row,label,column,value,unit\n1,a,top1,50.0,%\n1,a,gflops,33,G\n2,b | c,top1,51,%\n2,b | c,moments,3,\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_printed_table_becomes_rows_values_and_drafts_of_claims(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "cells.csv").write_text(WIDE)
    assert main(["new", "table", "tdn-2", "--printed", "cells.csv"]) == 0
    said = capsys.readouterr()
    assert "column 'Memory' is left out" in said.err
    table = load_table("tdn/2.yaml")
    assert (table.id, table.label_header) == ("tdn-2", "Method | Backbone")
    assert table.columns == ("frames", "top1", "top5@hmdb51", "gmacs", "mparams")
    assert {row.label: row.printed_text for row in table.rows} == {
        "TSN | R50": {"frames": "8", "top1": "19.7", "top5@hmdb51": "46.6", "gmacs": "33G", "mparams": "24.3M"},
        "TDN | R50": {"frames": "8", "top1": "52.3", "top5@hmdb51": "80.6", "gmacs": "36G"},
        "TDN, big: yes | R101": {"frames": "16", "top1": "55.3", "gmacs": "132G"},
    }
    path = here / "tdn/2.yaml"
    path.write_text(path.read_text().replace("# claims:", "claims:").replace("#   - {id", "  - {id"))
    claims = load_table("tdn/2.yaml").claims
    assert [(claim.metric, claim.lhs) for claim in claims] == [
        ("top1", ("TDN, big: yes | R101",)),
        ("top5@hmdb51", ("TDN | R50",)),
    ]
    assert main(["render", "tdn/2.yaml"]) == 0
    shown = (here / "results/tdn/2/table.md").read_text()
    assert "**55.3** |" in shown  # and no column for what is measured, since nothing is
    assert main(["new", "table", "tdn-2", "--printed", "cells.csv"]) == 2
    assert capsys.readouterr().err.endswith("tdn/2.yaml: is there already\n")


def test_the_long_form_is_read_too(here: Path) -> None:
    (here / "cells.csv").write_text(LONG)
    found = read_printed(Path("cells.csv"))
    assert found.rows == {"a": {"top1": "50.0", "gmacs": "33"}, "b | c": {"top1": "51"}}
    assert found.unclear == ["column 'moments' is left out (1 cells)"]


def test_a_paper_begins_with_a_table_that_can_be_measured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "paper", "tdn", "--in", "pack"]) == 0
    assert f"export BENCHMARK_TABLES={here / 'pack'}" in capsys.readouterr().out
    table = load_table("pack/tdn/1.yaml")
    assert [row.config is not None for row in table.rows] == [True, True]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *[("Top-1 Acc. (%)", "top1"), ("acc@hmdb51", "top1@hmdb51"), ("GFLOPs", "gmacs"), ("# Params (M)", "mparams")],
        *[("top1_speed_4", "top1_speed_4"), ("acc@nowhere", None), ("Moments", None)],
    ],
)
def test_columns_by_the_names_that_papers_have(name: str, key: str | None) -> None:
    assert column_key(name) == key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", ":1: needs a column of the rows' names and one of a quantity: frames"),
        ("Model,Top-1\n", "needs a line of column names, and a line for each row"),
        ("Model,Top-1\nx,1,2\n", ":2: has 3 cells, the first line 2"),
        ("Model,Top-1\nx,1\nx,2\n", ":3: row 'x' is there twice"),
        ("Model,Top-1,Acc\nx,1,2\n", ":1: two columns are top1: say of which data set one is, as in top1@hmdb51"),
    ],
)
def test_a_file_that_is_no_table_is_refused(here: Path, text: str, said: str) -> None:
    (here / "cells.csv").write_text(text)
    with pytest.raises(SpecError) as caught:
        read_printed(Path("cells.csv"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["table", "bqn-3b"], "bqn-3b: is there already: "),
        (["table", "Tdn"], "Tdn: must be a paper and a number, such as tdn-2"),
        (["paper", "tdn-2"], "tdn-2: must be a short name, such as tdn"),
        (["table", "tdn-2", "--dataset", "hmdb"], "no data set 'hmdb'. Did you mean 'hmdb51'?"),
    ],
)
def test_what_cannot_begin_is_said(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", *given]) == 2
    assert said in capsys.readouterr().err
