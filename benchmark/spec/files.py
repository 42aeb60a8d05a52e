"""The files of `tables/`: where they are, how messages name them, and their content as a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic

from benchmark.config.fields import Strict
from benchmark.config.folders import tables_root
from benchmark.config.overrides import keys_below, problem_text
from benchmark.config.source import Located, Problem

Model = TypeVar("Model", bound=Strict)

ARCHITECTURE = re.compile(rb"^kind: *architecture\s*$", re.MULTILINE)


def spec_paths() -> dict[str, Path]:
    """Every table's id and file, in the order of papers and of numbers."""
    return {
        f"{path.parent.name}-{path.stem}": path
        for path in sorted(tables_root().glob("*/*.yaml"), key=_natural)
        if path.parent.name not in ("bases", "protocols")
    }


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
    return sorted(path.stem for path in (tables_root() / "protocols").glob("*.yaml"))


def _natural(path: Path) -> tuple[str, list[tuple[int, str]]]:
    """3.9 before 3.10."""
    parts = re.split(r"(\d+)", path.stem)
    return path.parent.name, [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def parse_as(
    cls: type[Model], source: Located, extra: dict[str, Any] | None = None
) -> tuple[Model | None, list[Problem]]:
    """A file's content as `cls`, and its problems. Where only keys are unknown, the rest is used and so checked too."""
    data = {**source.data, **(extra or {})}
    try:
        return cls.model_validate(data, strict=True), []
    except pydantic.ValidationError as error:
        details = error.errors()
    problems = []
    for detail in details:
        *parents, leaf = [*detail["loc"]] or [""]
        group = cls if not parents else _model_at(cls, parents)
        valid = [key for key in keys_below(group) if "." not in key] if group else []
        text = problem_text(detail, "" if isinstance(leaf, int) else leaf, valid)
        problems.append(Problem(source.file, source.line(*detail["loc"]), text))
    unknown = {detail["loc"] for detail in details if detail["type"] == "extra_forbidden"}
    if len(unknown) < len(details):
        return None, problems
    try:
        return cls.model_validate(_without(data, unknown), strict=True), problems
    except pydantic.ValidationError:
        return None, problems


def _without(value: Any, paths: set[tuple[str | int, ...]], at: tuple[str | int, ...] = ()) -> Any:
    """A copy of nested data that lacks the values at `paths`."""
    if isinstance(value, dict):
        return {k: _without(v, paths, (*at, k)) for k, v in value.items() if (*at, k) not in paths}
    if isinstance(value, tuple):
        return tuple(_without(v, paths, (*at, i)) for i, v in enumerate(value))
    return value


def _model_at(cls: type[Strict], path: list[str | int]) -> type[Strict] | None:
    """The config class of an item such as ('rows', 3) or ('claims', 0); None for plain data such as a `set`."""
    annotation: Any = cls
    for part in path:
        model = _model_in(annotation)
        # An index, or a key of a mapping, is of the kind that the container holds.
        if model is not None and part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
    return _model_in(annotation)


def _model_in(annotation: Any) -> type[Strict] | None:
    """The config class that an annotation such as `tuple[RowSpec, ...]` or `CostReading | None` names."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
