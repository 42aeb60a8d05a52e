"""`claims`: the papers' claims, their printed numbers on trial, and our states. Imports without torch."""

from __future__ import annotations

import argparse
import json
import sys

from benchmark.cli.text import grid
from benchmark.report.statistics import trial
from benchmark.report.statistics.printed import CORRELATIONS
from benchmark.report.writing import replace_together, results_root
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table, select
from benchmark.spec.not_expressed import claims_not_expressed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `claims`."""
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="table ids or papers (default: all)")
    parser.add_argument("--paper", metavar="KEY", help="the claims of one paper: bqn, cmr, da, msnet or thesis")
    parser.add_argument("--write", action="store_true", help="make results/claims.csv and claims.md (all papers)")


def main(arguments: argparse.Namespace) -> int:
    """`claims`."""
    targets = [*arguments.tables, *([arguments.paper] if arguments.paper else [])]
    known = table_paths()
    if arguments.write and targets:
        print("--write is for the claims of all papers: name no table", file=sys.stderr)
        return 2
    names = [name for name in select(targets) if name in known] if targets else paper_tables()
    if not names:
        print(f"{', '.join(targets)}: prints an architecture, from which no claim is drawn", file=sys.stderr)
        return 2
    results = results_root()
    entries = trial.gather_claims([load_table(name) for name in names], results)
    if arguments.write:
        files = claims_files(entries)
        replace_together(results, files)
        print(f"Written to {results}/: {', '.join(files)}", file=sys.stderr)
        return 0
    if arguments.json:
        print(
            json.dumps({"claims": trial.lines(entries), "totals": trial.totals(entries)}, indent=1, ensure_ascii=False)
        )
        return 0
    heads = ["claim", "printed", *(f"±, r={rho:g}" for rho in CORRELATIONS), "the print", "ours"]
    print(grid(heads, [trial.short(entry) for entry in entries], right=range(1, 2 + len(CORRELATIONS))))
    headings, rows = trial.summary(entries)
    print(f"\n{grid(headings, rows, right=range(1, len(headings)))}")
    return 0


def paper_tables() -> list[str]:
    """The tables of papers, without the checks of this project."""
    return [name for name, path in table_paths().items() if path.parent.name != "checks"]


def claims_files(entries: list[trial.Entry]) -> dict[str, str | bytes | None]:
    """claims.csv and claims.md of the results folder."""
    import pandas as pd

    frame = pd.DataFrame(trial.lines(entries), columns=list(trial.FIELDS))
    return {
        "claims.csv": frame.to_csv(index=False, lineterminator="\n"),
        "claims.md": trial.page(entries, claims_not_expressed()),
    }
