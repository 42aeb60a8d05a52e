"""Layers of dotted overrides, and the run config that they resolve to, with errors that name the line at fault."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pydantic

from benchmark.config.fields import Strict
from benchmark.config.models import ModelConfig
from benchmark.config.parse import keys_below, problem_text
from benchmark.config.run import RunConfig
from benchmark.config.source import Problem, SpecError, parse_yaml

MODELS: dict[str, type[Strict]] = {
    cls.model_fields["name"].default: cls for cls in typing.get_args(typing.get_args(ModelConfig)[0])
}


@dataclass(frozen=True)
class Setting:
    """A value and where it was written.

    Attributes:
        over: The weaker setting that it overrides, which may override another one.
        factor: Of a setting that a protocol scales: `over` times this; the place is the factor's.
    """

    value: Any
    file: str
    line: int
    over: Setting | None = None
    factor: float | None = None

    @property
    def written(self) -> Setting | None:
        """The setting itself, or the one that was scaled; None where that is a default."""
        return self if self.factor is None else self.over


Layer = dict[str, Setting]
"""Dotted key -> setting, leaves only."""


def stacked(*layers: Layer) -> Layer:
    """The settings of several layers, the weakest first; each knows the one that it overrides."""
    result: Layer = {}
    for layer in layers:
        for key, setting in layer.items():
            result[key] = _upon(setting, result[key]) if key in result else setting
    return result


def _upon(setting: Setting, below: Setting) -> Setting:
    return replace(setting, over=_upon(setting.over, below) if setting.over else below)


def flatten(values: Mapping[str, Any], file: str, line_of: typing.Callable[[str], int], prefix: str = "") -> Layer:
    """A nested mapping, or one with dotted keys, as a layer."""
    layer: Layer = {}
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            layer |= flatten(value, file, line_of, f"{dotted}.")
        else:
            layer[dotted] = Setting(value, file, line_of(dotted))
    return layer


def layer_of_texts(texts: Sequence[str]) -> Layer:
    """Settings that are given as `key=value`, the value as YAML has it, each with its text in the place of a file.

    Raises:
        SpecError: one is no such text, is no value, or is given twice.
    """
    layer: Layer = {}
    problems: list[Problem] = []
    for text in texts:
        name = f"--set {text}"
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key):
            problems.append(Problem(name, 0, "must be KEY=VALUE, such as train.lr=0.1"))
        elif key in layer:
            problems.append(Problem(name, 0, f"'{key}' is given twice"))
        elif key == "seed":
            problems.append(Problem(name, 0, "seeds are chosen by --seeds"))
        elif not value:
            problems.append(Problem(name, 0, f"'{key}' has no value; nothing is written null"))
        else:
            try:
                # Nothing but one value can follow: a line break would begin a second key.
                found = parse_yaml(f"value: {' '.join(value.split())}", name).data["value"]
            except SpecError as error:
                problems += [replace(problem, line=0) for problem in error.problems]
                continue
            layer |= (
                flatten(found, name, lambda _: 0, f"{key}.")
                if isinstance(found, dict) and found
                else {key: Setting(found, name, 0)}
            )
    if problems:
        raise SpecError(problems)
    return layer


def resolve(layer: Layer, where: tuple[str, int]) -> tuple[RunConfig | None, list[Problem]]:
    """Validate a merged layer into a run config.

    Args:
        layer: every setting that differs from the defaults.
        where: file and line to blame for an error of a combination of settings.

    Returns:
        The config, or None and every problem found.
    """
    nested: dict[str, Any] = {}
    problems: list[Problem] = []
    for dotted, setting in layer.items():
        node = nested
        *parents, leaf = dotted.split(".")
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                problems.append(Problem(setting.file, setting.line, f"'{parent}' is a value; '{dotted}' cannot be set"))
                break
            node = child
        else:
            if isinstance(node.get(leaf), dict):
                problems.append(Problem(setting.file, setting.line, f"'{dotted}' is a group of keys, not a value"))
                continue
            node[leaf] = setting.value
    if problems:
        return None, problems
    try:
        return RunConfig.model_validate(nested, strict=True), []
    except pydantic.ValidationError as error:
        return None, [_problem(detail, layer, where) for detail in error.errors()]


def config_keys(model_name: str) -> list[str]:
    """Every dotted key of a run config whose network is `model_name`."""
    own = keys_below(MODELS[model_name], "model.") if model_name in MODELS else []
    return keys_below(RunConfig) + own


def _problem(detail: Any, layer: Layer, where: tuple[str, int]) -> Problem:
    path = [str(part) for part in detail["loc"]]
    if len(path) > 1 and path[0] == "model" and path[1] in MODELS:
        del path[1]  # pydantic names the member of the union here
    if detail["type"] == "union_tag_invalid":
        detail = {**detail, "input": layer["model.name"].value}
        path.append("name")
    dotted = ".".join(path)
    enclosing = [".".join(path[:end]) for end in range(len(path), 1, -1)]
    setting = next((layer[key] for key in enclosing if key in layer), None)
    leaf_error = setting is not None or detail["type"] == "extra_forbidden"
    setting = setting or next((s for key, s in layer.items() if key.startswith(f"{dotted}.")), None)
    setting = setting and setting.written
    file, line = (setting.file, setting.line) if setting and leaf_error else where
    name = layer["model.name"].value if "model.name" in layer else "bqn"
    valid = config_keys(name)
    if detail["type"] == "extra_forbidden":
        group = dotted.rpartition(".")[0]
        valid = [key for key in valid if key.rpartition(".")[0] == group] or valid
    return Problem(file, line, problem_text(detail, dotted, valid))
