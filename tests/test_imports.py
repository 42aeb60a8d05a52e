"""The order of the packages: imports point down, in no circle, and what only reads tables and runs needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = (
    *(
        ("config",),
        ("runs", "spec"),
        ("plan",),
        ("data",),
        ("models",),
        ("train", "evaluate"),
        ("launch",),
        ("released",),
    ),
    *(("cost",), ("report",), ("use", "visualize"), ("cli",), ("benchmark", "__main__"), ("tools",)),
)
"""Packages and single files of benchmark/, lowest first; "benchmark" is its own __init__.py.

A file imports from lower ranks and from its own package, not from another package of its rank.
"""
RANK = {package: rank for rank, packages in enumerate(ORDER) for package in packages}

READING = ("config", "spec", "plan", "runs", "report", "cli")
READING_FILES = (
    *(
        f"benchmark.cost.{name}"
        for name in ("audit", "cache", "conventions", "latency", "layer_check", "record", "recorded")
    ),
    *(f"benchmark.launch.{name}" for name in ("cluster", "local", "pending", "queue", "slurm", "states")),
)
SLOW_TO_IMPORT = ("torch", "matplotlib", "scipy", "pandas")


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(file): file for folder in ("benchmark", "tools") for file in (ROOT / folder).rglob("*.py")}


def package_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "benchmark" and len(parts) > 1 else parts[0]


def imports(file: Path) -> list[tuple[int, str]]:
    """Line and module of every import of ours, those within functions and for type checkers included."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: write the whole name of the module"
            names = [f"{node.module}.{name.name}" for name in node.names]
            found += [(node.lineno, name if name in FILES else str(node.module)) for name in names]
    return [(line, module) for line, module in found if module in FILES]


IMPORTS = {module: imports(file) for module, file in FILES.items()}


def test_all_kinds_of_imports_are_seen() -> None:
    seen = {module: {imported for _, imported in found} for module, found in IMPORTS.items()}
    assert "benchmark.runs.key" in seen["benchmark.plan"]  # at the top
    assert "benchmark.launch.job" in seen["benchmark.launch.slurm"]  # within a function
    assert "benchmark.data.indexing.check" in seen["benchmark.cli.data"]  # for type checkers
    assert {package_of(module) for module in FILES} == set(RANK)


@pytest.mark.parametrize("package", RANK)
def test_imports_point_down(package: str) -> None:
    wrong = [
        f"{FILES[module].relative_to(ROOT)}:{line} imports {imported}"
        for module in FILES
        if package_of(module) == package
        for line, imported in IMPORTS[module]
        if package_of(imported) != package and RANK[package_of(imported)] >= RANK[package]
    ]
    assert not wrong


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {module: {imported for _, imported in found} - {module} for module, found in IMPORTS.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the files of the circle


def test_what_only_reads_imports_nothing_slow() -> None:
    modules = sorted({module for module in FILES if package_of(module) in READING} | set(READING_FILES))
    code = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    importlib.import_module(module)\n"
        f"    if slow := set({SLOW_TO_IMPORT}) & set(sys.modules):\n"
        "        sys.exit(f'{module} imports {slow}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
