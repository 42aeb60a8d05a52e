"""`decode`: reading clips against other decoders on the same files, in one run."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `decode`."""
    parser.add_argument("--clips", type=int, default=12, help="clips of each kind (default 12)")
    parser.add_argument("--frames", type=int, default=100, help="frames of a clip (default 100, 4 seconds)")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes over the clips (default 5)")
    parser.add_argument("--videos", type=Path, metavar="FOLDER", help="time these files or folders of frames instead")
    parser.add_argument("--leak", action="store_true", help="instead of timing, read many files and look at memory")
    parser.add_argument("--reads", type=int, default=10_000, help="how many with --leak (default 10,000)")


def main(arguments: argparse.Namespace) -> int:
    """`decode`."""
    from benchmark.data.decode_benchmark import run

    return run(arguments)
