"""A network, a module, a gate or a representation of the user's own: one Python file named by a table.

Nothing of this package is edited for it, and torch is not imported: the constructor's arguments are read from the
source, so a misspelt option is an error before anything runs. The file's digest is part of the run config, so an edited
file is a new run and an old result is never taken for the edited code's.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from benchmark.config.fields import Strict
from benchmark.config.source import did_you_mean

GIVEN = ("segments", "size", "num_classes", "width", "dropout")
"""Arguments that the harness passes to every custom network that names them; the rest are `options`."""
GIVEN_TO_MODULES = ("channels", "place", "width")
"""The same of modules behind blocks, and of gates."""
GIVEN_TO_REPRESENTATIONS = ("width", "data")
"""The same of representations; `data` has segments, size and num_classes."""

Fault = tuple[tuple[str, ...], str]
"""A key below the config that is validated, and what is wrong there."""


class Own(Strict):
    """Settings of what a class of the user's own makes.

    Attributes:
        entry: path/to/file.py:Class, from the working folder.
        options: The class's own arguments.
        source: Digest of the file.
    """

    entry: str
    options: dict[str, Any]
    source: str


def is_entry(name: object) -> TypeGuard[str]:
    """Whether a name is meant for a file of the user's own, and not for something of this package."""
    return isinstance(name, str) and (":" in name or name.endswith(".py"))


def class_of(name: str) -> str:
    """The class of an entry, by which its options are given; any other name as it is."""
    return name.rpartition(":")[2]


def entries_of(model: object) -> tuple[str, ...]:
    """The classes of the user's own that a network is made of: itself, its modules, its gate, its representation."""
    named = [*(getattr(model, key, "") for key in ("entry", "gate", "representation")), *getattr(model, "insert", ())]
    return tuple(dict.fromkeys(name for name in named if is_entry(name)))


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


def sources_of(names: object) -> dict[str, str]:
    """The digest of the file of every entry among some names; of one that cannot be found, none."""
    found: dict[str, str] = {}
    for name in names if isinstance(names, list | tuple) else ():
        if is_entry(name):
            try:
                found[name] = digest(name)
            except (ValueError, OSError):
                continue  # `faults` says what is wrong
    return found


def faults(
    entry: str,
    options: Mapping[str, Any],
    source: str,
    *,
    key: str = "entry",
    options_at: tuple[str, ...] = ("options",),
    given: Sequence[str] = GIVEN,
    forward: Sequence[str] = ("x",),
) -> Iterator[Fault]:
    """What is wrong with a class of the user's own and with its options.

    A stored config may be of a file that has changed since, or is gone: nothing is said of it, and to build it is
    refused.

    Args:
        entry: path/to/file.py:Class.
        options: by argument.
        source: digest of the file as it is in the config; "" where there was none to be found.
        key: of the config, that holds the entry.
        options_at: keys of the config, one below the other, that hold the options.
        given: arguments that the harness passes.
        forward: what the class's `forward` is called with.
    """
    try:
        if source and sources_of([entry]).get(entry) != source:
            return
        known = _read(entry)
        known.check_module(forward)
        arguments = known.arguments()
    except (ValueError, OSError) as error:
        yield (key,), str(error)
        return
    own = [name for name in arguments.accepted if name not in given]
    for name in options:
        if name in given:
            yield (*options_at, name), f"{known.name} is given '{name}' by the network: leave it out"
        elif name not in own and not arguments.any_other:
            yield (*options_at, name), f"unknown option '{name}' of {known.name}.{did_you_mean(name, own)}"
    missing = [name for name in arguments.required if name not in given and name not in options]
    if missing:
        plural = "s"[: len(missing) > 1]
        setting = ".".join((*options_at, missing[0]))
        yield (
            (key,),
            f"{known.name} needs the option{plural} {', '.join(missing)}: set model.{setting}, or give the argument a"
            f" default; without an option it may ask for {', '.join(given)}",
        )


