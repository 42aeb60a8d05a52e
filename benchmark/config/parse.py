"""A file's content as a model, and what is wrong with it as sentences at its lines."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import pydantic

from benchmark.config.fields import Strict
from benchmark.config.source import Located, Problem, did_you_mean

Model = TypeVar("Model", bound=Strict)


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


def problem_text(detail: Any, dotted: str, valid: list[str]) -> str:
    """One pydantic error as a sentence about the key `dotted`."""
    kind, value = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return f"unknown key '{dotted}'.{did_you_mean(dotted, valid)}"
    if kind == "union_tag_not_found":
        return f"'{dotted}' has no name: a base of a network gives it one, network/NAME"
    if kind == "missing":
        return f"'{dotted}' is required"
    if kind == "value_error":
        return f"{dotted}: {detail['ctx']['error']}" if dotted else str(detail["ctx"]["error"])
    if kind in ("literal_error", "union_tag_invalid"):
        expected = detail["ctx"].get("expected") or detail["ctx"]["expected_tags"]
        options = [word.strip("' ") for word in expected.replace(" or ", ", ").split(",")]
        return f"'{dotted}' cannot be {value!r}.{did_you_mean(str(value), options)}"
    if kind == "string_type" and isinstance(value, bool | int | float):
        what = "no text" if isinstance(value, bool) else "a number"
        return f"'{dotted}': {value} is {what}: put it in quotes"
    if kind == "tuple_type":
        return f"'{dotted}' must be a list, such as [{value}]"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return f"'{dotted}': {message.replace('input', f'the value {value!r}')}"


def keys_below(model: type[pydantic.BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key that `model` accepts."""
    keys = []
    for name, info in model.model_fields.items():
        keys.append(f"{prefix}{name}")
        if isinstance(info.annotation, type) and issubclass(info.annotation, pydantic.BaseModel):
            keys += keys_below(info.annotation, f"{prefix}{name}.")
    return keys
