"""Everything that is known of a table, as the files of its results folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark.cost.latency import RowTimings
from benchmark.report.cell import Cell
from benchmark.report.cells import NO_TIMINGS, build_cells
from benchmark.report.claims.judge import VERSION, judge_claims
from benchmark.report.columns.kinds import KINDS
from benchmark.report.costs import CountedCost
from benchmark.report.fuse import with_fused
from benchmark.report.labels import listed
from benchmark.report.plots.accuracy_cost import accuracy_against_cost
from benchmark.report.plots.curves import curves
from benchmark.report.released import released_cells, released_remark
from benchmark.report.results import RowRuns, SeedResult
from benchmark.report.statistics.compare import Comparison, Contrast
from benchmark.report.statistics.judgement import Judgement
from benchmark.report.statistics.noise import NoiseTable, read_noise
from benchmark.report.text.audit import link_to_costs
from benchmark.report.text.csv_files import cells_csv, cells_frame, provenance_json, table_csv
from benchmark.report.text.latex import latex
from benchmark.report.text.layout import lay_out
from benchmark.report.text.markdown import markdown
from benchmark.report.text.verdicts import claims_csv
from benchmark.report.writing import lost_cells, replace_together
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table


@dataclass(frozen=True)
class Rendered:
    """A table's files: the `paths` written, its `markdown`, and why nothing was written, or what was left out.

    `lost`: what the folder holds and the new files would not; they were not written then. `problems`: pictures that
    could not be drawn. `damaged`: run directories that could not be read, each with what to do.
    """

    paths: list[Path]
    markdown: str
    lost: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def render(
    table: Table,
    runs: RowRuns,
    costs: Mapping[str, CountedCost],
    out_dir: Path,
    provenance: Mapping[str, Any] | None = None,
    timings: RowTimings = NO_TIMINGS,
    audit: str | None = None,
    force: bool = False,
) -> Rendered:
    """Render the table at whatever stage its runs are.

    All files appear or none does, and only those are written whose content changed: the same runs give the same bytes.
    Where the folder holds measured, timed or counted values that are not known now, nothing is written, unless by
    `force`. A picture that cannot be drawn keeps no table from being written.

    Args:
        table: what to render.
        runs: the results of its rows.
        costs: counted at paper scale, by row.
        out_dir: the table's folder.
        provenance: joins the top level of PROVENANCE.json.
        timings: by row and column.
        audit: content of audit.md, if there is one.
        force: replace a folder's files even if that loses values.

    Raises:
        ResultsError: the folder cannot be written; it is as it was.
    """
    labs = {row.label: row.theirs for row in table.rows if row.theirs}
    complete = with_fused(table, runs)
    ours = {label: results for label, results in complete.items() if label not in labs}
    cells = build_cells(table, complete, costs, timings)
    released = released_cells(table)
    noise = read_noise(table.protocol)
    contrasts = baseline_contrasts(table, Comparison(table, ours, noise))
    lab, judgements = judged(table, complete, costs, timings, noise)
    layout = lay_out(table, cells, costs)
    layout = replace(
        layout,
        caption=" ".join([layout.caption, *_from_records(ours), *_other_code(ours)]),
        remarks=(
            *(*layout.remarks, *released_remark(released), *_processors(ours)),
            *_theirs(set(labs.values()), lab),
        ),
    )
    first = next((c.column for c in contrasts), None)
    pictures, problems = _pictures(table, cells)
    contents: dict[str, str | bytes | None] = {
        "cells.csv": cells_csv(cells_frame(table, [*cells, *released])),
        "table.csv": table_csv(table, cells, costs, contrasts),
        "table.md": markdown(
            table, layout, [c for c in contrasts if c.column == first], judgements, link_to_costs(out_dir), noise, lab
        ),
        "table.tex": latex(table, layout),
        "claims.csv": claims_csv(table, judgements, lab) if judgements else None,
        "PROVENANCE.json": provenance_json(table, complete, {**of_statistics(noise), **(provenance or {})}),
        **pictures,
        "audit.md": audit,
    }
    text = str(contents["table.md"])
    broken = [
        f"{table.id} '{label}': {r.note}"
        for label, results in complete.items()
        for r in results
        if r.state in ("damaged", "unreadable")
    ]
    lost = [] if force else lost_cells(out_dir, str(contents["cells.csv"]))
    if lost:
        return Rendered([], text, lost, problems, broken)
    return Rendered(replace_together(out_dir, contents), text, [], problems, broken)


def _pictures(table: Table, cells: Sequence[Cell]) -> tuple[dict[str, bytes | None], list[str]]:
    """plot.* and curves.*, None for one that the table does not have now, and what went wrong in drawing them."""
    files: dict[str, bytes | None] = {}
    problems = []
    for name, draw in (("plot", accuracy_against_cost), ("curves", curves)):
        drawn: dict[str, bytes] = {}
        try:
            drawn = draw(table, cells)
        except Exception as error:  # whatever a drawing library makes of a label, the table is worth more
            problems.append(f"{table.id}: {name} cannot be drawn: {type(error).__name__}: {error}")
        files |= {f"{name}.{kind}": drawn.get(kind) for kind in ("svg", "png")}
    return files, problems


def judged(
    table: Table, runs: RowRuns, costs: Mapping[str, CountedCost], timings: RowTimings, noise: NoiseTable
) -> tuple[str, list[Judgement]]:
    """The claims by our runs; where we have none, by those of the lab that has most, which is then named."""
    rows_of: dict[str, dict[str, Sequence[SeedResult]]] = {"": {}}
    for row in table.every_row:
        label = row.label.removeprefix("theirs: ").removesuffix(f" ({row.theirs})") if row.theirs else row.label
        rows_of.setdefault(row.theirs, {})[label] = runs.get(row.label, ())
    here = {row.label for row in table.rows}
    done = {
        lab: sum(result.state == "done" for label in here for result in of_lab.get(label, ()))
        for lab, of_lab in rows_of.items()
    }
    lab = "" if done[""] else max(sorted(done), key=lambda name: done[name])
    return lab, judge_claims(table, Comparison(table, rows_of[lab], noise), costs, timings)


def _theirs(labs: Collection[str], judged_by: str) -> list[str]:
    """That there are rows of others, and whether claims are judged by them."""
    if not labs:
        return []
    where = "They enter no mean, mark, difference or claim of ours."
    if judged_by:
        where = f"There are no runs of ours: the claims are judged by those of {judged_by}."
    return [f"Rows 'theirs: ... (LAB)' are other labs' runs, in their environments: {', '.join(sorted(labs))}. {where}"]


def _from_records(runs: RowRuns) -> list[str]:
    """Which rows come from records, where others come from run directories."""
    recorded: dict[str, set[bool]] = {}
    for label, results in runs.items():
        every = (member for one in results for member in one.members or (one,))
        recorded[label] = {member.recorded is not None for member in every if member.state == "done"}
    if set().union(*recorded.values()) != {True, False}:
        return []
    return [f"From records, not run here: {listed(label for label, kinds in recorded.items() if True in kinds)}."]


def _other_code(runs: RowRuns) -> list[str]:
    """A sentence for each reason why runs of the table are not by today's code, with how many they are."""
    every = [member for results in runs.values() for one in results for member in one.members or (one,)]
    done = {run.key: run.other_code for run in every if run.state == "done"}
    counts = Counter(said for said in done.values() if said)
    return [f"{count} of {len(done)} runs {said}." for said, count in counts.items()]


def _processors(runs: RowRuns) -> list[str]:
    """A sentence where the table's runs are of several kinds of processor, which the same key does not tell apart."""
    kinds: dict[str, None] = {}
    every = [member for results in runs.values() for one in results for member in one.members or (one,)]
    for result in every:
        starts = result.env.get("starts") or ([{}] if result.state == "done" else [])
        kinds |= dict.fromkeys(str(start.get("cpu", "a kind that was not recorded")) for start in starts)
    if len(kinds) < 2:
        return []
    return [f"The runs are of {len(kinds)} kinds of processor ({'; '.join(kinds)}): see docs/reproducibility.md."]


def of_statistics(noise: NoiseTable) -> dict[str, Any]:
    """What PROVENANCE.json says of the verdicts: the version of the statistics, and of the noise that they rest on."""
    return {"statistics": VERSION, "noise": {"file": noise.path, "sha256": noise.digest} if noise.digest else None}


def baseline_contrasts(table: Table, comparison: Comparison) -> list[Contrast]:
    """Every other row against the baseline row, on every column whose differences have an error."""
    columns = [COLUMNS[key] for key in table.columns]
    return [contrast for c in columns for contrast in KINDS[c.kind].contrasts(c, comparison)]
