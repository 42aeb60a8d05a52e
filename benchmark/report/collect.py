"""Read run directories into what the report works on. Never waits: a run that is not done is a cell that says so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data.manifest import present_fingerprints
from benchmark.launch.rundir import RESIDUAL, RunDir, RunDirError, damaged
from benchmark.plan import row_runs, run_key
from benchmark.report.cells import Predictions, SeedResult
from benchmark.report.metrics import all_metrics
from benchmark.report.splits import over_splits
from benchmark.spec.config import RunConfig, start_key
from benchmark.spec.table import Table


def collect(table: Table) -> dict[str, list[SeedResult]]:
    """The runs of every measured row, one per seed, in the table's order of seeds; a seed's splits are one result.

    Rows of other tables that a claim names are among them.
    """
    found: dict[str, list[SeedResult]] = {}
    for row in table.every_row:
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
        run.check(config)
        result = run.result
        if result is None:
            return SeedResult(seed, run.key, run.state, note=str(run.status.get("error") or ""))
        predictions, metrics = read_predictions(run, result)
    except RunDirError as error:  # one damaged folder must not hide the other cells
        return SeedResult(seed, run.key, "damaged", note=str(error))
    return SeedResult(
        seed,
        run.key,
        "done",
        metrics=metrics,
        predictions=lambda: predictions,
        env=run.env,
        note="; ".join(_notes(run, config, result)),
        clips=len(predictions.ids),
    )


def read_predictions(run: RunDir, result: Mapping[str, Any]) -> tuple[Predictions, dict[str, float]]:
    """What a finished run predicted, and its metrics, computed from that.

    A metric that they do not determine (a projection loss) is the one stored beside them, or else in result.json.

    Raises:
        DamagedRunError: predictions.npz is gone, cut, or cannot be what the run wrote, or result.json says otherwise.
    """
    path = run.path / "predictions.npz"
    try:
        return _checked(run, result, path)
    except RunDirError:
        raise
    except FileNotFoundError:
        raise damaged(path, "it is gone") from None
    except KeyError as error:
        raise damaged(path, f"it has no {error}") from None
    except Exception as error:  # a changed byte can make numpy and zipfile raise nearly anything
        raise damaged(path, str(error) or type(error).__name__) from None


def _checked(run: RunDir, result: Mapping[str, Any], path: Path) -> tuple[Predictions, dict[str, float]]:
    with np.load(path) as stored:
        held = {name: stored[name] for name in stored.files}
    found = Predictions(held["ids"], held["labels"], held["logits"])
    metrics = all_metrics(found.logits, found.labels)
    (clips, classes), data = found.logits.shape, run.config.data
    if not clips or found.ids.shape != (clips,) or (found.ids[1:] <= found.ids[:-1]).any():
        raise damaged(path, "its clips are not each there once, in order")
    if classes != data.num_classes:
        raise damaged(path, f"it has {classes} classes, {data.dataset} has {data.num_classes}")
    evaluated = run.env.get("clips", {}).get("val", {}).get("found", clips)
    for where, said in (("result.json", result.get("num_clips", clips)), ("env.json", evaluated)):
        if clips != said:
            raise damaged(path, f"it has {clips} clips, {where} says {said}")
    if RESIDUAL in held:
        metrics[RESIDUAL] = float(held[RESIDUAL])
    for name, said in result["metrics"].items():
        if not math.isclose(metrics.setdefault(name, said), said, rel_tol=1e-9, abs_tol=1e-9):
            by_predictions = f"{name} is {said:g}, but {metrics[name]:g} by predictions.npz"
            raise damaged(path.with_name("result.json"), by_predictions)
    return found, metrics


def _notes(run: RunDir, config: RunConfig, result: Mapping[str, Any]) -> list[str]:
    """What a reader must know of a finished run beside its value."""
    unreadable, untrained = result.get("unreadable_clips", 0), result.get("unreadable_training_clips", 0)
    notes = [f"{unreadable} clips unreadable, counted as wrong"] if unreadable else []
    missing = result.get("missing_clips", 0)
    notes += [f"{missing} clips of the split are not on this disk and were not evaluated"] if missing else []
    notes += [f"up to {untrained} training clips an epoch unreadable, left out"] if untrained else []
    missing = result.get("missing_training_clips", 0)
    notes += [f"{missing} training clips are not on this disk"] if missing else []
    env = run.env
    if not env:
        notes.append(f"{run.path}/env.json is gone or damaged: what made this run is not known")
    known, now = env.get("fingerprints", {}), present_fingerprints(config.data.dataset)
    if any(known.get(split, now[split]) != now[split] for split in now):
        notes.append(f"of other data than those that are prepared now: remove {run.path} to run it on these")
    key = start_key(config)
    first = run.trained(key) if key else None
    if first is not None and first.env.get("weights", known.get("start")) != known.get("start"):
        notes.append(f"started from other weights than {first.path} has now: remove {run.path} to start from these")
    return notes
