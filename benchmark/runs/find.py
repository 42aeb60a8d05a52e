"""Which run a user means: by its key, by the beginning of it, or by the path of its directory."""

from __future__ import annotations

import difflib
from pathlib import Path

from benchmark.runs.directory import RunDir, runs_root
from benchmark.runs.errors import RunDirError


def find_run(name: str) -> RunDir:
    """The run directory of a run key, of the beginning of one, or at a path.

    Raises:
        RunDirError: there is no such run, or there are several.
    """
    if (Path(name) / "config.json").is_file():
        return RunDir(Path(name).resolve())
    root = runs_root()
    keys = sorted(path.parent.name for path in root.glob("*/config.json"))
    found = [name] if name in keys else [key for key in keys if name and key.startswith(name)]
    if len(found) > 1:
        raise RunDirError(f"{len(found)} runs of {root}/ begin with '{name}': give more of the key")
    if not found:
        beginnings = {key[: len(name)]: key for key in keys}
        near = difflib.get_close_matches(name, beginnings, n=1)
        meant = f" Did you mean '{beginnings[near[0]]}'?" if near else ""
        raise RunDirError(
            f"no run '{name}' in {root}/ (set BENCHMARK_RUNS to look elsewhere); `status TABLE` lists keys.{meant}"
        )
    return RunDir(root / found[0])
