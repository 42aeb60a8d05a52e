"""`report TABLE --by AXIS`: accuracy by level of difficulty, from stored predictions."""

from __future__ import annotations

import argparse
import json

from benchmark.cli.rendering import results_folder, states_now
from benchmark.cli.text import grid, say
from benchmark.report.by_level import MEANING, as_cells, as_csv, by_level, header, picture
from benchmark.report.collect import collect
from benchmark.report.writing import replace_together


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    parser.add_argument("--by", required=True, choices=tuple(MEANING), help="the axis of difficulty")


def main(arguments: argparse.Namespace) -> int:
    """Print each table by level; with any value, write by_AXIS.csv and its picture beside the table's own files."""
    axis, found = arguments.by, {}
    now = states_now(arguments.loaded)
    for table in arguments.loaded:
        rows = by_level(table, collect(table, now), axis)
        found[table.id] = [{"label": row.label, "levels": [vars(at) for at in row.levels]} for row in rows]
        if not arguments.json:
            print(f"{table.id}: {table.caption}\nTop-1 accuracy by {axis} ({MEANING[axis]}), percent.\n")
            print(grid(header(axis), as_cells(rows), right=range(1, len(header(axis)))))
        if drawn := picture(table, axis, rows):
            files = {f"by_{axis}.{kind}": drawn[kind] for kind in ("svg", "png")}
            folder = results_folder(table)
            paths = replace_together(folder, {f"by_{axis}.csv": as_csv(table, axis, rows), **files})
            say(f"Written to {folder}/: {', '.join(path.name for path in paths)}")
    if arguments.json:
        print(json.dumps(found, indent=1))
    return 0
