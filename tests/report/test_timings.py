"""Timed columns in a rendered table: the device is named, prints stand beside ours, claims are judged between ours."""

import csv
from pathlib import Path

import pytest

from benchmark.cost.audit import cost_columns
from benchmark.cost.latency import Device, RowTimings, Sample, Timed
from benchmark.report.cell import find_cell
from benchmark.report.cells import build_cells, display
from benchmark.report.claims.judge import judge_claims
from benchmark.report.render import render
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.judgement import Judgement
from benchmark.report.text.layout import lay_out
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

SPEC = """\
paper: mine
table: times
caption: Run times.
dataset: something-v1
columns: [latency_ms, throughput, top1]
base: [network/bqn_r50, recipe/bqn, data/something-v1]
rows:
  - {label: light, printed: {latency_ms: 12.3, throughput: 107.3, top1: 45.6}}
  - {label: middle, set: {model.num_bplc: 4}, printed: {latency_ms: 20.4, throughput: 78.5, top1: 47.4}}
  - {label: heavy, set: {model.num_bplc: 8}, printed: {latency_ms: 63.8, throughput: 49.5, top1: 49.8}}
  - {label: theirs, quoted: true, printed: {latency_ms: 14.7}}
claims:
  - {id: mine-times.01, lhs: light, relation: "<", rhs: heavy, metric: latency_ms, text: light is faster}
"""
H200 = Device(name="NVIDIA H200", threads=None, precision="fp32 (convolutions in TF32)")
LAPTOP = Device(name="Intel(R) Core(TM) i7-1065G7 CPU @ 1.30GHz, 4 cores", threads=4, precision="fp32")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "times.yaml"
    path.write_text(SPEC)
    return load_table(str(path))


def timed(key: str, seconds: float, spread: float = 0.05, crowded: bool = False, device: Device = H200) -> Timed:
    column = COLUMNS[key]
    sample = Sample(
        batch=column.batch,
        passes=41,
        median=seconds,
        p10=seconds * (1 - spread),
        p90=seconds * (1 + spread),
        load=1.3 if crowded else 0.0,
        crowded=crowded,
        date="2026-01-01T00:00:00+00:00",
        torch="2.11.0",
    )
    return Timed.of(column, sample, device)


def timings(device: Device = H200, **seconds: float) -> RowTimings:
    return {
        label: {key: timed(key, s * COLUMNS[key].batch ** 0.5, device=device) for key in ("latency_ms", "throughput")}
        for label, s in seconds.items()
    }


ALL = timings(light=0.010, middle=0.0104, heavy=0.050)


def judged(table: Table, relation: str, lhs: str, rhs: str, found: RowTimings, metric: str = "latency_ms") -> Judgement:
    values = {"id": "c", "lhs": lhs, "relation": relation, "rhs": rhs, "metric": metric, "text": ""}
    asked = table.model_copy(update={"claims": (Claim.model_validate(values),)})
    return judge_claims(asked, Comparison(asked, {}), {}, found)[0]


def test_a_timed_cell_is_the_median_and_its_slow_end(table: Table) -> None:
    cells = build_cells(table, {}, {}, ALL)
    latency, throughput = (find_cell(cells, "heavy", key, ours=True) for key in ("latency_ms", "throughput"))
    assert latency is not None
    assert throughput is not None
    assert (latency.kind, latency.n, display(latency)) == ("timed", 41, "50.0 (p90 52.5)")
    assert throughput.value == pytest.approx(8 / (0.050 * 8**0.5))
    assert display(throughput) == "56.6 (p10 53.9)"
    printed = find_cell(cells, "heavy", "latency_ms", ours=False)
    assert printed is not None
    assert display(printed) == "63.8"
    assert find_cell(cells, "theirs", "latency_ms", ours=True) is None


def test_the_device_is_named_above_the_column_and_in_the_caption(table: Table) -> None:
    layout = lay_out(table, build_cells(table, {}, {}, ALL), {})
    parts = [(heading.group, heading.part) for heading in layout.headings if heading.group.startswith("Latency")]
    assert parts == [("Latency (ms)", "printed"), ("Latency (ms)", "timed, H200")]
    assert "latency at batch 1, throughput at batch 8" in layout.caption
    assert "fp32 (convolutions in TF32), on NVIDIA H200;" in layout.caption
    assert "other hardware and not to be compared" in layout.caption
    on_cpu = lay_out(table, build_cells(table, {}, {}, timings(LAPTOP, light=0.1)), {})
    assert "4 cores, 4 threads;" in on_cpu.caption
    assert on_cpu.headings[2].part == "timed, Core i7-1065G7 1.30GHz"


def test_rows_without_a_timing_are_listed_and_quoted_ones_are_not(table: Table) -> None:
    some = lay_out(table, build_cells(table, {}, {}, timings(middle=0.01)), {})
    assert "Not timed yet on H200: light; heavy (python -m benchmark time mine-times)." in some.remarks
    assert [line.entries[2] for line in some.lines] == ["–", "10.0 (p90 10.5)", "–", "–"]
    none = lay_out(table, build_cells(table, {}, {}), {})
    assert any(remark.startswith("Not timed yet: light; middle; heavy") for remark in none.remarks)
    assert "Timed" not in none.caption
    assert none.headings[2].part == "timed"
    assert not any(
        remark.startswith("Not timed") for remark in lay_out(table, build_cells(table, {}, {}, ALL), {}).remarks
    )


