"""Tables into their results folders, and onto the terminal: the end of `run`, `time` and `render`."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.cli.text import say
from benchmark.cost.audit import audit_table
from benchmark.cost.latency import row_timings
from benchmark.launch.states import run_states
from benchmark.plan import make_plan
from benchmark.report.costs import counted_cost
from benchmark.report.results import State
from benchmark.report.sources import Sources
from benchmark.report.text.audit import audit_markdown, link_to_costs
from benchmark.report.writing import results_root
from benchmark.spec.architecture import Architecture
from benchmark.spec.table import Table

NAMED = 5
"""Cells that a message names."""


@dataclass
class Written:
    """The files of each table, and the tables with damaged runs, and those whose folder was left as it is."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def results_folder(table: Table) -> Path:
    """Where a table is rendered: results/<paper>/<number>, and below it for any protocol but `embedded`.

    There it has a folder for the protocol, and in it one for another data set than the table's own, and one for
    settings of the request.
    """
    folder = architecture_folder(table.paper, table.number)
    folder = folder if table.protocol == "embedded" else folder / table.protocol
    folder = folder / (table.on or table.dataset) if table.on or table.other else folder
    return folder / _of_settings(table.asked) if table.asked else folder


def _of_settings(settings: Sequence[str]) -> str:
    return as_name(",".join("=".join(part.strip() for part in setting.split("=", 1)) for setting in sorted(settings)))


def as_name(text: str) -> str:
    """A text as the name of a folder, such as `train.lr=0.1`; one that cannot be read off it has its digest."""
    plain = re.sub(r"[^\w.,=+-]", "_", text)[:80]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def states_now(tables: list[Table]) -> dict[str, tuple[State, str]]:
    """State and error of every run of the tables by key, as `collect` takes them."""
    return {key: (run.state, run.error or "") for key, run in run_states(make_plan(tables).runs, say).items()}


def render_tables(
    tables: list[Table], force: bool = False, show: bool = True, sources: Sources | None = None
) -> Written:
    """Write the tables' folders; `show` prints each table, and what could not be written or read is said in any case.

    A folder that holds more than is known now is left as it is, unless by `force`. By default, records stand in for
    runs that are not finished here.
    """
    from benchmark.report.collect import collect
    from benchmark.report.render import render as write
    from benchmark.report.theirs import with_theirs

    done = Written()
    sources = sources or Sources()
    now = states_now(tables) if sources.runs else {}
    for table in tables:
        folder = results_folder(table)
        audit = audit_table(table, sources.cost)
        costs = {row.label: counted_cost(row) for row in audit}
        page = audit_markdown(table, audit, link_to_costs(folder)) if audit else None
        timings = row_timings(table, sources.timings)
        joined, runs, costs = with_theirs(table, collect(table, now, sources), costs)
        made = write(joined, runs, costs, folder, timings=timings, audit=page, force=force)
        done.files[table.id] = made.paths
        if show:
            print(made.markdown.rstrip() + "\n")
            if made.paths:
                print(f"Written to {folder}/: {', '.join(path.name for path in made.paths)}\n")
        if made.lost:
            done.kept.append(table.id)
            _say_kept(table, folder, made.lost)
        damaged = [*made.damaged, *sources.damaged]
        sources.damaged.clear()
        if damaged:
            done.damaged.append(table.id)
        for line in (*damaged, *made.problems):
            print(line, file=sys.stderr)
        if len(audit) < sum(not row.quoted for row in table.rows):
            print(f"Costs are not counted yet: python -m benchmark cost {table.id}", file=sys.stderr)
    return done


def _say_kept(table: Table, folder: Path, lost: list[str]) -> None:
    named = "\n".join(f"    {line}" for line in lost[:NAMED])
    more = f"\n    and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    print(
        f"Not written: {folder}/ holds values that are not known here, and stays as it is:\n{named}{more}\n"
        f"  `run {table.id}` makes them again; BENCHMARK_RESULTS=elsewhere writes elsewhere; --force replaces them.",
        file=sys.stderr,
    )


def render_architectures(tables: list[Architecture], show: bool) -> dict[str, list[Path]]:
    """Compare the printed layers with our networks' and write the tables' folders, whatever the protocol."""
    written = {}
    for table in tables:
        from benchmark.cost.architecture import check_architecture
        from benchmark.report.architecture import render_architecture

        folder = architecture_folder(table.paper, table.number)
        written[table.id] = render_architecture(table, check_architecture(table), folder)
        if show:
            print((folder / "table.md").read_text().rstrip() + "\n")
            print(f"Written to {folder}/: {', '.join(path.name for path in written[table.id])}\n")
    return written


def architecture_folder(paper: str, number: str) -> Path:
    """Where a table without results is rendered, whatever the protocol."""
    return results_root() / paper / number
