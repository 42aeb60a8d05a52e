"""Which run a user means: by its key, by the beginning of it, or by the path of its directory or of its record."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from benchmark.runs.directory import RunDir, runs_root
from benchmark.runs.errors import RunDirError
from benchmark.runs.records.files import records_root
from benchmark.runs.records.run import run_record_path


def find_run(name: str) -> RunDir:
    """The run directory of a run key, of the beginning of one, or at a path.

    Raises:
        RunDirError: there is no such run, or there are several.
    """
    if (Path(name) / "config.json").is_file():
        return RunDir(Path(name).resolve())
    root = runs_root()
    return RunDir(root / _meant(name, _keys_of_directories(), f"{root}/ (set BENCHMARK_RUNS to look elsewhere)"))


def find_run_or_record(name: str) -> RunDir | Path:
    """A run directory, as `find_run`, or the file of a record.

    A record is meant by the path of its file, by `LAB:KEY` if it is another lab's, and by a key that has no finished
    run directory. For KEY its beginning is enough.

    Raises:
        RunDirError: there is neither, or there are several.
    """
    if (Path(name) / "config.json").is_file():
        return find_run(name)
    if name.endswith(".json") and Path(name).is_file():
        return Path(name)
    root = records_root()
    lab, _, key = name.rpartition(":")
    if lab:
        home = root / "theirs" / lab
        return run_record_path(home, _meant(key, _keys_of_records(home), f"{home}/"))
    recorded = _keys_of_records(root)
    run = RunDir.of(_meant(name, _keys_of_directories() | recorded, f"{runs_root()}/ and {root}/"))
    is_here = run.unreadable is not None or run.state == "done"
    return run_record_path(root, run.key) if run.key in recorded and not is_here else run


def _keys_of_directories() -> set[str]:
    return {path.parent.name for path in runs_root().glob("*/config.json")}


def _keys_of_records(root: Path) -> set[str]:
    return {path.stem for path in (root / "runs").glob("*.json")}


def _meant(name: str, keys: Iterable[str], places: str) -> str:
    """The only one of the keys that is `name` or begins with it."""
    keys = sorted(keys)
    found = [name] if name in keys else [key for key in keys if name and key.startswith(name)]
    if len(found) > 1:
        raise RunDirError(f"{len(found)} runs of {places} begin with '{name}': give more of the key")
    if not found:
        beginnings = {key[: len(name)]: key for key in keys}
        near = difflib.get_close_matches(name, beginnings, n=1)
        meant = f" Did you mean '{beginnings[near[0]]}'?" if near else ""
        raise RunDirError(f"no run '{name}' in {places}; `status TABLE` lists keys.{meant}")
    return found[0]
