"""Where every setting of a row's run comes from, and what it overrode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic
from pydantic_core import PydanticUndefined

from benchmark.config.overrides import Layer, Setting, flatten
from benchmark.config.run import RunConfig
from benchmark.config.source import Problem, SpecError, did_you_mean
from benchmark.spec.include import Entry
from benchmark.spec.load import open_table


@dataclass(frozen=True)
class Origin:
    """A value that a setting has, or had before it was overridden.

    Attributes:
        file, line: Where it is written; "" and 0 where nowhere.
        how: What is not written there: that it is a default, or how it comes about.
    """

    value: Any
    file: str = ""
    line: int = 0
    how: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return " ".join(part for part in (where, self.how) if part)


Explained = dict[str, tuple[Origin, ...]]
"""Dotted key -> its value, and then what that overrode, the strongest first."""


def explain(
    target: str,
    labels: Sequence[str],
    protocol_name: str = "embedded",
    dataset: str | None = None,
    asked: Sequence[str] = (),
) -> dict[str, Explained]:
    """The settings of some rows of a table by id or path, by label; of all measured rows where none is named.

    Raises:
        SpecError: there is no such row, or it has no settings, because it averages others or is quoted.
    """
    gathered, resolver = open_table(target, protocol_name, dataset, asked)
    entries = {entry.row.label: entry for entry in gathered.entries}
    wrong = [text for label in labels if (text := _without_settings(label, entries))]
    if wrong or resolver.problems:
        raise SpecError([*resolver.problems, *(Problem(gathered.source.file, 0, text) for text in wrong)])
    wanted = labels or [label for label in entries if not _without_settings(label, entries)]
    found = {label: resolver.settings(entries[label]) for label in wanted}
    if resolver.problems:
        raise SpecError(resolver.problems)
    return {label: explained(*settings) for label, settings in found.items() if settings is not None}


def _without_settings(label: str, entries: dict[str, Entry]) -> str:
    """Why a row cannot be explained; "" where it can."""
    if label not in entries:
        return f"no row '{label}'.{did_you_mean(label, list(entries))}"
    row = entries[label].row
    if row.average:
        return f"row '{label}' averages others and has no settings of its own: {', '.join(row.average)}"
    return f"row '{label}' is quoted: it has no settings" if row.quoted else ""


def explained(config: RunConfig, layer: Layer) -> Explained:
    """Every setting of a config, by the layer that it was resolved from."""
    found: Explained = {}
    for key, value, default in _leaves(config, None):
        origins = list(_history(layer.get(key), default))
        if default is not PydanticUndefined and (not origins or _plain(origins[-1].value) != _plain(default)):
            origins.append(Origin(_plain(default), how="default"))
        if not origins or not _same(origins[0].value, _plain(value)):
            how = "default, the same here" if _plain(value) == _plain(default) else "computed"
            origins.insert(0, Origin(_plain(value), how=how))
        found[key] = tuple(origins)
    return found


def _leaves(
    part: pydantic.BaseModel, usual: pydantic.BaseModel | None, prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, value and default of every field, the fields of nested configs in their place."""
    for name, info in type(part).model_fields.items():
        value = getattr(part, name)
        default = getattr(usual, name) if usual else info.get_default(call_default_factory=True)
        if isinstance(value, pydantic.BaseModel):
            yield from _leaves(value, default if type(default) is type(value) else None, f"{prefix}{name}.")
        elif isinstance(value, dict):  # options of a network of the user's own
            options = flatten(value, "", lambda _: 0, f"{prefix}{name}.")
            yield from ((key, option.value, PydanticUndefined) for key, option in options.items())
        else:
            yield f"{prefix}{name}", value, default


def _history(setting: Setting | None, default: Any) -> Iterator[Origin]:
    while setting is not None:
        before = setting.over.value if setting.over else default
        how = "" if setting.factor is None else f"{setting.factor:g} x {before}"
        yield Origin(_plain(setting.value), setting.file, setting.line, how)
        setting = setting.over


def _same(written: Any, value: Any) -> bool:
    """Whether a value is the one that was written; a list of names is one name in a config."""
    return bool(written == value or (isinstance(written, list) and " + ".join(map(str, written)) == value))


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
