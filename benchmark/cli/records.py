"""`records add | render | export | check | merge`: runs as records, tables from records, and exchange of both."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmark.cli import results
from benchmark.cli.text import say
from benchmark.cost.layer_check import write_checks
from benchmark.report.recorded_tables import add_table
from benchmark.runs.records.files import records_root


def add_arguments(command: argparse.ArgumentParser, of_tables: Callable[[argparse.ArgumentParser], None]) -> None:
    """The actions of `records`; `of_tables` gives one the options by which tables are named."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, text: str, act: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(act=act)
        return action

    of_tables(add("add", "write records of tables' finished runs, counts and timings", _add))
    add("render", "render every table that has records from these alone, and the page of claims", results.main)


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
    for architecture in arguments.architectures:
        from benchmark.cost.architecture import check_architecture

        changed = write_checks(root, architecture, check_architecture(architecture))
        print(f"{architecture.id}: {int(changed)} files of {root}/ written")
    return status
