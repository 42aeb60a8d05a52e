"""Whether two states of the code say the same: configs, run keys and rendered files of all tables on all protocols.

    python tools/compare_outputs.py write OUT       what this checkout makes of every table, into the folder OUT
    python tools/compare_outputs.py compare A B     1, and the first differences, where two such folders differ

`write` puts into OUT/configs/ what every row resolves to, with its keys, and into OUT/results/ every rendered file.
The runs are stand-ins, drawn from their keys and written as run directories: what is compared has passed the same
doors as real runs. One in eight is left out, so that cells without a value are compared, too. Costs are counted by the
code under test.
"""

from __future__ import annotations

import argparse
import difflib
import filecmp
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.config.run import RunConfig
from benchmark.plan import make_plan, row_runs
from benchmark.runs.atomic import write_atomic, write_json
from benchmark.runs.directory import RESIDUAL, RunDir
from benchmark.runs.key import run_key, training_key
from benchmark.runs.metrics import all_metrics
from benchmark.spec.files import protocol_names, table_paths
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

CLIPS = 240
LEFT_OUT = 8
"""One run in so many is not there."""
SHOWN = 40
"""Lines of a difference that are printed."""
ENV = {
    "starts": [{"at": "2026-01-01T00:00:00+00:00", "commit": "0" * 40, "changes": None, "cpu": "stand-in"}],
    "versions": {"torch": "0"},
    "device": "stand-in",
    "seconds": 60.0,
    "resumes": 0,
}


def write(out: Path) -> None:
    """Everything to compare, into a new folder."""
    if (out / "configs").exists():
        raise SystemExit(f"{out} is there: give a new folder, or remove it")
    os.environ["BENCHMARK_RUNS"] = str(out / "runs")
    for protocol in protocol_names():
        tables = [load_table(path, protocol) for path in table_paths()]
        for table in tables:
            write_text(out / "configs" / protocol / f"{table.id}.json", resolved(table))
        for key, planned in make_plan(tables).runs.items():
            if int(key, 16) % LEFT_OUT:
                stand_in(RunDir.of(key), planned.config)
    asked(out, "cost", "embedded")
    for protocol in protocol_names():
        write_text(out / "printed" / f"{protocol}.txt", asked(out, "render", protocol))


def asked(out: Path, command: str, protocol: str) -> str:
    """What a command prints of all tables."""
    environment = {**os.environ, "BENCHMARK_RESULTS": str(out / "results" / protocol)}
    line = [sys.executable, "-m", "benchmark", command, "--all", "--protocol", protocol]
    done = subprocess.run(line, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.replace(str(out), "OUT")


def write_text(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def resolved(table: Table) -> str:
    """A table as it was understood: all of its spec, and the keys of every row's runs."""
    keys = {
        row.label: [[seed, run_key(config), training_key(config)] for seed, config in row_runs(row, table.seeds)]
        for row in table.every_row
        if row.config is not None
    }
    return json.dumps({"table": table.model_dump(mode="json"), "keys": keys}, indent=1, sort_keys=True)


def stand_in(run: RunDir, config: RunConfig) -> None:
    """A run directory with predictions drawn from its key."""
    rng, classes = np.random.default_rng(int(run.key, 16)), config.data.num_classes
    labels = np.arange(CLIPS) % classes
    logits = np.zeros((CLIPS, classes), np.float32)
    guessed = np.where(rng.random(CLIPS) < rng.uniform(0.3, 0.9), labels, rng.integers(0, classes, CLIPS))
    logits[np.arange(CLIPS), guessed] = rng.uniform(1, 4, CLIPS).round(2)
    arrays: dict[str, Any] = {"ids": np.array([f"clip{i:04d}" for i in range(CLIPS)]), "labels": labels}
    metrics = all_metrics(logits, labels)
    if config.has_residual:
        arrays[RESIDUAL] = metrics[RESIDUAL] = round(rng.uniform(0.05, 0.6), 4)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, logits=logits, **arrays)
    run.prepare(config)
    write_atomic(run.path / "predictions.npz", buffer.getvalue())
    write_json(run.path / "env.json", ENV)
    result = {"key": run.key, "seed": config.seed, "metrics": metrics, "num_clips": CLIPS, "train_loss": 1.0}
    write_json(run.path / "result.json", result)


def compare(before: Path, after: Path) -> int:
    """Print what differs between two folders; 0 if nothing does."""
    found = [sorted(path.relative_to(top) for path in files(top)) for top in (before, after)]
    one_side = sorted(set(found[0]) ^ set(found[1]))
    both = sorted(set(found[0]) & set(found[1]))
    differing = [path for path in both if not filecmp.cmp(before / path, after / path, shallow=False)]
    for path in one_side:
        print(f"only in {before if path in found[0] else after}: {path}")
    for path in differing:
        print(f"differs: {path}")
    if shown := next((path for path in differing if path.suffix != ".png"), None):
        old, new = ((top / shown).read_text().splitlines() for top in (before, after))
        print("\n".join(list(difflib.unified_diff(old, new, str(before), str(after), lineterm=""))[:SHOWN]))
    print(f"{len(both)} files in both, {len(differing)} of them differ, {len(one_side)} in one alone")
    return 1 if one_side or differing or not both else 0


def files(top: Path) -> list[Path]:
    """The files of a folder that are compared: not the stand-in runs, whose keys are in configs/."""
    return [path for part in ("configs", "printed", "results") for path in (top / part).rglob("*") if path.is_file()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("write").add_argument("out", type=Path)
    for name in ("before", "after"):
        (commands.choices.get("compare") or commands.add_parser("compare")).add_argument(name, type=Path)
    given = parser.parse_args(arguments)
    if given.command == "compare":
        return compare(given.before, given.after)
    write(given.out.resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
