"""A network of the user's own: one Python file named by a table, without any edit of this package and without torch.

The constructor's arguments are read from the source, so a misspelt option is an error before anything runs; the
file's digest is part of the run config, so an edited file is a new run and an old result is never taken for the
edited network's.
"""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

from benchmark.config.source import did_you_mean

GIVEN = ("segments", "size", "num_classes", "width", "dropout")
"""Arguments that the harness passes to every custom network that names them; the rest are `options`."""


def locate(entry: str) -> tuple[Path, str]:
    """Split `path/to/file.py:Class` and find the file from the working folder.

    Raises:
        ValueError: the entry has another form, or there is no such file.
    """
    name, separator, cls = entry.rpartition(":")
    if not separator or not name.endswith(".py") or not cls.isidentifier():
        raise ValueError(f"entry must be 'path/to/file.py:Class', got '{entry}'")
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"no file '{name}' (paths are taken from the working folder)")
    return path, cls


def digest(entry: str) -> str:
    """12 hex digits of the file's content."""
    path, _ = locate(entry)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def check_options(entry: str, options: dict[str, Any]) -> None:
    """Hold `options` against the constructor's arguments, read from the source.

    Raises:
        ValueError: the file does not parse or lacks the class, an option is unknown, or a required one is missing.
    """
    path, cls = locate(entry)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}:{error.lineno}: {error.msg}") from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if cls not in classes:
        raise ValueError(f"{path} has no class '{cls}'.{did_you_mean(cls, list(classes))}")
    inits = [n for n in classes[cls].body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if not inits:
        raise ValueError(f"{path}: class '{cls}' has no __init__ of its own")
    accepted, required = _arguments(inits[0].args)
    own = [name for name in accepted if name not in GIVEN]
    for name in options:
        if name not in own and inits[0].args.kwarg is None:
            raise ValueError(f"unknown option '{name}' of {cls}.{did_you_mean(name, own)}")
    missing = [name for name in required if name not in GIVEN and name not in options]
    if missing:
        raise ValueError(f"{cls} needs the option{'s'[: len(missing) > 1]} {', '.join(missing)}")


def _arguments(spec: ast.arguments) -> tuple[list[str], list[str]]:
    """Names of all arguments but self, and of those without a default."""
    positional = [argument.arg for argument in [*spec.posonlyargs, *spec.args]][1:]
    without_default = positional[: len(positional) - len(spec.defaults)]
    keyword = [argument.arg for argument in spec.kwonlyargs]
    required = [a.arg for a, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if default is None]
    return positional + keyword, without_default + required
