"""`report TABLE`: by level of difficulty (--by AXIS), or a row looked at closely (--row), from stored predictions."""

from __future__ import annotations

import argparse
import json

from benchmark.cli.rendering import as_name, results_folder, states_now
from benchmark.cli.text import grid, say
from benchmark.report.by_level import MEANING, as_cells, as_csv, by_level, header, picture
from benchmark.report.collect import collect
from benchmark.report.labels import flat
from benchmark.report.one_row import files_of, look_at
from benchmark.report.writing import replace_together

SHOWN = 10
"""Clips that are printed; the file has more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `report`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--by", choices=tuple(MEANING), help="accuracy by level of this axis of difficulty")
    what.add_argument("--row", metavar="LABEL", help="accuracy by class, the confusion matrix and the clips most wrong")


def main(arguments: argparse.Namespace) -> int:
    """Print, and write beside the table's own files: by_AXIS.csv and its picture, or a folder of the row."""
    if arguments.row:
        return _one_row(arguments)
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


def _one_row(arguments: argparse.Namespace) -> int:
    from benchmark.cli.evaluating import row_of

    found = []
    for table in arguments.loaded:
        row = row_of(table, arguments.row)
        looked = look_at(table, row, collect(table, states_now([table])).get(row.label, ()))
        folder = results_folder(table) / "rows" / as_name(row.label)
        paths = replace_together(folder, files_of(looked))
        classes = [
            {"class": c.name, "clips": c.clips, "top1": list(c.top1), "taken_for": c.taken_for, "share": c.share}
            for c in looked.classes
        ]
        found.append({"table": table.id, "row": row.label, "seeds": list(looked.seeds), "classes": classes})
        if arguments.json:
            continue
        seeds = f"{len(looked.seeds)} seed{'s'[: len(looked.seeds) > 1]}"
        print(f"{table.id}, {flat(row.label)}: top-1 accuracy by class in percent, {seeds}\n")
        lines = [
            [
                c.name,
                str(c.clips),
                f"{sum(c.top1) / len(c.top1):.1f}",
                c.taken_for,
                f"{c.share:.1f}" if c.taken_for else "",
            ]
            for c in looked.classes
        ]
        print(grid(["class", "clips", "top-1", "taken for", "share"], lines, right=(1, 2, 4)))
        if looked.wrong:
            worst = [[w.id, w.name, w.taken_for, f"{w.behind:.2f}"] for w in looked.wrong[:SHOWN]]
            print("\nMost wrong: how far the own class is behind in log probability\n")
            print(grid(["clip", "class", "taken for", "behind"], worst, right=(3,)))
        print(f"\nWritten to {folder}/: {', '.join(path.name for path in paths)}")
    if arguments.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0
