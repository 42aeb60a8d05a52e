"""The printed cells and claims as files of their own."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from benchmark.cli.claims import paper_tables
from benchmark.spec.load import load_table
from tools.printed_cells import CELLS, CLAIMS, FOLDER, VERSION, printed_files


def test_the_committed_files_are_those_of_the_specs() -> None:
    files = printed_files([load_table(name) for name in paper_tables()])
    for name, content in files.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == content, "python -m tools.printed_cells"
    cells = list(csv.DictReader((FOLDER / "cells.csv").read_text(encoding="utf-8").splitlines()))
    [one] = [c for c in cells if (c["paper"], c["table"], c["label"], c["column"]) == ("bqn", "3b", "16", "top1")]
    assert (one["printed"], one["dataset"], one["quoted"], one["row"]) == ("51.6", "Something-Something V1", "0", "4")
    costs = [c for c in cells if c["column"] == "extra_mparams" and c["printed"] == "0.2K"]
    assert {float(c["value"]) for c in costs} == {0.0002}


def test_the_readme_names_version_and_columns() -> None:
    text = (Path(FOLDER) / "README.md").read_text()
    assert text.splitlines()[0].endswith(f"version {VERSION}")
    named = set(re.findall(r"`([a-z_]+)`", text)) | {"paper", "id"}
    assert {*CELLS, *CLAIMS} - named <= {"row", "table", "label", "metric", "lhs", "rhs", "relation"}
