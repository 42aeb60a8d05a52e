"""Every table in LaTeX through a real pdflatex: no error, nothing wider than the line, no character lost.

Each table is a page of its own in few documents, and the log is read table by table.
"""

import os
import re
import subprocess
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from benchmark.cost.architecture import check_architecture
from benchmark.cost.latency import Device, RowTimings, Sample, Timed
from benchmark.report.architecture import lay_out_architecture
from benchmark.report.cells import CountedCost, ReadCost, build_cells
from benchmark.report.results import SeedResult
from benchmark.report.text.latex import PACKAGES, latex
from benchmark.report.text.latex_text import _BLOCKS, escape, substitutes
from benchmark.report.text.layout import lay_out
from benchmark.runs.metrics import all_metrics
from benchmark.runs.predictions import Predictions
from benchmark.spec.architecture import load_architecture
from benchmark.spec.columns import COLUMNS
from benchmark.spec.files import architecture_paths, table_paths
from benchmark.spec.load import load_table
from benchmark.spec.table import Row, Table

pytestmark = pytest.mark.latex

LABELS = (
    *("[1,1,1]", "*ours", "(a)", "RGB & flow", "100% _x_ #1", "$\\alpha$=1", "costs $5 and $6", "$x_$", "lr $5 to $6_"),
    *(
        "Δ=1",
        "α→β",
        "双流",
        "日本語",
        "Привет",
        "한국어",
        "😀",
        "a|b",
        "<b>bold</b>",
        "=1+1",
        "+MS",
        "-",
        "--npb",
        "3-4",
    ),
    *(
        'a, "b"',
        "it''s",
        "tail\\",
        "`x|y`",
        "~home^2",
        "naïve “q”",
        "[link](x)",
        "\\input{x}",
        "{",
        "}",
        "}{",
        "%",
        "&",
    ),
    *("ħ ∂ ∑ ≈ ∞ ✓ ✗", "Łódź Ąę", "e\u0301", "x\u200by", "½ × ² ³ µ", "w" * 90, "?` !` ,, << >>", "a\u00a0b", "…–—−"),
    *("model.lateral.direction=bidirectional,data.dataset=kinetics400", " ".join(["words"] * 40)),
)
BAD = (
    r"^!",
    r"Overfull \\hbox",
    "Missing character",
    "Reference .* undefined",
    "Float too large",
    "Font Warning",
    "multiply defined",
)
NARROWEST = 0.7
"""Of its own size, the least that a table of a paper may be scaled to; odd labels may need less."""
PREAMBLE = r"""\documentclass{article}
\usepackage{%s}
\let\resized\resizebox
\renewcommand{\resizebox}[3]{\sbox0{#3}\typeout{WIDTH \the\wd0:\the\linewidth}\resized{#1}{#2}{#3}}
\begin{document}
"""
DEVICE = Device(name="NVIDIA H200", threads=None, precision="fp32 (convolutions in TF32)")


def fabricated_runs(table: Table) -> dict[str, list[SeedResult]]:
    """A done run per row and seed. Two rows in a table share theirs."""
    runs = {}
    for row in (row for row in table.rows if row.config is not None):
        label = table.rows[0].label if row is table.rows[-1] and table.rows[0].config else row.label
        results = []
        for seed in table.seeds:
            rng = np.random.default_rng([seed, zlib.crc32(label.encode())])
            made = Predictions(np.arange(100).astype(str), np.arange(100) % 8, rng.normal(size=(100, 8)))
            metrics = {**all_metrics(made.logits, made.labels), "residual": 12.3456}
            key = f"{zlib.crc32(f'{label}/{seed}'.encode()):08x}" * 2
            results.append(SeedResult(seed, key, "done", metrics, lambda made=made: made))  # type: ignore[misc]
        runs[row.label] = results
    return runs


def fabricated_costs(table: Table) -> dict[str, CountedCost]:
    counted = [key for key, column in COLUMNS.items() if column.source == "counted"]
    read = {"gmacs": ReadCost(65.7, "thop_2005 with model.lateral.direction=bidirectional", "reproduced, truncated")}
    return {row.label: CountedCost(dict.fromkeys(counted, 123.456), read) for row in table.rows if not row.quoted}


def fabricated_timings(table: Table) -> RowTimings:
    sample = Sample(
        batch=8, passes=41, median=0.1, p10=0.09, p90=0.11, load=0.0, crowded=False, date="2026", torch="2.11.0"
    )
    timed = [COLUMNS[key] for key in table.columns if COLUMNS[key].source == "timed"]
    return {
        row.label: {column.key: Timed.of(column, sample, DEVICE) for column in timed}
        for row in table.rows
        if not row.quoted
    }


