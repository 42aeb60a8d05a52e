"""Which run has trained what: runs that train alike share one training, and others start from its weights.

`.trained/<training key>` beside the run directories holds the key of the run that has trained it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from benchmark.config.run import RunConfig
from benchmark.runs.atomic import write_atomic
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError
from benchmark.runs.key import training_key
from benchmark.runs.sharing import writing


def record_training(run: RunDir, config: RunConfig) -> None:
    """Say that the run's checkpoint is of the last epoch, for runs that train alike (`trained_by`)."""
    path = _entry(run, training_key(config))
    with writing(path.parent, run.path.parent):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, run.key)


def trained_by(run: RunDir, config: RunConfig) -> RunDir | None:
    """The run beside this one that has trained what this one's config trains, if it is still there.

    Not a run under other defaults than today's, whatever its key, and not one that is being trained anew.
    """
    try:
        other = RunDir(run.path.parent / _entry(run, training_key(config)).read_text())
        same_views = config.model_copy(update={"eval": other.config.eval, "seed": other.config.seed})
        other.check(same_views)
        epochs = len((other.path / "metrics.jsonl").read_text().splitlines())
    except (OSError, ValueError, RunDirError):
        return None
    return other if epochs == config.train.epochs and (other.path / "checkpoint.pt").is_file() else None


def find_training(run: RunDir, key: str) -> RunDir | None:
    """The run beside this one that has the weights of a training, by its key (`training_key`).

    One that was copied here is found by its config.
    """
    root, entry = run.path.parent, _entry(run, key)
    named = []
    with contextlib.suppress(OSError):  # there is none, or one may not look
        named = [root / entry.read_text()]
    for folder in [*named, *(sorted(root.iterdir()) if root.is_dir() else [])]:
        with contextlib.suppress(OSError, ValueError, RunDirError):
            if (folder / "checkpoint.pt").is_file() and training_key(RunDir(folder).config) == key:
                return RunDir(folder)
    return None


def _entry(run: RunDir, key: str) -> Path:
    return run.path.parent / ".trained" / key
