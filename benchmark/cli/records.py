"""`records add | render | export | check | merge`: runs as records, tables from records, and exchange of both."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmark.cli.claims import claims_files, paper_tables
from benchmark.cli.rendering import render_tables, results_folder
from benchmark.cli.text import say
from benchmark.report.claims import all_claims
from benchmark.report.recorded_tables import add_table, table_entries
from benchmark.report.sources import Sources
from benchmark.report.writing import replace_together, results_root
from benchmark.runs.records.files import records_root
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table


def add_arguments(command: argparse.ArgumentParser, of_tables: Callable[[argparse.ArgumentParser], None]) -> None:
    """The actions of `records`; `of_tables` gives one the options by which tables are named."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, text: str, act: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(act=act)
        return action

    of_tables(add("add", "write records of tables' finished runs, counts and timings", _add))
    add("render", "render every table that has records from these alone, and the page of claims", _render)


def main(arguments: argparse.Namespace) -> int:
    """`records`."""
    return int(arguments.act(arguments))


def _add(arguments: argparse.Namespace) -> int:
    root = records_root()
    status = 0
    for table in arguments.loaded:
        done = add_table(table, root, say)
        status = max(status, int(done.refused > 0))
        print(f"{table.id}: {done.changed} files of {root}/ written, {done.unchanged} runs as they were")
    return status


def _render(arguments: argparse.Namespace) -> int:
    """What `make results` does: the tables of the records' folder, from nothing else, then the claims."""
    tables = [entry.load() for entry in table_entries(records_root())]
    done = render_tables(tables, show=False, sources=Sources(runs=False))
    claims = all_claims.gather_claims([load_table(name) for name in paper_tables()], results_root())
    replace_together(results_root(), claims_files(claims))
    rendered = {results_folder(table) for table in tables}
    left = [
        name
        for name, path in table_paths().items()
        if (folder := results_root() / path.parent.name / path.stem) not in rendered and (folder / "table.md").exists()
    ]
    print(f"Rendered from records: {', '.join(done.files) or 'no table'}; claims.csv and claims.md", file=sys.stderr)
    if left:
        print(f"Left as they are, since they have no records yet: {', '.join(left)}", file=sys.stderr)
    return 1 if done.damaged or done.kept else 0
