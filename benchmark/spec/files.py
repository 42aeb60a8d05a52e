"""The files of `tables/`: where they are, and what each of them is."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.config.folders import spec_stems, tables_roots

ARCHITECTURE = re.compile(rb"^kind: *architecture\s*$", re.MULTILINE)


def spec_paths() -> dict[str, Path]:
    """Every table's id and file, in the order of folders, papers and numbers; of two of one id the first."""
    found: dict[str, Path] = {}
    for root in tables_roots():
        for path in sorted(root.glob("*/*.yaml"), key=_natural):
            if path.parent.name not in ("bases", "protocols"):
                found.setdefault(f"{path.parent.name}-{path.stem}", path)
    return found


def table_paths() -> dict[str, Path]:
    """Those of `spec_paths` that hold results."""
    return {name: path for name, path in spec_paths().items() if not is_architecture(path)}


def architecture_paths() -> dict[str, Path]:
    """Those of `spec_paths` that print an architecture."""
    return {name: path for name, path in spec_paths().items() if is_architecture(path)}


def is_architecture(path: Path) -> bool:
    """Whether a file says `kind: architecture`. False for one that cannot be read, which its loader will say."""
    try:
        return ARCHITECTURE.search(path.read_bytes()) is not None
    except OSError:
        return False


def protocol_names() -> list[str]:
    """Names of the protocols that have a file."""
    return spec_stems("protocols")


def _natural(path: Path) -> tuple[str, list[tuple[int, str]]]:
    """3.9 before 3.10."""
    parts = re.split(r"(\d+)", path.stem)
    return path.parent.name, [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
