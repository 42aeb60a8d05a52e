"""The committed specs: every printed cell against an independent transcription, and what rows resolve to."""

import csv
from pathlib import Path

import pytest

from benchmark.plan import make_plan, run_key
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table, select
from benchmark.spec.models import BqnConfig, TsmResNetConfig

PRINTED = Path(__file__).parent / "printed"
COLUMN_NAMES = {"gflops": "gmacs", "n_bplc": "num_bplc"}
TABLES = ["bqn-3a", "bqn-3b", "bqn-3c", "bqn-3d", "bqn-3e", "bqn-3f"]


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
    assert [row.label for row in load_table(name).rows] == order


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("protocol", ["embedded", "proxy", "paper"])
def test_every_table_resolves_on_every_protocol(name: str, protocol: str) -> None:
    table = load_table(name, protocol)
    for row in table.rows:
        assert (row.config is None) == bool(row.average or row.quoted)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_short_enough_to_hold_beside_the_page(name: str) -> None:
    assert len(table_paths()[name].read_text().splitlines()) <= 45


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
    plan = make_plan([load_table(name) for name in TABLES])
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
    assert select(["bqn-3b", "bqn", path]) == ["bqn-3b", "bqn-3a", *TABLES[2:], path]
