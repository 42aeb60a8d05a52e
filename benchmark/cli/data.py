"""`data list | prepare | check`."""

from __future__ import annotations

import argparse
import json

from benchmark.cli.progress import steps
from benchmark.cli.text import grid
from benchmark.data.errors import DataError
from benchmark.spec.datasets import DATASETS
from benchmark.spec.source import did_you_mean

__all__ = ["DataError", "main"]


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
