"""`new paper | table`: commented files to begin with, in a folder of one's own. Imports without torch."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from benchmark.config.folders import REPOSITORY
from benchmark.config.source import Problem, SpecError
from benchmark.spec.files import spec_paths
from benchmark.spec.load import load_table
from benchmark.spec.new_table import read_printed, table_text

PAPER = re.compile(r"[a-z][a-z0-9_]*")
TABLE = re.compile(r"(?P<paper>[a-z][a-z0-9_]*)-(?P<number>[\w.]+)")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The actions of `new`."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    paper = actions.add_parser("paper", help="a folder for the tables of a paper, with a first one to edit")
    paper.add_argument("name", metavar="KEY", help="short, in small letters: tdn")
    table = actions.add_parser("table", help="the file of a table, from the cells that the paper prints")
    table.add_argument("name", metavar="TABLE", help="paper and number: tdn-2")
    table.add_argument("--printed", type=Path, metavar="FILE", help="CSV of the printed cells, a line a row")
    for action in (paper, table):
        action.add_argument("--dataset", default="something-v1", metavar="NAME", help="of the printed values")
        action.add_argument("--in", dest="folder", type=Path, default=Path(), metavar="DIR", help="default: here")


def main(arguments: argparse.Namespace) -> int:
    """Write one file, never over another."""
    name = arguments.name if arguments.action == "table" else f"{arguments.name}-1"
    found = TABLE.fullmatch(name)
    if found is None or (arguments.action == "paper" and not PAPER.fullmatch(arguments.name)):
        wanted = "a paper and a number, such as tdn-2" if arguments.action == "table" else "a short name, such as tdn"
        raise SpecError([Problem(arguments.name, 0, f"must be {wanted}")])
    if (there := spec_paths().get(name)) is not None:
        raise SpecError([Problem(name, 0, f"is there already: {there}")])
    path = arguments.folder / found["paper"] / f"{found['number']}.yaml"
    if path.exists():
        raise SpecError([Problem(str(path), 0, "is there already")])
    printed = read_printed(arguments.printed) if arguments.action == "table" and arguments.printed else None
    text = table_text(found["paper"], found["number"], arguments.dataset, printed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    table = load_table(str(path))
    for line in printed.unclear if printed else ():
        print(line, file=sys.stderr)
    print(f"Written: {path}, {len(table.rows)} rows. Edit it, then: python -m benchmark show {path}")
    roots = os.pathsep.join([str(arguments.folder.resolve()), str(REPOSITORY / "tables")])
    print(f"To name its tables by id: export BENCHMARK_TABLES={roots}")
    return 0
