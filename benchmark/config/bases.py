"""The files of tables/bases/: one axis of an experiment each, its network, its recipe or its data.

A table names one base of every axis, `base: [network/tsm_r50, recipe/bqn, data/something-v1]`, and a row names those in
which it differs. A base may build on another one of its axis, which builds on none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from benchmark.config.folders import shown, spec_file, spec_stems, tables_roots
from benchmark.config.overrides import Layer, Setting, flatten, stacked
from benchmark.config.source import Located, Problem, did_you_mean, read_yaml

AXES: dict[str, tuple[str, ...]] = {
    "network": (
        "model",
        "data.segments",
        "data.size",
        "data.normalisation",
        "data.train_crop",
        "eval.scale",
        "train.param_groups",
        "train.joint",
        "train.residual_weight",
    ),
    "recipe": ("train", "model.dropout", "model.pretrained", "model.classifier_init", "data.train_crop"),
    "data": ("data", "eval"),
}
"""What the bases of each axis may set, keys and whole sections, the weakest axis first.

A network is a model, the clips that it takes, and what the training of its own parts needs; what it says of crops, of
weights to start from or of groups of parameters, a recipe may replace.
"""

BaseNames = str | tuple[str, ...]
"""As a file names its bases: network/tsm_r50, or several of them."""

Bases = dict[str, Layer]
"""Axis -> the settings of its base, and of the one that this builds on."""


@cache
def axis_of(key: str) -> str | None:
    """The axis that a dotted key belongs to: the one that names it most closely, the stronger of two; None for none."""
    covering = {axis: max((len(k) for k in keys if _within(key, k)), default=0) for axis, keys in AXES.items()}
    axis = max(reversed(covering), key=lambda name: covering[name])
    return axis if covering[axis] else None


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def base_names(written: BaseNames) -> tuple[str, ...]:
    """The names that a file has, one or a list, as a list."""
    return (written,) if isinstance(written, str) else written


def names_at(source: Located, written: BaseNames, at: tuple[str | int, ...]) -> list[Setting]:
    """The names that a file has at the place `at`, one or a list, each with its line."""
    names = base_names(written)
    lines = [source.line(*at, i) for i in range(len(names))]
    return [
        Setting(today, source.file, line)
        for name, line in zip(names, lines, strict=True)
        for today in todays_names(name)
    ]


def todays_names(name: str) -> tuple[str, ...]:
    """The bases that a name stands for: itself, or what it is called now (former_names.yaml)."""
    path = spec_file("bases/former_names.yaml")
    former = read_yaml(path, shown(path)).data if "/" not in name and path.is_file() else {}
    return former.get(name, (name,))


def read_bases(names: Sequence[Setting], problems: list[Problem]) -> Bases | None:
    """The bases of these names by axis; None, and problems, where one is missing or an axis has two."""
    found: Bases = {}
    before = len(problems)
    for name in names:
        axis = str(name.value).partition("/")[0]
        if axis in found:
            problems.append(Problem(name.file, name.line, f"base '{name.value}' is the second of its axis, {axis}"))
        elif (layer := _base(name, problems)) is not None:
            found[axis] = layer
    return found if len(problems) == before else None


def composed(bases: Bases) -> Layer:
    """The settings of all bases as one layer; where two set a key, the later axis of `AXES` is the stronger."""
    return stacked(*(bases[axis] for axis in AXES if axis in bases))


def _base(name: Setting, problems: list[Problem], above: str = "") -> Layer | None:
    """The settings of a base, and of the one that it builds on. `above` is the base that builds on this one."""
    axis, path = str(name.value).partition("/")[0], spec_file(f"bases/{name.value}.yaml")
    if axis not in AXES or not path.is_file():
        problems.append(Problem(name.file, name.line, _no_base(str(name.value))))
        return None
    source = read_yaml(path, shown(path))
    values = dict(source.data)
    parent = values.pop("base", None)
    if above and (axis != above.partition("/")[0] or parent):
        reason = f"which builds on '{parent}': bases are two deep at most" if parent else "a base of another axis"
        problems.append(Problem(name.file, name.line, f"'{above}' builds on '{name.value}', {reason}"))
        return None
    below = _base(Setting(parent, source.file, source.line("base")), problems, str(name.value)) if parent else {}
    own = layer_at(source, values, ())
    problems += _not_of(axis, own)
    return None if below is None else stacked(below, own)


def _no_base(name: str) -> str:
    """That there is no such base, and the nearest one of its axis."""
    axis, slash, stem = name.partition("/")
    if not slash:
        there = [f"{axis}/{name}" for axis in AXES if spec_file(f"bases/{axis}/{name}.yaml").is_file()]
        return f"no base '{name}': its axis comes first, as in {', '.join(there or [f'{a}/NAME' for a in AXES])}"
    if axis not in AXES:
        return f"no base '{name}': there is no axis '{axis}'.{did_you_mean(axis, list(AXES))}"
    folder = shown(tables_roots()[0] / "bases" / axis)
    return f"no base '{stem}' in {folder}.{did_you_mean(stem, spec_stems(f'bases/{axis}'))}"


def _not_of(axis: str, layer: Layer) -> Iterator[Problem]:
    """The settings that are of another axis than the base which has them."""
    for key, setting in layer.items():
        owner = axis_of(key)
        if owner and not any(_within(key, section) for section in AXES[axis]):
            text = f"'{key}' is for a base of {owner}; one of {axis} sets {', '.join(AXES[axis])}"
            yield Problem(setting.file, setting.line, text)


def layer_at(source: Located, values: dict[str, Any], at: tuple[str | int, ...]) -> Layer:
    """The settings `values`, which a file has at the place `at`, each with its line."""

    def line_of(dotted: str) -> int:
        """`a.b.c` may be written as one key, as nested keys, or as a mix."""
        if (*at, dotted) in source.lines:
            return source.lines[(*at, dotted)]
        return source.line(*at, *dotted.split("."))

    return flatten(values, source.file, line_of)
