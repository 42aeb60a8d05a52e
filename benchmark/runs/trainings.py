"""Which run has trained what: runs that train alike share one training, and others start from its weights.

`.trained/<training key>` beside the run directories holds the key of the run that has trained it. A training by other
code than today's is nobody's to take over (`other_code`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from benchmark.config.run import RunConfig
from benchmark.runs.atomic import write_atomic
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError
from benchmark.runs.key import start_key, training_key
from benchmark.runs.made_by import OtherCode, by_other_code
from benchmark.runs.sharing import writing


def record_training(run: RunDir, config: RunConfig) -> None:
    """Say that the run's checkpoint is of the last epoch, for runs that train alike (`trained_by`)."""
    path = _entry(run, training_key(config))
    with writing(path.parent, run.path.parent):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, run.key)


def trained_by(run: RunDir, config: RunConfig) -> RunDir | None:
    """The run beside this one that has trained what this one's config trains, if it is still there.

    Not a run under other defaults than today's, whatever its key, nor one by other code, nor one that is being trained
    anew.
    """
    try:
        other = RunDir(run.path.parent / _entry(run, training_key(config)).read_text())
        same_views = config.model_copy(update={"eval": other.config.eval, "seed": other.config.seed})
        other.check(same_views)
        epochs = len((other.path / "metrics.jsonl").read_text().splitlines())
    except (OSError, ValueError, RunDirError):
        return None
    whole = epochs == config.train.epochs and (other.path / "checkpoint.pt").is_file()
    return other if whole and other_code(other) is None else None


def find_training(run: RunDir, key: str, by_any_code: bool = False) -> RunDir | None:
    """The run beside this one that has the weights of a training, by its key (`training_key`).

    One that was copied here is found by its config. Not one by other code, unless `by_any_code`; one by code that was
    not recorded is known by its weights.
    """
    for found in _with_training(run, key):
        if by_any_code or (other := other_code(found)) is None or not other.recorded:
            return found
    return None


def other_code(run: RunDir) -> OtherCode | None:
    """Why a run that is done, or has begun, is not current; None if it is.

    A run that started from another one's weights is as current as that one.
    """
    own = by_other_code(run)
    try:
        key = None if own and own.recorded else start_key(run.config)
    except RunDirError:
        return own
    first = find_training(run, key, by_any_code=True) if key else None
    if first is None:
        return own
    started_from = run.env.get("fingerprints", {}).get("start")
    if started_from is not None and first.env.get("weights", started_from) != started_from:
        return OtherCode(weights=str(first.path))
    other = other_code(first)
    return own or (other if other and other.recorded else None)


def _with_training(run: RunDir, key: str) -> Iterator[RunDir]:
    root, entry = run.path.parent, _entry(run, key)
    named = []
    with contextlib.suppress(OSError):  # there is none, or one may not look
        named = [root / entry.read_text()]
    for folder in [*named, *(sorted(root.iterdir()) if root.is_dir() else [])]:
        with contextlib.suppress(OSError, ValueError, RunDirError):
            if (folder / "checkpoint.pt").is_file() and training_key(RunDir(folder).config) == key:
                yield RunDir(folder)


def _entry(run: RunDir, key: str) -> Path:
    return run.path.parent / ".trained" / key
