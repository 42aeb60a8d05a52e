"""What commands say of runs that are not by today's code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from benchmark.launch.pending import record_by_other_code
from benchmark.plan import Plan
from benchmark.runs.directory import RunDir
from benchmark.runs.made_by import OtherCode
from benchmark.runs.trainings import other_code

NAMED = 3
"""Tables that a sentence names."""


def not_by_todays_code(
    keys: Iterable[str], recorded: Mapping[str, Path] = MappingProxyType({})
) -> dict[str, OtherCode]:
    """Why finished runs are not current, by key; those that are, or are not finished, are left out.

    `recorded`: records that stand in for runs that are not finished here (`recorded_runs`).
    """
    found = {key: other_code(run) for key in keys if (run := RunDir.of(key)).state == "done"}
    found |= {key: record_by_other_code(path) for key, path in recorded.items()}
    return {key: other for key, other in found.items() if other is not None}


def sentences(others: Mapping[str, OtherCode], made: Plan, recorded: Collection[str] = ()) -> list[str]:
    """Lines that say which finished or `recorded` runs are not by today's code and what to do; none where all are."""
    if not others:
        return []
    done = [key for key in made.runs if RunDir.of(key).state == "done"]
    counts = Counter(str(other) for other in others.values())
    concerned = {table for key in others for table, _ in made.runs[key].used_by}
    named = [table.id for table in made.tables if table.id in concerned]
    tables = " ".join(named) if len(named) <= NAMED else "TABLE"
    what, known = "finished", len(done)
    if not others.keys().isdisjoint(recorded):
        what, known = "finished or recorded", known + len(recorded)
    again = f"{tables} --again" if others.keys() & set(done) else tables
    return [
        f"{len(others)} of {known} {what} runs are not by today's code:",
        *(f"    {count} {said}" for said, count in counts.items()),
        f"  `run {again}` trains them anew; `verify {tables}` says whether it behaves as theirs did.",
    ]
