"""Rows of other labs beside ours: `theirs: TSM (LAB)`. Their runs never enter a mean, mark or verdict of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

Clips = Mapping[str, frozenset[str]]
"""Ids of validation clips by the fingerprint of their split."""
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
            note = _environment(lab, results) + _said_of_clips(results, _ours_beside(row, table, runs))
            kept = {"label": label, "theirs": lab, "average": (), "printed": {}, "printed_text": {}, "readings": {}}
            rows.append(row.model_copy(update={**kept, "splits": (), "start": None, "note": note}))
            all_runs[label] = results
            if row.label in costs:
                cost = costs[row.label]
                all_costs[label] = CountedCost(cost.values, {}, cost.doubt, cost.at_least)
    return table.model_copy(update={"rows": tuple(rows)}), all_runs, all_costs


def other_clips(theirs: Clips, ours: Clips) -> str:
    """`on other clips than ours: 58 of 60 ids shared`, of those that have fingerprints other than all of ours.

    "" where there are none, or none of ours: nothing is known then.
    """
    others = [ids for fingerprint, ids in theirs.items() if fingerprint not in ours]
    if not others or not ours:
        return ""
    shared = sum(max(len(ids & own) for own in ours.values()) for ids in others)
    return f"on other clips than ours: {shared} of {sum(map(len, others))} ids shared"


def _said_of_clips(results: Sequence[SeedResult], ours: Sequence[SeedResult]) -> str:
    said = other_clips(_clips_of(results), _clips_of(ours))
    return f" {said[0].upper()}{said[1:]}." if said else ""


def _clips_of(results: Sequence[SeedResult]) -> Clips:
    found = {}
    for run in (run for result in results for run in _single(result)):
        fingerprint = run.env.get("fingerprints", {}).get("val")
        if run.state == "done" and run.predictions is not None and fingerprint and fingerprint not in found:
            found[fingerprint] = frozenset(run.predictions().ids.tolist())
    return found


def _single(result: SeedResult) -> Iterator[SeedResult]:
    """The runs that a result was made of, itself if it is one."""
    for member in result.members:
        yield from _single(member)
    if not result.members:
        yield result


def _ours_beside(row: Row, table: Table, runs: RowRuns) -> list[SeedResult]:
    """Our runs of the table on the data set of a row."""

    def datasets(of: Row) -> set[str]:
        return {member.config.data.dataset for member in table.members(of) if member.config}

    return [result for other in table.rows if datasets(other) == datasets(row) for result in runs.get(other.label, ())]


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