def test_what_else_was_running_is_a_footnote(table: Table) -> None:
    beside = {**ALL, "heavy": {"latency_ms": timed("latency_ms", 0.05, crowded=True)}}
    layout = lay_out(table, build_cells(table, {}, {}, beside), {})
    assert "Timed while other programs took 1.3 cores." in layout.notes
    assert layout.lines[2].notes == (layout.notes.index("Timed while other programs took 1.3 cores.") + 1,)


def test_the_files_hold_device_batch_and_spread(table: Table, tmp_path: Path) -> None:
    render(table, {}, {}, tmp_path / "out", timings=ALL)
    with (tmp_path / "out" / "cells.csv").open(newline="") as file:
        cells = {(c["label"], c["column"], c["kind"]): c for c in csv.DictReader(file)}
    cell = cells["heavy", "throughput", "timed"]
    assert (cell["device"], cell["batch"], cell["n"], cell["unit"]) == ("NVIDIA H200", "8", "41", "videos/s")
    assert float(cell["p10"]) < float(cell["value"]) == 8 / (0.050 * 8**0.5) < float(cell["p90"])
    assert cells["heavy", "throughput", "printed"]["device"] == ""
    assert ("theirs", "throughput", "timed") not in cells
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        wide = {line["label"]: line for line in csv.DictReader(file)}
    assert float(wide["heavy"]["timed_latency_ms"]) == pytest.approx(50)
    assert float(wide["heavy"]["printed_latency_ms"]) == 63.8
    assert not [name for name in wide["heavy"] if name.startswith(("reading", "difference")) and "latency" in name]
    some = {label: found for label, found in ALL.items() if label != "middle"}
    lost = render(table, {}, {}, tmp_path / "out", timings=some).lost
    assert lost == [f"{column} of 'middle': timed before, now none" for column in ("latency_ms", "throughput")]
    markdown, tex = ((tmp_path / "out" / name).read_text() for name in ("table.md", "table.tex"))
    heads = next(line for line in markdown.splitlines() if line.startswith("| Model"))
    assert [head.strip() for head in heads.split("|")[2:4]] == ["Latency (ms)", "Throughput (videos/s)"]
    assert "Printed / timed, H200: Latency (ms), Throughput (videos/s)" in " ".join(markdown.split())
    assert "on NVIDIA H200" in tex
    assert tex.isascii()


def test_a_table_without_timed_columns_has_no_such_fields(table_3b: Table, tmp_path: Path) -> None:
    render(table_3b, {}, {}, tmp_path)
    assert "device" not in (tmp_path / "cells.csv").read_text().splitlines()[0]


def test_times_are_not_audited(table: Table) -> None:
    assert [column.key for column in cost_columns(table)] == ["gmacs", "mparams"]


@pytest.mark.parametrize(
    ("relation", "lhs", "rhs", "verdict"),
    [
        ("<", "light", "heavy", "supported"),
        (">", "light", "heavy", "contradicted"),
        ("best", "light", "heavy", "supported"),
        ("best", "heavy", "light", "contradicted"),
        ("monotone", "heavy", "light", "supported"),
        ("<", "light", "middle", "not resolved"),
        ("<=", "light", "middle", "not resolved"),
        (">=", "heavy", "light", "supported"),
    ],
)
def test_a_claim_on_times_is_decided_where_the_passes_do_not_overlap(
    relation: str, lhs: str, rhs: str, verdict: str, table: Table
) -> None:
    assert judged(table, relation, lhs, rhs, ALL).state == verdict


def test_a_rate_is_better_when_it_is_higher(table: Table) -> None:
    assert judged(table, "best", "light", "heavy", ALL, "throughput").state == "supported"
    assert judged(table, "<", "light", "heavy", ALL, "throughput").state == "contradicted"


def test_ours_decide_and_never_the_prints(table: Table) -> None:
    slow_first = timings(light=0.5, heavy=0.1)
    judgement = judged(table, "<", "light", "heavy", slow_first)
    assert judgement.state == "contradicted"
    assert judgement.reason == "timed difference +400.0 ms on H200"
    assert judgement.printed is not None
    assert judgement.printed.holds


def test_a_claim_that_cannot_be_judged_says_why(table: Table) -> None:
    assert judged(table, "<", "light", "heavy", timings(light=0.01)).reason == "not timed: heavy"
    assert judged(table, "<", "light", "theirs", ALL).reason == "quoted from other papers: theirs"
    assert judged(table, "<", "light", "middle", ALL).reason.endswith("the passes' p10 to p90 overlap")
    elsewhere = {**ALL, "heavy": timings(LAPTOP, heavy=0.5)["heavy"]}
    assert judged(table, "<", "light", "heavy", elsewhere).reason == "the rows are timed on different devices"
    beside = {**ALL, "heavy": {"latency_ms": timed("latency_ms", 0.05, crowded=True)}}
    assert judged(table, "<", "light", "heavy", beside).reason.endswith("other programs were running")
