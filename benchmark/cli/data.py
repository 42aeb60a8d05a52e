"""`data list | prepare | check | flow`."""

from __future__ import annotations

import argparse
import json

from benchmark.cli.progress import several_steps
from benchmark.cli.text import grid
from benchmark.data.errors import DataError
from benchmark.spec.datasets import DATASETS
from benchmark.spec.source import did_you_mean


def main(arguments: argparse.Namespace) -> int:
    """List data sets, prepare generated ones, check the files of prepared ones, or extract their optical flow."""
    for name in arguments.names:
        if name not in DATASETS:
            raise DataError(f"no data set '{name}'.{did_you_mean(name, list(DATASETS))}")
    if arguments.action == "list":
        return _list(arguments)
    if not arguments.names:
        raise DataError(f"name a data set to {arguments.action}: {', '.join(DATASETS)}")
    return {"prepare": _prepare, "check": _check, "flow": _flow}[arguments.action](arguments)


def prepare_with_progress(name: str) -> None:
    """Prepare a data set behind a progress bar for each piece of the work; at once when there is nothing to do."""
    from benchmark.data.datasets import prepare

    with several_steps() as report:
        prepare(name, progress=report)


def extract_flow_with_progress(name: str) -> dict[str, str]:
    """Extract what is missing of a data set's optical flow, behind a progress bar. Returns what could not be read.

    A generated data set is prepared first.
    """
    from benchmark.data.datasets import open_split
    from benchmark.data.flow import extract_flow

    if DATASETS[name].generated:
        prepare_with_progress(name)
    unreadable: dict[str, str] = {}
    with several_steps() as report:
        for split in ("train", "val"):
            unreadable |= extract_flow(open_split(name, split), progress=report).unreadable
    return unreadable


def _flow(arguments: argparse.Namespace) -> int:
    status = 0
    for name in arguments.names:
        unreadable = extract_flow_with_progress(name)
        print(f"{name}: flow extracted{f', but for {len(unreadable)} unreadable clips:' if unreadable else ''}")
        for clip, reason in unreadable.items():
            print(f"  {clip}: {reason}")
        status = 1 if unreadable else status
    return status


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
