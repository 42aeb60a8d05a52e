"""Where the specs lie, what is made of data sets and what the user says of them, and how messages name files."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def tables_roots() -> list[Path]:
    """Folders of tables: those that BENCHMARK_TABLES names, separated as in PATH, or `tables/` of the repository."""
    named = [Path(part).expanduser() for part in os.environ.get("BENCHMARK_TABLES", "").split(os.pathsep) if part]
    return named or [REPOSITORY / "tables"]


def spec_roots() -> list[Path]:
    """Where bases and protocols are looked for: in the folders of tables, and then in the repository's own."""
    return list(dict.fromkeys([*tables_roots(), REPOSITORY / "tables"]))


def spec_file(name: str) -> Path:
    """A file of `spec_roots`, by its path below one: the first there is, or where it would be first."""
    places = [root / name for root in spec_roots()]
    return next((path for path in places if path.is_file()), places[0])


def spec_stems(folder: str) -> list[str]:
    """Names of the YAML files of a folder of `spec_roots`, without the ending."""
    return sorted({path.stem for root in spec_roots() for path in (root / folder).glob("*.yaml")})


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
