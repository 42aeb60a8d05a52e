"""An architecture table beside our networks: table.md, table.csv and table.tex."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from benchmark.cost.layer_check import Check
from benchmark.report.text.latex import latex
from benchmark.report.text.layout import Heading, Layout, Line
from benchmark.report.text.markdown import markdown
from benchmark.report.writing import replace_together
from benchmark.spec.architecture import Architecture
from benchmark.spec.table import Table

TITLES = ("Layer", "Network", "Operation printed", "Operation ours", "Output printed", "Output ours", "Agrees")
OUTPUTS = {"below": "with next", "lost": "illegible"}


def render_architecture(table: Architecture, checks: Sequence[Check], out_dir: Path) -> list[Path]:
    """Write the table's files, all or none, and return them. Raises ResultsError where they cannot be written."""
    layout = lay_out_architecture(table, checks)
    named = cast(Table, table)  # without contrasts and claims, the two writers read nothing but its id
    contents = {
        "table.csv": checks_csv(checks),
        "table.md": markdown(named, layout, [], []),
        "table.tex": latex(named, layout),
    }
    return replace_together(out_dir, contents)


def lay_out_architecture(table: Architecture, checks: Sequence[Check]) -> Layout:
    """A line per layer and network; networks of which a layer says the same share one. Footnotes say what differs."""
    several = len(table.networks) > 1
    notes: list[str] = []
    lines = []
    for check, networks in _merged(checks):
        words = [f"Differs: {difference}." for difference in check.differences] + ([check.note] if check.note else [])
        notes += [text for text in words if text not in notes]
        everywhere = len(networks) == len(table.networks)
        entries = (
            check.layer,
            *([("all" if everywhere else ", ".join(networks))] if several else []),
            check.printed_operation,
            check.our_operation,
            OUTPUTS.get(check.printed_output, check.printed_output),
            check.our_output,
            "no" if check.differences else "yes",
        )
        lines.append(Line(entries, tuple(notes.index(text) + 1 for text in words)))
    titles = [title for title in TITLES if several or title != "Network"]
    return Layout(
        title=f"{table.id}: {table.caption}",
        caption=_caption(table, checks),
        headings=tuple(Heading(title, numeric=False) for title in titles),
        lines=tuple(lines),
        notes=tuple(notes),
        remarks=tuple(_remarks(table, checks)),
    )


def checks_csv(checks: Sequence[Check]) -> str:
    """One line per layer and network."""
    buffer = io.StringIO()
    lines = [{**check.as_dict(), "differences": "; ".join(check.differences)} for check in checks]
    writer = csv.DictWriter(buffer, tuple(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _merged(checks: Sequence[Check]) -> list[tuple[Check, list[str]]]:
    """Consecutive checks that differ in the network alone, as one with all its networks."""
    merged: list[tuple[Check, list[str]]] = []
    for check in checks:
        same = merged and replace(merged[-1][0], network=check.network) == check
        # The printed rows of one layer of one network are rows of their own, however alike.
        if same and check.network not in merged[-1][1]:
            merged[-1][1].append(check.network)
        else:
            merged.append((check, [check.network]))
    return merged


def _caption(table: Architecture, checks: Sequence[Check]) -> str:
    data = next(iter(table.networks.values())).data
    agree = sum(not check.differences for check in checks)
    each = ", counted for each network," if len(table.networks) > 1 else ""
    return (
        f"Ours: read off the networks at paper scale, run on clips of T = {data.segments} frames of {data.size} x"
        f" {data.size} pixels; outputs are T x H x W."
        f" {agree} of {len(checks)} layers{each} agree in all that is printed."
    )


def _remarks(table: Architecture, checks: Sequence[Check]) -> list[str]:
    remarks = []
    if table.every_block:
        remarks.append(f"By the text, {table.every_block} stands in front of every residual block; no cell shows it.")
    if any(check.printed_output == "below" for check in checks):
        remarks.append("An output cell that several rows share is compared with the last of them.")
    return [*remarks, *([table.note] if table.note else [])]
