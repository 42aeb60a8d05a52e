"""What a table sets in vain, or by halves, is said, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.config.folders import tables_roots
from benchmark.config.source import read_yaml
from benchmark.spec.doubtful import doubtful_settings
from benchmark.spec.load import load_table

TABLE = """\
paper: mine
table: t1
caption: A table.
dataset: something-v1
columns: [top1]
base: [network/tsm_r50, recipe/bqn, data/something-v1]
set: {train.epochs: 9, data.segments: 4}
rows:
  - {label: A}
  - {label: B, set: {train.epochs: 10, train.batch_size: 32}}
  - {label: C, set: {train.batch_size: 16, train.lr: 0.01}}
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t1.yaml"
    path.write_text(TABLE)
    return path


def test_what_a_protocol_overrides_and_a_batch_without_its_rate_are_told(table: Path) -> None:
    found = doubtful_settings(str(table))
    assert [(doubt.line, doubt.message.partition(" ")[0]) for doubt in found] == [
        (7, "'train.epochs'"),
        (10, "'train.batch_size'"),
    ]
    assert "sets it to 7 (tables/protocols/embedded.yaml:" in found[0].message
    assert "is 32, the recipe's is 8 (tables/protocols/embedded.yaml:" in found[1].message


def test_at_paper_scale_the_table_is_the_stronger(table: Path) -> None:
    assert [doubt.line for doubt in doubtful_settings(str(table), "paper")] == [10]


def test_show_says_it_of_a_table_of_ones_own_and_not_of_a_papers(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(table)]) == 0
    assert "t1.yaml:7: 'train.epochs' has no effect on protocol 'embedded'" in capsys.readouterr().err
    assert main(["show", "thesis-4.7"]) == 0  # its epochs are the paper's
    assert capsys.readouterr().err == ""


def test_a_base_by_its_former_name_is_read_and_said(table: Path, tmp_path: Path) -> None:
    former = tmp_path / "former" / "t1.yaml"
    former.parent.mkdir()
    former.write_text(TABLE.replace("[network/tsm_r50, recipe/bqn, data/something-v1]", "quiet_r50"))
    assert load_table(str(former)).rows == load_table(str(table)).rows
    assert doubtful_settings(str(former))[0].message == (
        "base 'quiet_r50' is now written [network/tsm_r50, recipe/bqn, data/something-v1]"
    )


def test_former_names_stand_for_bases_that_are_there() -> None:
    folder = tables_roots()[0] / "bases"
    former = read_yaml(folder / "former_names.yaml").data
    assert all((folder / f"{today}.yaml").is_file() for names in former.values() for today in names)
