"""`records add | render | export | check | merge`: runs as records, tables from records, and exchange of both."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from benchmark.cli import results
from benchmark.cli.text import say
from benchmark.cost.layer_check import write_checks
from benchmark.report.exchange import check_folder, export_tables, merge, opened, remarks
from benchmark.report.recorded_tables import add_table
from benchmark.runs.atomic import write_atomic
from benchmark.runs.records.files import records_root
from benchmark.runs.records.run import drop_unnamed


def add_arguments(command: argparse.ArgumentParser, of_tables: Callable[[argparse.ArgumentParser], None]) -> None:
    """The actions of `records`; `of_tables` gives one the options by which tables are named."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, text: str, act: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(act=act)
        return action

    of_tables(add("add", "write records of tables' finished runs, counts and timings", _add))
    add("render", "render every table that has records from these alone, and the page of claims", results.main)
    exported = add("export", "the records of tables as one file", _export)
    of_tables(exported)
    exported.add_argument("file", type=Path, metavar="FILE", help="such as bqn-3b.zip")
    checked = add("check", "whether a file of records, or a folder, is what it claims to be; for CI", _check)
    checked.add_argument("file", type=Path, nargs="?", metavar="FILE", help="default: the records' folder")
    merged = add("merge", "let another lab's file join the tables as rows of their own", _merge)
    merged.add_argument("file", type=Path, metavar="FILE")
    merged.add_argument("--name", metavar="LAB", help="of the lab (default: the file's name)")


def main(arguments: argparse.Namespace) -> int:
    """`records`."""
    if getattr(arguments, "asked", ()):
        print("records are of tables as their files have them: leave --set out", file=sys.stderr)
        return 2
    if any(table.on for table in getattr(arguments, "loaded", ())):
        print("records are of data sets that others have, too: leave --dataset out", file=sys.stderr)
        return 2
    return int(arguments.act(arguments))


def _add(arguments: argparse.Namespace) -> int:
    root = records_root()
    status = 0
    for table in arguments.loaded:
        done = add_table(table, root, say)
        status = max(status, int(done.refused > 0))
        print(f"{table.id}: {done.changed} files of {root}/ written, {done.unchanged} runs as they were")
    if dropped := drop_unnamed(root):
        print(f"{dropped} files of clips or code, which no record names any more, are removed")
    for architecture in arguments.architectures:
        from benchmark.cost.architecture import check_architecture

        changed = write_checks(root, architecture, check_architecture(architecture))
        print(f"{architecture.id}: {int(changed)} files of {root}/ written")
    return status


def _export(arguments: argparse.Namespace) -> int:
    data = export_tables(arguments.loaded, records_root())
    write_atomic(arguments.file, data)
    print(f"{arguments.file}: {', '.join(arguments.order)}, {len(data) / 1e3:.0f} kB")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    path = arguments.file or records_root()
    with contextlib.nullcontext(path) if path.is_dir() else opened(path) as folder:
        wrong = check_folder(folder)
        said = remarks(folder, records_root()) if not wrong else []
    print("".join(f"{path}: {line}\n" for line in wrong), end="", file=sys.stderr)
    print("".join(f"{path}: {line}\n" for line in said), end="")
    print(f"{path}: {'not accepted' if wrong else 'all records are what they claim to be'}")
    return 1 if wrong else 0


def _merge(arguments: argparse.Namespace) -> int:
    lab = arguments.name or arguments.file.stem
    changed = merge(arguments.file, lab, records_root())
    print("".join(f"{lab}: {line}\n" for line in remarks(records_root() / "theirs" / lab, records_root())), end="")
    print(f"{records_root()}/theirs/{lab}/: {changed} files written; `render` shows its rows beside ours")
    return 0
