"""Where the specs lie, what is made of data sets and what the user says of them, and how messages name files."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def tables_root() -> Path:
    """Folder of the specs: BENCHMARK_TABLES, or `tables/` of the repository."""
    return Path(os.environ.get("BENCHMARK_TABLES") or REPOSITORY / "tables")


def data_root() -> Path:
    """The folder of all that is made of data sets: the environment variable BENCHMARK_DATA, or `data`."""
    return Path(os.environ.get("BENCHMARK_DATA") or "data")


def config_path() -> Path:
    """The user's file of roots: the variable BENCHMARK_DATASETS, or `~/.config/benchmark/datasets.yaml`."""
    if path := os.environ.get("BENCHMARK_DATASETS"):
        return Path(path).expanduser()
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "benchmark" / "datasets.yaml"


def shown(path: Path) -> str:
    """A path as messages name it: relative to the repository or the working folder where it lies inside one."""
    for root in (REPOSITORY, Path.cwd()):
        if path.resolve().is_relative_to(root):
            return str(path.resolve().relative_to(root))
    return str(path)
