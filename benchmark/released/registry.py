"""Published checkpoints: a file that says of each what it is, where its publisher names it, and how it is read.

`tables/released.yaml` is a mapping from names to `Released`. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from benchmark.config.bases import composed, layer_at, names_at, read_bases
from benchmark.config.fields import Strict
from benchmark.config.folders import shown, spec_file
from benchmark.config.overrides import resolve, stacked
from benchmark.config.parse import parse_as
from benchmark.config.run import RunConfig
from benchmark.config.scaling import canonical
from benchmark.config.source import Located, Problem, SpecError, did_you_mean, read_yaml

FILE = "released.yaml"
Value = TypeVar("Value")
ClassOrder = Literal["alphabetical", "dataset"]
"""Of a classifier's outputs: class names sorted by their characters, or as the data set's label files number them."""
Format = Literal["tsm", "rnl", "msnet", "pytorchvideo", "bqn", "benchmark"]
"""Whose names and wrappings a file has; see `benchmark.released.formats`."""


class Released(Strict):
    """One published checkpoint."""

    title: str = Field(min_length=1)
    file: str = Field(min_length=1, description="as its publisher calls it; looked for in BENCHMARK_WEIGHTS")
    origin: str = Field(min_length=1, description="where its publisher names it, in words")
    licence: str = Field(min_length=1, description="of the code that it was published with")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="of the file; empty where it was not published")
    format: Format
    classes: ClassOrder = Field("alphabetical", description="order of the classifier's outputs")
    base: str | tuple[str, ...] = Field(description="network and data, as a row of a table names them")
    set: dict[str, Any] = Field(default_factory=dict, description="settings that differ from the bases")
    published: dict[str, float] = Field(default_factory=dict, description="accuracies in percent, with these views")
    note: str = ""


@cache
def released() -> dict[str, Released]:
    """Every entry by name. Raises SpecError: the file has errors."""
    source = _source()
    found, problems = {}, []
    for name, entry in source.data.items():
        single = Located(source.file, dict(entry), _below(source.lines, name), _below(source.texts, name))
        one, of_entry = parse_as(Released, single)
        problems += of_entry
        if one is not None:
            found[name] = one
    if problems:
        raise SpecError(problems)
    return found


def find_released(name: str) -> Released:
    """The entry of a name. Raises SpecError: there is none."""
    known = released()
    if name not in known:
        hint = did_you_mean(name, list(known)) or " `evaluate --all-released` lists them; a file is named by its path."
        raise SpecError([Problem(shown(spec_file(FILE)), 0, f"no released weights '{name}'.{hint}")])
    return known[name]


def config_of(name: str) -> RunConfig:
    """The network and the data of an entry, with the views that its accuracies were published for.

    Raises:
        SpecError: its bases or settings have errors.
    """
    source, entry, problems = _source(), find_released(name), list[Problem]()
    bases = read_bases(names_at(source, entry.base, (name, "base")), problems)
    layer = stacked(composed(bases or {}), layer_at(source, entry.set, (name, "set")))
    config, found = resolve(layer, (source.file, source.line(name)))
    problems += found
    if config is None or problems:
        raise SpecError(problems)
    return canonical(config)


def _source() -> Located:
    path = spec_file(FILE)
    return read_yaml(path, shown(path))


def _below(of_places: Mapping[tuple[str | int, ...], Value], name: str) -> dict[tuple[str | int, ...], Value]:
    return {place[1:]: value for place, value in of_places.items() if place[:1] == (name,)}


def sha256_of(path: Path) -> str:
    """Of a file, read in parts: checkpoints have hundreds of megabytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
