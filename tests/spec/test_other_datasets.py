"""A table that prints several data sets is measured on each of them, with that data set's recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.cli.rendering import results_folder
from benchmark.config.source import SpecError
from benchmark.runs.key import run_key
from benchmark.spec.columns import COLUMNS
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table

TABLES = table_paths()
PRINTED = [
    (name, dataset)
    for name in TABLES
    for dataset in sorted({COLUMNS[key].dataset for key in load_table(name).columns if COLUMNS[key].dataset})
]


@pytest.mark.parametrize(("name", "dataset"), PRINTED)
def test_every_data_set_that_a_table_prints_is_measured(name: str, dataset: str) -> None:
    own, there = load_table(name, "paper"), load_table(name, "paper", dataset=dataset)
    assert dataset in own.others
    assert (there.dataset, there.other, own.other) == (dataset, True, False)
    for before, row in zip(own.rows, there.rows, strict=True):
        assert row.label == before.label
        assert row.paper_config == before.paper_config  # costs are those of the table's own data set, as printed
        assert sorted(row.printed.values()) == sorted(before.printed.values())
        for key, value in before.printed.items():
            column = COLUMNS[key]
            if column.kind == "measured":
                moved = column.base if column.dataset == dataset else key if column.dataset else f"{key}@{own.dataset}"
                assert row.printed[moved] == value
        if row.config is not None and before.config is not None:
            assert row.config.data.dataset == dataset
            assert (row.config.model.name, row.config.seed) == (before.config.model.name, before.config.seed)
            assert run_key(row.config) != run_key(before.config)
    metrics = [(a.metric, b.metric) for a, b in zip(own.claims, there.claims, strict=True)]
    assert all(COLUMNS[a].base == COLUMNS[b].base and b in there.columns for a, b in metrics)


@pytest.mark.parametrize(
    ("table", "dataset", "row", "other", "same"),
    [
        ("bqn-1", "ucf101", "MBPM", "bqn-fig6", "trained | 9^2 | 1.1"),
        ("thesis-5.1", "ucf101", "MBPM", "bqn-fig6", "trained | 9^2 | 1.1"),
        ("da-4b", "minikinetics", "T=8,D=1", "da-10", "T=8"),
        ("thesis-3.10", "minikinetics", "T=8,D=1", "da-10", "T=8"),
        ("da-6", "ucf101", "RGB (baseline)", "bqn-1", "RGB (baseline)"),
    ],
)
def test_a_row_there_is_the_run_of_a_table_of_that_data_set(
    table: str, dataset: str, row: str, other: str, same: str
) -> None:
    there = load_table(table, "paper", dataset=dataset).row(row).config
    alone = load_table(other, "paper", dataset=dataset if dataset in load_table(other).others else None)
    assert there == alone.row(same).config


def test_a_recipe_there_replaces_that_of_every_row_and_nothing_else() -> None:
    own, there = (load_table("msnet-2", "paper", dataset=name) for name in (None, "hmdb51"))
    for before, row in zip(own.rows, there.rows, strict=True):
        if before.config and row.config:
            assert (row.config.train.lr, row.config.train.epochs, row.config.train.milestones) == (0.001, 35, (15, 30))
            data = before.config.data.model_copy(update={"dataset": "hmdb51"})
            model = before.config.model.model_copy(update={"pretrained": None})
            assert (row.config.data, row.config.eval, row.config.model) == (data, before.config.eval, model)
            assert row.start == before.config  # the very run of the table's own data set


@pytest.mark.parametrize("where", ["table", "row", "base", "row_base"])
def test_sizes_there_are_those_that_are_said_there(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a protocol that leaves sizes alone, and under one that halves them."""
    monkeypatch.setenv("BENCHMARK_TABLES", str(tmp_path))
    for name in ("bases/network", "protocols", "own"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "protocols/paper.yaml").write_text("title: as written\nseeds: [0]\n")
    (tmp_path / "protocols/half.yaml").write_text("title: half\nseeds: [0]\nspatial: 0.5\nset: {train.epochs: 9}\n")
    (tmp_path / "bases/network/here.yaml").write_text("data: {size: 224}\nmodel: {name: tsm_resnet}\n")
    (tmp_path / "bases/network/there.yaml").write_text("base: network/here\ndata: {size: 112}\neval: {scale: 128}\n")
    said = "base: network/there" if where.endswith("base") else "set: {data.size: 112, eval.scale: 128}"
    of_table, of_row = ("", f", also: {{hmdb51: {{{said}}}}}") if where.startswith("row") else (said, "")
    (tmp_path / "own/sizes.yaml").write_text(
        "paper: own\ntable: sizes\ncaption: Sizes.\ndataset: ucf101\ncolumns: [top1, top1@hmdb51]\nbase: network/here\n"
        f"also: {{hmdb51: {{{of_table}}}}}\nrows:\n  - {{label: a, set: {{data.segments: 4}}{of_row}}}\n"
    )
    found = {}
    for protocol in ("paper", "half"):
        config = load_table("own-sizes", protocol, dataset="hmdb51").row("a").config
        assert config is not None
        found[protocol] = (config.data.size, config.eval.scale, config.data.segments)
    assert found == {"paper": (112, 128, 4), "half": (56, 64, 4)}


def test_official_splits_are_those_of_the_other_data_set() -> None:
    row = load_table("bqn-6", "paper", dataset="hmdb51").row("BQN")
    assert row.splits == ("hmdb51", "hmdb51-2", "hmdb51-3")


def test_results_of_another_data_set_have_their_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path))
    assert results_folder(load_table("bqn-6", "paper")) == tmp_path / "bqn/6/paper"
    assert results_folder(load_table("bqn-6", "paper", dataset="ucf101")) == tmp_path / "bqn/6/paper"
    assert results_folder(load_table("bqn-6", "paper", dataset="hmdb51")) == tmp_path / "bqn/6/paper/hmdb51"


def test_what_cannot_be_measured_is_refused_with_what_can(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "bqn-6", "--protocol", "paper", "--dataset", "hmdb5"]) == 2
    assert "bqn-6 is not measured on 'hmdb5'; others that it is: hmdb51" in capsys.readouterr().err
    assert main(["plan", "bqn-6", "--dataset", "hmdb51"]) == 2
    assert "the protocol embedded measures every table on motionpairs" in capsys.readouterr().err
    assert main(["show", "bqn-6", "--protocol", "paper"]) == 0
    assert "--dataset NAME, measured on: hmdb51" in capsys.readouterr().out


def test_settings_for_a_data_set_without_a_column_are_an_error(tmp_path: Path) -> None:
    text = TABLES["bqn-6"].read_text().replace("also: {hmdb51: {}}", "also: {hmdb5: {}, hmdb51: {set: {data.siez: 3}}}")
    path = tmp_path / "mine.yaml"
    path.write_text(
        text.replace("paper: bqn", "paper: own").replace('table: "6"', "table: mine").replace("bqn-6.", "own-mine.")
    )
    with pytest.raises(SpecError, match=r"mine.yaml:9: no column is of 'hmdb5'. Did you mean 'hmdb51'\?"):
        load_table(str(path), "paper")
    path.write_text(path.read_text().replace("hmdb5: {}, ", ""))
    with pytest.raises(SpecError, match=r"mine.yaml:9: unknown key 'data.siez'. Did you mean 'data.size'\?"):
        load_table(str(path), "paper", dataset="hmdb51")
    with pytest.raises(SpecError, match=r"mine.yaml:9: unknown key 'data.siez'"):  # though nothing has asked for it
        load_table(str(path), "paper")
