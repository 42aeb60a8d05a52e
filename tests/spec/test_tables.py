"""The committed specs: every printed cell against an independent transcription, and what rows resolve to."""

import csv
from pathlib import Path

import pytest

from benchmark.config.models import BqnConfig, TsmResNetConfig
from benchmark.plan import make_plan
from benchmark.runs.key import run_key
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table, select

PRINTED = Path(__file__).parent / "printed"
COLUMN_NAMES = {"gflops": "gmacs", "n_bplc": "num_bplc"}
TABLES = [name for name in table_paths() if (PRINTED / f"{name}.csv").exists()]
TABLES_OF_BQN = [name for name in table_paths() if name.startswith("bqn-")]
FIGURES = {"bqn-fig3", "bqn-fig6", "msnet-fig4", "msnet-fig5", "thesis-fig5.3"}
"""Whose values are printed nowhere."""


def test_every_table_of_a_paper_has_a_transcription() -> None:
    assert {name for name in table_paths() if not name.startswith("checks-")} == {*TABLES, *FIGURES}


@pytest.mark.parametrize("name", TABLES)
def test_every_printed_cell_is_in_the_spec_digit_for_digit(name: str) -> None:
    table = load_table(name)
    in_spec = {(r.label, key): text for r in table.rows for key, text in r.printed_text.items()}
    with (PRINTED / f"{name}.csv").open() as file:
        transcribed = {
            (r["label"], COLUMN_NAMES.get(r["column"], r["column"])): r["value"] for r in csv.DictReader(file)
        }
    assert in_spec == transcribed


@pytest.mark.parametrize("name", TABLES)
def test_rows_stand_in_the_printed_order(name: str) -> None:
    with (PRINTED / f"{name}.csv").open() as file:
        order = list(dict.fromkeys(r["label"] for r in csv.DictReader(file)))
    assert [row.label for row in load_table(name).rows if row.printed] == order


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("protocol", ["embedded", "proxy", "paper"])
def test_every_table_resolves_on_every_protocol(name: str, protocol: str) -> None:
    table = load_table(name, protocol)
    for row in table.rows:
        assert (row.config is None) == bool(row.average or row.quoted)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_short_enough_to_hold_beside_the_page(name: str) -> None:
    assert len(table_paths()[name].read_text().splitlines()) <= 100


def test_embedded_scales_sizes_and_widths_and_keeps_the_ratio_of_the_pathways() -> None:
    row = load_table("bqn-3d", "embedded").row("160^2x8 | 256^2x8")
    assert row.config is not None
    assert isinstance(row.config.model, BqnConfig)
    assert (row.config.model.quiet_size, row.config.data.size, row.config.eval.scale) == (40, 64, 64)
    assert row.config.model.width == 0.125
    assert row.config.model.pretrained is None
    assert row.paper_config is not None
    assert row.paper_config.model.pretrained == "imagenet"
    assert row.paper_config.data.size == 256


def test_the_full_bqn_row_of_five_tables_is_one_run() -> None:
    plan = make_plan([load_table(f"bqn-3{part}") for part in "abcdef"])
    users = {tuple(sorted({table for table, _ in run.used_by})) for run in plan.runs.values()}
    assert ("bqn-3a", "bqn-3b", "bqn-3c", "bqn-3d", "bqn-3e") in users
    assert ("bqn-3b", "bqn-3f") in users  # 4 BPLCs and res2,res3,res4,res5
    assert (plan.wanted, len(plan.runs), plan.shared) == (24, 19, 5)


def test_quiet_and_busy_differ_from_bqn_and_from_each_other() -> None:
    table = load_table("bqn-3a")
    quiet, busy, bqn = (table.row(label).config for label in ("Quiet", "Busy", "BQN"))
    assert quiet is not None
    assert busy is not None
    assert bqn is not None
    assert isinstance(quiet.model, TsmResNetConfig)
    assert isinstance(busy.model, TsmResNetConfig)
    assert (quiet.model.representation, busy.model.representation) == ("rgb", "mbpm")
    assert quiet.train == busy.train == bqn.train
    assert len({run_key(c) for c in (quiet, busy, bqn)}) == 3


def test_select_accepts_ids_papers_and_paths_once_each() -> None:
    path = str(table_paths()["bqn-3a"])
    assert select(["bqn-3b", "bqn", path]) == [
        "bqn-3b",
        *(name for name in TABLES_OF_BQN if name != "bqn-3b"),
        path,
    ]


REPEATED = {
    "bqn-1": "thesis-5.1",
    "bqn-2": "thesis-5.2",
    "bqn-3a": "thesis-5.3",
    "bqn-3b": "thesis-5.6",
    "bqn-3c": "thesis-5.4",
    "bqn-3d": "thesis-5.8",
    "bqn-3e": "thesis-5.7",
    "bqn-3f": "thesis-5.5",
    "bqn-4": "thesis-5.9",
    "bqn-5": "thesis-5.10",
    "bqn-6": "thesis-5.11",
    "da-1": "thesis-3.6",
    "da-2": "thesis-3.7",
    "da-3": "thesis-3.8",
    "da-4a": "thesis-3.11",
    "da-4b": "thesis-3.10",
    "da-5": "thesis-3.9",
    "da-6": "thesis-3.12",
    "da-8": "thesis-3.13",
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("protocol", ["embedded", "paper"])
def test_a_thesis_table_that_repeats_a_paper_s_is_the_same_runs(name: str, protocol: str) -> None:
    ours, theirs = (make_plan([load_table(n, protocol)]).runs for n in (REPEATED[name], name))
    if name in ("da-1", "da-2"):  # without ViT-B
        assert ours.keys() < theirs.keys()
    else:
        assert ours.keys() >= theirs.keys()


@pytest.mark.parametrize("name", [n for n in table_paths() if not n.startswith("checks-")])
def test_every_row_at_paper_scale_is_of_the_table_s_data_set(name: str) -> None:
    table = load_table(name, "paper")
    others = {"something-v1"} if name == "thesis-4.6" else set()  # the one table of two data sets
    for row in table.rows:
        assert row.config is None or row.config.data.dataset in {table.dataset, *others}, row.label


@pytest.mark.parametrize("name", table_paths())
def test_no_row_of_the_embedded_protocol_mirrors_or_wraps_its_clips(name: str) -> None:
    for row in load_table(name, "embedded").rows:
        if row.config is not None and row.config.model.name != "tesnet":
            assert (row.config.data.flip, row.config.data.sampling) == (False, "uniform"), row.label
