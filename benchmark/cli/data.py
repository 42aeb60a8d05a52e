"""`data list | prepare | check`."""

from __future__ import annotations

import argparse
import json

from benchmark.cli.progress import several_steps
from benchmark.cli.text import grid
from benchmark.data.errors import DataError
from benchmark.spec.datasets import DATASETS
from benchmark.spec.source import did_you_mean


def main(arguments: argparse.Namespace) -> int:
    """List data sets, prepare generated ones, or check the files of prepared ones."""
    for name in arguments.names:
        if name not in DATASETS:
            raise DataError(f"no data set '{name}'.{did_you_mean(name, list(DATASETS))}")
    if arguments.action == "list":
        return _list(arguments)
    if not arguments.names:
        raise DataError(f"name a data set to {arguments.action}: {', '.join(DATASETS)}")
    return _prepare(arguments) if arguments.action == "prepare" else _check(arguments)


def prepare_with_progress(name: str) -> None:
    """Prepare a data set behind a progress bar for each piece of the work; at once when there is nothing to do."""
    from benchmark.data.datasets import prepare

    with several_steps() as report:
        prepare(name, progress=report)


def _list(arguments: argparse.Namespace) -> int:
    from benchmark.data.datasets import data_root, describe

    records = describe()
    if arguments.json:
        print(json.dumps(records, indent=1))
        return 0
    rows = [
        [
            str(r["name"]),
            str(r["num_classes"]),
            str(r["train_clips"]),
            str(r["val_clips"]),
            str(r["state"]),
            f"{int(str(r['bytes'])) / 2**20:.0f} MB" if "bytes" in r else "",
        ]
        for r in records
    ]
    print(grid(["data set", "classes", "train", "val", "state", "size"], rows, right=(1, 2, 3, 5)))
    print(f"\nData sets are in {data_root()}/ (set BENCHMARK_DATA to move them).")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    for name in arguments.names:
        prepare_with_progress(name)
        print(f"{name}: prepared")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from benchmark.data.datasets import check

    found = {name: check(name) for name in arguments.names}
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for name, problems in found.items():
            print("\n".join(problems) if problems else f"{name}: every clip is there and readable")
    return 1 if any(found.values()) else 0