def faults_of_chain(names: Sequence[str], options: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong with those of a chain of modules that are the user's own.

    Args:
        names: of all modules of the chain, `insert`.
        options: by class, then by argument, `insert_options`.
        sources: digests of files by entry, `insert_sources`.
    """
    if len({class_of(name) for name in names}) != len(set(names)):
        yield ("insert",), f"two modules of {list(names)} have one name: rename a class"
    own = {class_of(name): name for name in names if is_entry(name)}
    for cls, of_class in options.items():
        at = first_of("insert_options", cls, of_class)
        if cls not in own:
            hint = did_you_mean(cls, list(own))
            yield at, f"insert names no class '{cls}' of your own; an option is insert_options.CLASS.OPTION.{hint}"
        elif not isinstance(of_class, dict):
            yield at, f"options have names: write insert_options.{cls}.OPTION"
    for cls, entry in own.items():
        given = options.get(cls, {})
        yield from faults(
            *(entry, given if isinstance(given, dict) else {}, sources.get(entry, "")),
            key="insert",
            options_at=("insert_options", cls),
            given=GIVEN_TO_MODULES,
            forward=("x", "frames"),
        )


def first_of(*keys: Any) -> tuple[str, ...]:
    """Where the first of some options stands: their keys one below the other, and last the options themselves."""
    *above, options = keys
    return (*above, *list(options)[:1]) if isinstance(options, dict) else tuple(above)


def refuse(found: Iterable[Fault]) -> None:
    """Raise faults as one error of a config, each at its key.

    Raises:
        ValidationError: there are any.
    """
    details = [
        InitErrorDetails(type="value_error", loc=at, input=None, ctx={"error": ValueError(text)}) for at, text in found
    ]
    if details:
        raise ValidationError.from_exception_data("a class of your own", details)


def literal_defaults(entry: str, names: Iterable[str]) -> dict[str, Any]:
    """Of some arguments of the constructor the defaults that are written as values.

    Raises:
        ValueError: the file cannot be read.
    """
    found = _read(entry).arguments().defaults
    return {name: found[name] for name in names if name in found}


def accepted(entry: str) -> list[str]:
    """Names of all arguments of the constructor but self. Raises ValueError: the file cannot be read."""
    return _read(entry).arguments().accepted


@dataclass(frozen=True)
class _Arguments:
    """Names of all arguments but self, those without a default, defaults that are values, and `**` or none."""

    accepted: list[str] = field(default_factory=list)
    required: list[str] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    any_other: bool = False


@dataclass(frozen=True)
class _Class:
    """A class as its file says it."""

    path: Path
    name: str
    classes: Mapping[str, ast.ClassDef]

    def check_module(self, forward: Sequence[str]) -> None:
        """Refuse what cannot be a module that is called so. Raises ValueError."""
        node = self.classes[self.name]
        if not node.bases:
            raise ValueError(f"{self.path}:{node.lineno}: write `class {self.name}(nn.Module)`: it is no module yet")
        method = self._method("forward")
        if method is not None and not _takes(method.args, len(forward)):
            called = ", ".join(forward)
            raise ValueError(f"{self.path}:{method.lineno}: write `def forward(self, {called})`: it is called so")

    def arguments(self) -> _Arguments:
        """Of the constructor. Raises ValueError: it cannot be read."""
        init = self._method("__init__")
        if init is not None:
            return _arguments(init.args)
        if all(ast.unparse(base).rpartition(".")[2] == "Module" for base in self.classes[self.name].bases):
            return _Arguments()
        raise ValueError(
            f"{self.path}: class '{self.name}' has no __init__ of its own, which its options are read from"
        )

    def _method(self, name: str) -> ast.FunctionDef | None:
        """The class's own method, or that of a base in the same file."""
        waiting, seen = [self.name], set[str]()
        while waiting:
            cls = waiting.pop(0)
            if cls in self.classes and cls not in seen:
                seen.add(cls)
                for item in self.classes[cls].body:
                    if isinstance(item, ast.FunctionDef) and item.name == name:
                        return item
                waiting += [base.id for base in self.classes[cls].bases if isinstance(base, ast.Name)]
        return None


def _read(entry: str) -> _Class:
    path, cls = locate(entry)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}:{error.lineno}: {error.msg}") from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if cls not in classes:
        raise ValueError(f"{path} has no class '{cls}'.{did_you_mean(cls, list(classes))}")
    return _Class(path, cls, classes)


def _takes(spec: ast.arguments, count: int) -> bool:
    """Whether a method takes so many arguments after self."""
    positional = len(spec.posonlyargs) + len(spec.args) - 1
    enough = count <= positional or spec.vararg is not None
    return enough and positional - len(spec.defaults) <= count and all(spec.kw_defaults)


def _arguments(spec: ast.arguments) -> _Arguments:
    positional = [argument.arg for argument in [*spec.posonlyargs, *spec.args]][1:]
    keyword = [argument.arg for argument in spec.kwonlyargs]
    with_default = dict(zip(reversed(positional), reversed(spec.defaults), strict=False))
    with_default |= {name: node for name, node in zip(keyword, spec.kw_defaults, strict=True) if node is not None}
    names = positional + keyword
    required = [name for name in names if name not in with_default]
    return _Arguments(names, required, dict(_values(with_default)), spec.kwarg is not None)


def _values(nodes: Mapping[str, ast.expr]) -> Iterator[tuple[str, Any]]:
    for name, node in nodes.items():
        try:
            yield name, ast.literal_eval(node)
        except ValueError:
            continue