def of_table(table: Table) -> str:
    costs = fabricated_costs(table)
    return latex(
        table, lay_out(table, build_cells(table, fabricated_runs(table), costs, fabricated_timings(table)), costs)
    )


def of_odd_labels(labels: tuple[str, ...], parts: int) -> str:
    """A table of odd labels, in one label column or in two; captions, headings and notes are as odd."""
    rows = [
        Row(label=" | ".join([label] * parts), quoted=i % 2 > 0, printed={"top1": 50.0 + i}, note=label)
        for i, label in enumerate(labels)
    ]
    changes = {
        "id": "odd_#%",
        "caption": " ".join(labels),
        "label_header": " | ".join(labels[:parts]),
        "rows": tuple(rows),
        "columns": ("top1", "top1@ucf101"),
        "claims": (),
        "baseline": rows[0].label,
    }
    whole = load_table("bqn-3b").model_copy(update=changes)
    return latex(whole, lay_out(whole, build_cells(whole, {}, {}), {}))


def of_architecture(name: str) -> str:
    table = load_architecture(name)
    return latex(table, lay_out_architecture(table, check_architecture(table)))  # type: ignore[arg-type]


def of_printed(name: str, protocol: str) -> str:
    return of_table(load_table(name, protocol))


def committed() -> dict[str, Callable[[], str]]:
    """The tables of results/, by their path."""
    folder = Path(__file__).resolve().parents[3] / "results"
    paths = sorted(folder.rglob("table.tex"))
    return {str(path.relative_to(folder)): path.read_text for path in paths}


SOURCES: Mapping[str, Callable[[], str]] = {
    **{f"{name} {p}": partial(of_printed, name, p) for name in table_paths() for p in ("embedded", "proxy")},
    **{name: partial(of_architecture, name) for name in architecture_paths()},
    **{
        f"odd labels {start} {parts}": partial(of_odd_labels, LABELS[start : start + 10], parts)
        for start in range(0, len(LABELS), 10)
        for parts in (1, 2)
    },
    **committed(),
}
CHUNK = 60


def compiled(bodies: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What the log says of each body: one document, a page for each."""
    text = PREAMBLE % ",".join(PACKAGES)
    for name, body in bodies.items():
        text += f"\\typeout{{BEGIN {name}}}\n{body}\n\\clearpage\n\\typeout{{END}}\n"
    (folder / "main.tex").write_text(text + "\\end{document}\n")
    # Lines of a log are broken at 79 characters unless this is said.
    environment = {**os.environ, "max_print_line": "10000", "error_line": "254", "half_error_line": "238"}
    command = ["pdflatex", "-interaction=nonstopmode", "main.tex"]
    for _ in range(2):  # references are defined by the first
        subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, timeout=600)
    log = (folder / "main.log").read_text(errors="replace")
    return dict(re.findall(r"^BEGIN (.*?)\n(.*?)^END$", log, re.S | re.M))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    @cache
    def of_chunk(number: int) -> dict[str, str]:
        names = list(SOURCES)[number * CHUNK : (number + 1) * CHUNK]
        return compiled({name: SOURCES[name]() for name in names}, tmp_path_factory.mktemp("latex"))

    return lambda name: of_chunk(list(SOURCES).index(name) // CHUNK)[name]


@pytest.mark.parametrize("name", SOURCES)
def test_a_table_compiles_and_fits(name: str, logs: Callable[[str], str]) -> None:
    log = logs(name)
    found = [line for line in log.splitlines() if any(re.search(bad, line) for bad in BAD)]
    assert found == []
    widths = re.search(r"WIDTH ([\d.]+)pt:([\d.]+)pt", log)
    assert widths is not None
    assert name.startswith("odd") or float(widths[2]) / float(widths[1]) > NARROWEST


def test_every_character_of_the_scripts_that_are_shown_compiles(tmp_path: Path) -> None:
    """Alone, and in a moving argument."""
    characters = [chr(code) for block in _BLOCKS for code in block if chr(code).isprintable()]
    shown = [c for c in characters if not substitutes(c)]
    assert len(shown) > 500
    bodies = {f"{ord(c):04X}": rf"\section{{{escape(c)}}}\textbf{{{escape(c)}x}} WIDTH\par" for c in shown}
    found = {
        chr(int(code, 16)): lines
        for code, log in compiled(bodies, tmp_path).items()
        if (lines := [line for line in log.splitlines() if re.search(r"^!|Missing character", line)])
    }
    assert found == {}
