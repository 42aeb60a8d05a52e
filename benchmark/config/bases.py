"""The files of tables/bases/, and settings as layers that know their lines."""

from __future__ import annotations

from typing import Any

from benchmark.config.folders import shown, tables_root
from benchmark.config.overrides import Layer, flatten
from benchmark.config.source import Located, Problem, did_you_mean, read_yaml


def base_layer(
    name: str, source: Located, at: tuple[str | int, ...], problems: list[Problem], depth: int = 0
) -> Layer | None:
    """The settings of a base and of those that it builds on; None, and a problem, where one is missing."""
    folder = tables_root() / "bases"
    path = folder / f"{name}.yaml"
    if not path.exists() or depth > 8:
        names = sorted(p.stem for p in folder.glob("*.yaml"))
        reason = f"no base '{name}' in {shown(folder)}." if depth <= 8 else f"base '{name}' builds on itself."
        problems.append(Problem(source.file, source.line(*at), f"{reason}{did_you_mean(name, names)}"))
        return None
    found = read_yaml(path, shown(path))
    values = dict(found.data)
    parent = values.pop("base", None)
    below = base_layer(str(parent), found, ("base",), problems, depth + 1) if parent else {}
    own = layer_at(found, values, ())
    if below is not None and "model.name" in own and network_of(own) != network_of(below):
        below = {key: value for key, value in below.items() if not key.startswith("model.")}
    return None if below is None else below | own


def network_of(layer: Layer) -> str:
    """Name of the network that a layer of settings is for."""
    return str(layer["model.name"].value) if "model.name" in layer else "bqn"


def layer_at(source: Located, values: dict[str, Any], at: tuple[str | int, ...]) -> Layer:
    """The settings `values`, which a file has at the place `at`, each with its line."""

    def line_of(dotted: str) -> int:
        """`a.b.c` may be written as one key, as nested keys, or as a mix."""
        if (*at, dotted) in source.lines:
            return source.lines[(*at, dotted)]
        return source.line(*at, *dotted.split("."))

    return flatten(values, source.file, line_of)
