"""verify: whether today's code behaves as that which made the finished runs of tables, by their miniatures.

What a run's miniature came to, and what was found, stands in its directory; where there is none, in its record.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmark.cli.running import prepare_data
from benchmark.cli.text import say, split_of
from benchmark.config.datasets import DATASETS
from benchmark.launch.pending import recorded_runs
from benchmark.plan import PlannedRun
from benchmark.runs.atomic import write_json
from benchmark.runs.behaviour import Comparison, compare, kind_of_device, recorded
from benchmark.runs.code import changes, digests
from benchmark.runs.directory import RunDir
from benchmark.runs.made_by import VERIFIED, symbols_in
from benchmark.runs.records.files import records_root
from benchmark.runs.records.run import Record, drop_unnamed, read_record, run_record_path, write_verified

SHOWN = 100
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Verdict:
    """What `verify` found of a run: a comparison, or why there is none."""

    planned: PlannedRun
    comparison: Comparison | None
    why: str = ""

    @property
    def alike(self) -> bool:
        """Whether it behaves as then."""
        return self.comparison is not None and self.comparison.alike

    @property
    def text(self) -> str:
        """In words."""
        found = self.comparison
        if found is None:
            return self.why
        if found.equal:
            return "behaves as then: equal to the last bit"
        share = f"{found.deviation:.1%} of the tolerance"
        largest = f"largest deviation {share}" + (f", {found.off[0].what}" if found.off else "")
        if found.alike:
            return f"behaves as then, on another processor or under other versions: {largest}"
        if not found.beyond:
            return f"differs in rounding, on the same kind of processor and versions: {largest}"
        return "behaves otherwise"

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        found = self.comparison
        off = [] if found is None else found.off
        return {
            "key": self.planned.key,
            "rows": [list(used) for used in dict.fromkeys(self.planned.used_by)],
            "alike": self.alike,
            "equal": found is not None and found.equal,
            "verdict": self.text,
            "deviation": None if found is None else _finite(found.deviation),
            "differences": [
                {"what": one.what, "then": one.then, "now": one.now, "deviation": _finite(one.deviation)} for one in off
            ],
        }


def main(arguments: argparse.Namespace) -> int:
    """`verify`: 0 if every finished or recorded run of the tables behaves as then."""
    runs = [run for run in arguments.plan.runs.values() if _is_asked_for(run, arguments.row)]
    in_records = recorded_runs({run.key: run for run in runs})
    here = [run for run in runs if run.key not in arguments.damaged]
    finished = [run for run in here if run.key in in_records or RunDir.of(run.key).state == "done"]
    if not finished:
        say("Nothing to verify: none of these runs is done, or has a record.")
        return 1
    prepare_data(run.config for run in finished if DATASETS[run.config.data.dataset].generated)
    verdicts, since = [], time.time()
    for planned in finished:
        verdict = verify(planned, since)
        verdicts.append(verdict)
        if not arguments.json:
            _print(verdict)
    if in_records:
        drop_unnamed(records_root())  # code by which a run was verified before
    if arguments.json:
        print(json.dumps([verdict.as_json() for verdict in verdicts], indent=1, ensure_ascii=False))
    else:
        alike = sum(verdict.alike for verdict in verdicts)
        of_records = sum(run.key in in_records for run in finished)
        source = f" ({of_records} by their records)" if of_records else ""
        left = f"; {len(runs) - len(finished)} more are not done" if len(runs) > len(finished) else ""
        print(f"\n{alike} of {len(verdicts)} finished runs behave as then{source}{left}.")
    return 0 if all(verdict.alike for verdict in verdicts) else 1


def verify(planned: PlannedRun, since: float) -> Verdict:
    """Run the miniature of a finished run by today's code, and keep that it behaves as then, and what code does.

    Where there is no finished run directory it is compared with that of the run's record, and kept there.

    `since`: see `digests`.
    """
    import torch

    from benchmark.launch.behaviour import miniature
    from benchmark.launch.executed import traced, used_by_run
    from benchmark.launch.job import TOLD, prepare_torch

    run = RunDir.of(planned.key)
    try:
        record = None if run.state == "done" else read_record(planned.config)
        then = record.content.behaviour if record else recorded(run)
        if then is None:
            return Verdict(planned, None, "its behaviour was not recorded: it was made before that was, or without")
        device = torch.device(kind_of_device(then))
        if device.type == "cuda" and not torch.cuda.is_available():
            return Verdict(planned, None, "cannot be tried: it was made on a GPU, and there is none here")
        prepare_torch(device)
        with traced() as found:
            now = miniature(planned.config, device, str(then.get("start")))
        comparison = compare(then, now)
    except (*TOLD, ValueError) as error:
        return Verdict(planned, None, f"cannot be tried: {error}")
    verified = None
    if comparison.alike:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        verified = {"at": at, "on": now["on"], "equal": comparison.equal, "deviation": comparison.deviation}
        verified["symbols"] = digests(used_by_run(found, planned.config), since=since)
    before = record.verified_symbols if record else symbols_in(run.path / VERIFIED)
    if verified or not (before and changes(before)):  # what was found of other code than today's stays true of that
        _keep(verified, record or run)
    return Verdict(planned, comparison)


def _keep(verified: dict[str, Any] | None, of: Record | RunDir) -> None:
    """Write what was found of a run into its record, or beside it; None takes away what was found before."""
    path = run_record_path(of.root, of.content.key) if isinstance(of, Record) else of.path / VERIFIED
    if not os.access(path.parent, os.W_OK):
        say(f"{path} cannot be written: what was found is not kept")
    elif isinstance(of, Record):
        write_verified(of, verified)
    elif verified is not None:
        write_json(path, verified)
    else:
        path.unlink(missing_ok=True)


def _is_asked_for(run: PlannedRun, rows: Iterable[str]) -> bool:
    labels = {label for _, label in run.used_by}
    return not rows or bool(labels & set(rows))


def _print(verdict: Verdict) -> None:
    planned = verdict.planned
    users = [f"{table}: {label}" for table, label in dict.fromkeys(planned.used_by)]
    named = f"{'; '.join(users).replace(' | ', ', ')}{split_of(planned.config.data.dataset)}"
    print(f"{planned.key}  {named}, seed {planned.config.seed}: {verdict.text}", flush=True)
    if verdict.comparison is None or verdict.alike:
        return
    for one in verdict.comparison.beyond or verdict.comparison.off:
        times = f" ({one.deviation:.3g} times the tolerance)" if math.isfinite(one.deviation) else ""
        print(f"    {one.what}{times}\n        then {_short(one.then)}\n        now  {_short(one.now)}")


def _short(text: str) -> str:
    line = text.replace("\n", "; ")
    return line[:SHOWN] + "..." * (len(line) > SHOWN)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
