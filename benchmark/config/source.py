"""YAML in which every value knows its file and line, and the error that lists all of a file's problems at once."""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

Path_ = tuple[str | int, ...]
DEEPEST = 500
"""Levels of nested values."""
TOO_DEEP = "is nested too deeply, or refers to itself"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a spec, at a line of a file (line 0: the file as a whole)."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}"


class SpecError(Exception):
    """A spec that cannot be used; `problems` holds every error found, in file order."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Located:
    """The content of a YAML file, with the line and the source text of every value by its path."""

    file: str
    data: Any
    lines: dict[Path_, int] = field(repr=False)
    texts: dict[Path_, str] = field(repr=False)

    def line(self, *path: str | int) -> int:
        """Line of the value at `path`, or of the nearest enclosing value that has one."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0


class _Resolver(yaml.SafeLoader):
    """YAML 1.2's scalars: `yes`, `10:30` and `1e-4` mean what they look like."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute


_Resolver.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Resolver.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Resolver.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Resolver.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)


def _libyaml() -> Any:
    """A loader of the same scalars that parses with libyaml, ten times as fast; None where PyYAML was built without."""
    if not yaml.__with_libyaml__:
        return None
    return type("_Libyaml", (yaml.CSafeLoader,), {"yaml_implicit_resolvers": _Resolver.yaml_implicit_resolvers})


_FASTER = _libyaml()


def _compose(text: str) -> yaml.Node | None:
    """The nodes of a document. What libyaml refuses is parsed again by PyYAML, whose messages are the clearer ones."""
    if _FASTER is not None:
        with contextlib.suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=_FASTER)
    return yaml.compose(text, Loader=_Resolver)


def read_yaml(path: Path, shown_as: str | None = None) -> Located:
    """Parse one YAML file whose top level is a mapping.

    Raises:
        SpecError: the file is missing, is not valid YAML, repeats a key or is not a mapping.
    """
    try:
        found = path.stat()
    except OSError:
        return _read_yaml(path, shown_as or str(path))
    return _unchanged(path, shown_as or str(path), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=512)
def _unchanged(path: Path, name: str, changed: int, size: int) -> Located:
    """Every table reads the protocol and its bases: a file that has not changed is parsed once."""
    return _read_yaml(path, name)


def _read_yaml(path: Path, name: str) -> Located:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError([Problem(name, 0, "no such file")]) from None
    except OSError as error:
        raise SpecError([Problem(name, 0, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise SpecError([Problem(name, 0, f"is not UTF-8 text: {error.reason} at byte {error.start}")]) from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> Located:
    """Parse YAML whose top level is a mapping; `name` is what errors call it.

    Raises:
        SpecError: it is not valid YAML, repeats a key or is not a mapping.
    """
    try:
        if _too_deep(text):
            raise SpecError([Problem(name, 0, TOO_DEEP)])
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise SpecError([Problem(name, line, f"is not valid YAML: {_in_words(error)}")]) from None
    except yaml.YAMLError as error:
        raise SpecError([Problem(name, 0, f"is not valid YAML: {error}")]) from None
    except RecursionError:
        raise SpecError([Problem(name, 0, TOO_DEEP)]) from None
    if not isinstance(root, yaml.MappingNode):
        raise SpecError([Problem(name, 1, "must hold a mapping of keys to values")])
    lines: dict[Path_, int] = {(): 1}
    texts: dict[Path_, str] = {}
    problems: list[Problem] = []
    scalars = _Resolver("")

    def build(node: yaml.Node, at: Path_) -> Any:
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)
                line = key_node.start_mark.line + 1
                if key in result:
                    problems.append(Problem(name, line, f"key '{key}' is given twice"))
                if key == "<<":
                    problems.append(Problem(name, line, "'<<' (YAML's merge) is not read: write the settings out"))
                lines[(*at, key)] = line
                result[key] = build(value_node, (*at, key))
            problems.extend(Problem(name, lines[(*at, key)], text) for key, text in _spelt_twice(result))
            return result
        if isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                lines[(*at, i)] = item.start_mark.line + 1
            return tuple(build(item, (*at, i)) for i, item in enumerate(node.value))
        texts[at] = str(node.value)
        line = node.start_mark.line + 1
        try:
            value = scalars.construct_object(node)
        except (yaml.MarkedYAMLError, ValueError) as error:  # ValueError: a whole number of thousands of digits
            what = error.problem if isinstance(error, yaml.MarkedYAMLError) else "the number is too long"
            problems.append(Problem(name, line, f"cannot be used: {what}"))
            return None
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(Problem(name, line, f"cannot be used: {node.value} is beyond the largest number there is"))
        return value

    try:
        data = build(root, ())
    except RecursionError:
        raise SpecError([Problem(name, 0, TOO_DEEP)]) from None
    if problems:
        raise SpecError(problems)
    return Located(name, data, lines, texts)


def _too_deep(text: str) -> bool:
    """Whether libyaml, which descends into nested values on the stack, could exhaust it."""
    depth = deepest = 0
    for bracket in re.findall(r"[][{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return max(deepest, *(line.count("- ") for line in text.split("\n"))) > DEEPEST


def _in_words(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, whole where it is half a sentence, and with what to do about a tab."""
    text = str(error.problem)
    if text.startswith("but "):
        text = f"{error.context}, {text}"
    return f"{text} (indent by blanks, not by tabs)" if r"'\t'" in text else text


def _spelt_twice(mapping: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys of a mapping that set what another of them sets, as `train.lr: 1` and `train: {lr: 1}` do."""
    first: dict[str, str] = {}
    for key, value in mapping.items():
        for leaf in _leaves(key, value):
            if (other := first.setdefault(leaf, key)) != key:
                yield key, f"'{leaf}' is given twice, below '{other}' and below '{key}'"


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for below, inner in value.items():
            yield from _leaves(f"{key}.{below}", inner)
    else:
        yield key


def did_you_mean(word: str, valid: Sequence[str]) -> str:
    """` Did you mean 'x'?` for the nearest valid word, or a list of what is valid when none is near."""
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" Valid: {', '.join(valid)}." if valid else ""
