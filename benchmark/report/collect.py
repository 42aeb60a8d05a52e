"""Read run directories and records into what the report works on.

Never waits: a run that is not done is a cell that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from benchmark.config.datasets import DATASETS
from benchmark.config.run import RunConfig
from benchmark.data.manifest import present_fingerprints
from benchmark.plan import row_runs
from benchmark.report.results import SeedResult, State
from benchmark.report.sources import Sources
from benchmark.report.splits import over_splits
from benchmark.report.statistics.clip_hits import level_metrics
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError, UnreadableRunError
from benchmark.runs.key import run_key
from benchmark.runs.made_by import not_current
from benchmark.runs.predictions import Predictions, read_predictions
from benchmark.runs.records.run import Record
from benchmark.runs.sharing import unreadable
from benchmark.runs.trainings import other_code
from benchmark.spec.table import Table


def collect(
    table: Table,
    now: Mapping[str, tuple[State, str]] = MappingProxyType({}),
    sources: Sources | None = None,
) -> dict[str, list[SeedResult]]:
    """The runs of every measured row, one per seed, in the table's order of seeds; a seed's splits are one result.

    Rows of other tables that a claim names are among them.

    Args:
        table: whose rows.
        now: state and error of unfinished runs by key, where more is known of them than their folders say.
        sources: where runs are looked for; by default in run directories, then among the records.
    """
    sources = sources or Sources()
    found: dict[str, list[SeedResult]] = {}
    for row in table.every_row:
        if row.config is None:
            continue
        by_seed: dict[int, list[SeedResult]] = {}
        for seed, config in row_runs(row, table.seeds):
            by_seed.setdefault(seed, []).append(_seed_result(seed, config, now, sources))
        found[row.label] = [over_splits(runs) if row.splits else runs[0] for runs in by_seed.values()]
    return found


def _seed_result(seed: int, config: RunConfig, now: Mapping[str, tuple[State, str]], sources: Sources) -> SeedResult:
    run = RunDir.of(run_key(config))
    try:
        if sources.runs and (finished := _of_directory(seed, run, config)) is not None:
            return finished
        if (record := sources.record(run.key, config)) is not None:
            return of_record(seed, record)
    except UnreadableRunError as error:
        return SeedResult(seed, run.key, "unreadable", note=str(error))
    except RunDirError as error:  # one damaged folder must not hide the other cells
        return SeedResult(seed, run.key, "damaged", note=str(error))
    if not sources.runs:
        return SeedResult(seed, run.key, "pending")
    state, said = now.get(run.key) or (run.state, str(run.status.get("error") or ""))
    return SeedResult(seed, run.key, state, note=said)


def _of_directory(seed: int, run: RunDir, config: RunConfig) -> SeedResult | None:
    """What a run directory holds; None while its run is not finished."""
    if path := run.unreadable:
        raise unreadable(path)
    run.check(config)
    result = run.result
    if result is None:
        return None
    predictions, metrics = read_predictions(run, result)
    other = str(other_code(run) or "")
    return SeedResult(
        seed,
        run.key,
        "done",
        metrics=metrics | _by_level(config.data.dataset, predictions),
        predictions=lambda: predictions,
        env=run.env,
        note="; ".join([*_counts(result), *_origin(run, config), *([other] if other else [])]),
        clips=len(predictions.ids),
        other_code=other,
    )


def of_record(seed: int, record: Record) -> SeedResult:
    """What a record holds, as its run directory did."""
    other = str(not_current(record.symbols, record.verified_symbols) or "")
    return SeedResult(
        seed,
        record.content.key,
        "done",
        metrics={**record.metrics, **_by_level(record.content.config["data"]["dataset"], record.predictions)},
        predictions=lambda: record.predictions,
        env=record.env,
        note="; ".join([*_counts(record.content.result), *([other] if other else [])]),
        clips=len(record.predictions.ids),
        other_code=other,
        recorded=record.root,
    )


def _by_level(dataset: str, found: Predictions) -> dict[str, float]:
    try:
        return level_metrics(found) if DATASETS[dataset].graded else {}
    except ValueError:
        raise RunDirError(f"its predictions are not of the clips of {dataset}, which are numbered") from None


def _counts(result: Mapping[str, Any]) -> list[str]:
    """What a reader must know of a finished run's clips beside its value."""
    unreadable, untrained = result.get("unreadable_clips", 0), result.get("unreadable_training_clips", 0)
    notes = [f"{unreadable} clips unreadable, counted as wrong"] if unreadable else []
    non_finite = result.get("non_finite_clips", 0)
    notes += [f"{non_finite} clips with logits that are not finite, counted as wrong"] if non_finite else []
    missing = result.get("missing_clips", 0)
    notes += [f"{missing} clips of the split are not on this disk and were not evaluated"] if missing else []
    notes += [f"up to {untrained} training clips an epoch unreadable, left out"] if untrained else []
    missing = result.get("missing_training_clips", 0)
    return notes + ([f"{missing} training clips are not on this disk"] if missing else [])


def _origin(run: RunDir, config: RunConfig) -> list[str]:
    """What is doubtful about where a run came from, by what is here now."""
    notes = []
    env = run.env
    if not env:
        notes.append(f"{run.path}/env.json is gone or damaged: what made this run is not known")
    known, now = env.get("fingerprints", {}), present_fingerprints(config.data.dataset)
    if any(known.get(split, now[split]) != now[split] for split in now):
        notes.append(f"of other data than those that are prepared now: remove {run.path} to run it on these")
    return notes
