import csv
import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.report.cells import build_cells
from benchmark.report.render import render
from benchmark.report.text.latex_text import escape
from benchmark.report.text.layout import lay_out
from benchmark.spec.table import Row, Table

TABLES = ("bqn-3a", "bqn-3b", "bqn-3c", "bqn-3d", "bqn-3e", "bqn-3f")
FILES = {"cells.csv", "claims.csv", "table.csv", "table.md", "table.tex", "PROVENANCE.json", "plot.svg", "plot.png"}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _unbalanced(tex: str) -> int:
    """Depth of braces at the end, escaped ones and comments left aside; -1 once it falls below zero."""
    depth = 0
    for character in re.sub(r"\\\\|\\[{}%]|%.*", "", tex):
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return -1
    return depth


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("protocol", ["embedded", "proxy"])
def test_every_table_renders_whole_and_well_formed(
    name: str, protocol: str, make: SimpleNamespace, tmp_path: Path
) -> None:
    table = make.table(name, protocol)
    paths = render(table, make.runs(table), make.costs(table), tmp_path).paths
    assert {path.name for path in paths} == FILES == {path.name for path in tmp_path.iterdir()}
    markdown = (tmp_path / "table.md").read_text()
    grid = [line for line in markdown.splitlines() if line.startswith("|")][: len(table.rows) + 2]
    assert len({len(line) for line in grid}) == 1
    assert len({line.count("|") for line in grid}) == 1
    assert markdown.count("\n- ") >= len(table.claims)
    assert f"protocol {protocol}" in markdown
    assert ("mean ± SD" in markdown) == (protocol == "proxy")
    tex = (tmp_path / "table.tex").read_text()
    assert _unbalanced(tex) == 0
    body = tex[tex.index(r"\midrule") : tex.index(r"\bottomrule")].splitlines()[1:]
    spec = re.search(r"\\begin\{tabular\}\{(.*)\}", tex)
    assert spec is not None
    columns = len(re.sub(r">\{.*?\}p\{.*?\}", "l", spec[1]))
    assert {line.count(" & ") + 1 for line in body if line} == {columns}
    assert tex.isascii()


def test_raw_numbers_survive_in_csv(make: SimpleNamespace, table_3b: Table, tmp_path: Path) -> None:
    runs = make.runs(table_3b)
    render(table_3b, runs, make.costs(table_3b), tmp_path)
    cells = _read(tmp_path / "cells.csv")
    cell = next(c for c in cells if (c["label"], c["column"], c["kind"]) == ("8", "top1", "measured"))
    values = [run.metrics["top1"] for run in runs["8"]]
    assert float(cell["value"]) == pytest.approx(sum(values) / 3, abs=1e-12)
    assert [float(part.split("=")[1]) for part in cell["values"].split()] == values
    assert cell["runs"].split() == [run.key for run in runs["8"]]
    wide = {line["label"]: line for line in _read(tmp_path / "table.csv")}
    assert list(wide) == [row.label for row in table_3b.rows]
    assert wide["8"]["measured_top1"] == cell["value"]
    assert float(wide["8"]["printed_top1"]) == 50.7
    assert wide[table_3b.baseline]["difference_top1"] == ""


def test_rendering_again_changes_no_byte_and_writes_no_file(
    make: SimpleNamespace, table_3b: Table, tmp_path: Path
) -> None:
    first = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in _both(make, table_3b, tmp_path)}
    second = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in _both(make, table_3b, tmp_path)}
    assert first == second
    elsewhere = {p.name: p.read_bytes() for p in _both(make, table_3b, tmp_path / "elsewhere")}
    assert elsewhere == {name: content for name, (content, _) in first.items()}


def _both(make: SimpleNamespace, table: Table, folder: Path) -> list[Path]:
    return render(table, make.runs(table), make.costs(table), folder).paths


def test_every_subset_of_finished_runs_renders(make: SimpleNamespace, tmp_path: Path) -> None:
    """All subsets of the rows of 3a, which has a fused row, with the unfinished ones in any of the other states."""
    table = make.table("bqn-3a", "embedded")
    whole = make.runs(table)
    states = itertools.cycle(("running", "failed", "interrupted", "pending", "queued"))
    for size in range(len(whole) + 1):
        for done in itertools.combinations(whole, size):
            runs = {
                label: results
                if label in done
                else [make.seed_result(label, run.seed, 0.0, next(states)) for run in results]
                for label, results in whole.items()
            }
            render(table, runs, make.costs(table) if size % 2 else {}, tmp_path, force=True)
            lines = {line["label"]: line["measured_top1"] for line in _read(tmp_path / "table.csv")}
            expected = {*done, *(["Quiet+Busy"] if {"Quiet", "Busy"} <= set(done) else [])}
            assert {label for label, value in lines.items() if value} == expected


def test_every_prefix_of_finished_seeds_renders(make: SimpleNamespace, table_3b: Table, tmp_path: Path) -> None:
    whole = make.runs(table_3b)
    order = [(label, seed) for seed in table_3b.seeds for label in whole]
    for count in range(len(order) + 1):
        done = set(order[:count])
        runs = {label: [r for r in results if (label, r.seed) in done] for label, results in whole.items()}
        render(table_3b, runs, make.costs(table_3b), tmp_path)
        finished = [int(line["n_top1"]) for line in _read(tmp_path / "table.csv")]
        assert sum(finished) == count
    assert "(2/3)" not in (tmp_path / "table.md").read_text()


def test_provenance_lists_each_run_once_with_its_rows(make: SimpleNamespace, tmp_path: Path) -> None:
    table = make.table("bqn-3a", "proxy")
    runs = make.runs(table)
    render(table, runs, {}, tmp_path, {"harness": "0.1"})
    found = json.loads((tmp_path / "PROVENANCE.json").read_text())
    assert found["harness"] == "0.1"
    by_key = {run["key"]: run for run in found["runs"]}
    assert set(by_key) == {r.key for results in runs.values() for r in results}
    assert len(by_key) == len(found["runs"])
    assert by_key[runs["Quiet"][1].key]["rows"] == ["Quiet", "Quiet+Busy"]
    assert by_key[runs["Quiet"][1].key]["env"]["git"]["commit"] == "0" * 40


def test_notes_are_numbered_and_a_quoted_row_says_so(make: SimpleNamespace, table_3b: Table) -> None:
    quoted = Row(label="TSM_RGB & 5% {x}", quoted=True, printed={"top1": 45.0})
    table = table_3b.model_copy(update={"rows": (*table_3b.rows, quoted)})
    layout = lay_out(table, build_cells(table, {}, {}), {})
    assert "Quoted" in layout.notes[layout.lines[-1].notes[0] - 1]


def test_latex_specials_are_escaped() -> None:
    assert escape("5% & #1_a^b {x} ~ \\ $") == (
        r"5\% \& \#1\_a{\textasciicircum}b \{x\} {\textasciitilde} {\textbackslash} \$"
    )


def test_rendering_takes_less_than_a_second_once_loaded(make: SimpleNamespace, table_3b: Table, tmp_path: Path) -> None:
    _both(make, table_3b, tmp_path)
    runs, start = make.runs(table_3b), time.process_time()
    render(table_3b, runs, make.costs(table_3b), tmp_path)
    assert time.process_time() - start < 1.0


def test_importing_the_report_loads_neither_torch_nor_matplotlib_nor_scipy() -> None:
    code = "import sys, benchmark.report.render; print(*{'torch', 'matplotlib', 'scipy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
