"""Rows of other labs beside ours: `theirs: TSM (LAB)`. Their runs never enter a mean, mark or verdict of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.plan import row_runs
from benchmark.report.collect import of_record
from benchmark.report.costs import CountedCost
from benchmark.report.fuse import fuse_seed
from benchmark.report.recorded_tables import TableEntry, read_entry
from benchmark.report.results import RowRuns, SeedResult
from benchmark.report.splits import over_splits
from benchmark.runs.errors import RunDirError
from benchmark.runs.key import run_key
from benchmark.runs.records.files import records_root
from benchmark.runs.records.run import read_record
from benchmark.spec.table import Row, Table

Joined = tuple[Table, dict[str, Sequence[SeedResult]], dict[str, CountedCost]]


def labs(root: Path) -> list[str]:
    """The labs whose records joined this records' folder."""
    return sorted(path.name for path in (root / "theirs").glob("*") if path.is_dir())


def with_theirs(table: Table, runs: RowRuns, costs: Mapping[str, CountedCost]) -> Joined:
    """The table with a further row below each for every lab that has runs of it, its runs, and its costs.

    A lab's row has the seeds that the lab has run. Costs are counted here, as ours are.
    """
    of_labs = {lab: _runs_of(table, records_root() / "theirs" / lab) for lab in labs(records_root())}
    rows: list[Row] = []
    all_runs, all_costs = dict(runs), dict(costs)
    for row in table.rows:
        rows.append(row)
        for lab, theirs in of_labs.items():
            if row.label not in theirs:
                continue
            results = theirs[row.label]
            label = f"theirs: {row.label} ({lab})"
            kept = {"label": label, "theirs": lab, "average": (), "printed": {}, "printed_text": {}, "readings": {}}
            rows.append(
                row.model_copy(update={**kept, "splits": (), "start": None, "note": _environment(lab, results)})
            )
            all_runs[label] = results
            if row.label in costs:
                cost = costs[row.label]
                all_costs[label] = CountedCost(cost.values, {}, cost.doubt, cost.at_least)
    return table.model_copy(update={"rows": tuple(rows)}), all_runs, all_costs


def _runs_of(table: Table, root: Path) -> dict[str, list[SeedResult]]:
    """A lab's runs by row of the table; rows of which it has none are left out."""
    path = root / "tables" / TableEntry.of(table).name
    if not path.exists():
        return {}
    try:
        seeds = read_entry(path).seeds
    except RunDirError as error:  # their damage hides none of ours
        return {row.label: [SeedResult(0, "", "damaged", note=str(error))] for row in table.rows[:1]}
    found: dict[str, list[SeedResult]] = {}
    for row in table.rows:
        by_seed: dict[int, list[SeedResult | None]] = {}
        for seed, config in row_runs(row, seeds) if row.config else ():
            try:
                record = read_record(config, root)
                result = of_record(seed, record) if record else None
            except RunDirError as error:
                result = SeedResult(seed, run_key(config), "damaged", note=str(error))
            by_seed.setdefault(seed, []).append(result)
        complete = [[one for one in several if one] for several in by_seed.values() if all(several)]
        if complete:
            found[row.label] = [over_splits(several) if row.splits else several[0] for several in complete]
    for row in table.rows:
        members = [{result.seed: result for result in found.get(label, ())} for label in row.average]
        shared = sorted(set.intersection(*(set(member) for member in members))) if members else []
        if shared:
            found[row.label] = [fuse_seed([member[seed] for member in members]) for seed in shared]
    return found


def _environment(lab: str, results: Sequence[SeedResult]) -> str:
    """Who ran it, on what and by which code."""
    said: dict[str, None] = {}
    for member in (member for one in results for member in one.members or (one,)):
        start = (member.env.get("starts") or [{}])[-1]
        parts = (member.env.get("device"), f"torch {member.env.get('versions', {}).get('torch', 'unknown')}")
        commit = f"commit {str(start.get('commit'))[:8]}{', changed' if start.get('changes') else ''}"
        said[", ".join([*(str(part) for part in parts if part), commit])] = None
    return f"Run by {lab}: {'; '.join(said)}."
