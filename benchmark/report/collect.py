"""Read run directories into what the report works on. Never waits: a run that is not done is a cell that says so."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmark.data.manifest import present_fingerprints
from benchmark.launch.rundir import RunDir, StaleRunError
from benchmark.plan import row_runs, run_key
from benchmark.report.cells import Predictions, SeedResult
from benchmark.report.splits import over_splits
from benchmark.spec.config import RunConfig, start_key
from benchmark.spec.table import Table


def collect(table: Table) -> dict[str, list[SeedResult]]:
    """The runs of every measured row, one per seed, in the table's order of seeds; a seed's splits are one result."""
    found: dict[str, list[SeedResult]] = {}
    for row in table.rows:
        if row.config is None:
            continue
        by_seed: dict[int, list[SeedResult]] = {}
        for seed, config in row_runs(row, table.seeds):
            by_seed.setdefault(seed, []).append(_seed_result(seed, config))
        found[row.label] = [over_splits(runs) if row.splits else runs[0] for runs in by_seed.values()]
    return found


def _seed_result(seed: int, config: RunConfig) -> SeedResult:
    run = RunDir.of(run_key(config))
    try:
        result = run.result
    except StaleRunError as error:  # one damaged folder must not hide the other cells
        return SeedResult(seed, run.key, "failed", note=str(error))
    if result is None:
        return SeedResult(seed, run.key, run.state, note=str(run.status.get("error") or ""))
    unreadable, untrained = result["unreadable_clips"], result.get("unreadable_training_clips", 0)
    notes = [f"{unreadable} clips unreadable, counted as wrong"] if unreadable else []
    missing = result.get("missing_clips", 0)
    notes += [f"{missing} clips of the split are not on this disk and were not evaluated"] if missing else []
    notes += [f"up to {untrained} training clips an epoch unreadable, left out"] if untrained else []
    missing = result.get("missing_training_clips", 0)
    notes += [f"{missing} training clips are not on this disk"] if missing else []
    env = run.env
    known, now = env.get("fingerprints", {}), present_fingerprints(config.data.dataset)
    if any(known.get(split, now[split]) != now[split] for split in now):
        notes.append(f"of other data than those that are prepared now: remove {run.path} to run it on these")
    key = start_key(config)
    first = run.trained(key) if key else None
    if first is not None and first.env.get("weights", known.get("start")) != known.get("start"):
        notes.append(f"started from other weights than {first.path} has now: remove {run.path} to start from these")
    return SeedResult(
        seed,
        run.key,
        "done",
        metrics=result["metrics"],
        predictions=partial(_read_predictions, run) if (run.path / "predictions.npz").exists() else None,
        env=env,
        note="; ".join(notes),
        clips=result.get("num_clips", 0),
    )


def _read_predictions(run: RunDir) -> Predictions:
    with np.load(run.path / "predictions.npz") as stored:
        return Predictions(stored["ids"], stored["labels"], stored["logits"])
