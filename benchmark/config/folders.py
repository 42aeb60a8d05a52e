"""Where the specs lie, and how messages name files."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def tables_root() -> Path:
    """Folder of the specs: BENCHMARK_TABLES, or `tables/` of the repository."""
    return Path(os.environ.get("BENCHMARK_TABLES") or REPOSITORY / "tables")


def shown(path: Path) -> str:
    """A path as messages name it: relative to the repository or the working folder where it lies inside one."""
    for root in (REPOSITORY, Path.cwd()):
        if path.resolve().is_relative_to(root):
            return str(path.resolve().relative_to(root))
    return str(path)
