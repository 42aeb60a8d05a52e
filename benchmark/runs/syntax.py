"""What a Python source file says, symbol by symbol, whatever its comments, docstrings and annotations of functions say.

A symbol is a function at the top of the file, a class's method (`C.m`), what else stands in a class (`C`: bases,
decorators, attributes, fields with their annotations), or what gives a name its value at the top of the file: an
assignment or an import. What is nested in one of these is part of it. All other statements at the top of the file, such
as a loop or the assignment of an attribute, are one symbol (`<module>`), but for those of `if TYPE_CHECKING` and
`if __name__ == "__main__"`.

A digest is the same on every version of Python: it is of the fields of the syntax tree that say something, by name.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

MODULE = "<module>"
"""The symbol of the statements that no other symbol has."""
NO_SYMBOL = ""
"""The digest of a symbol that a file does not have."""

NAMED = re.compile(r"(\w+(?:\.\w+)+):(\w+)")

Kind = Literal["function", "class", "value", "import"]
Chain = tuple[str, ...]
"""A name and its attributes, as they are loaded: `F.conv2d` is ("F", "conv2d")."""

CACHES = ("cache", "lru_cache", "cached_property")
"""Decorators of functions that keep their results."""
SAYS_NOTHING = ("ctx", "kind", "type_comment", "returns", "simple")
"""Fields of syntax trees that change nothing, or follow from the others."""
CALLED_BY_TORCH = (
    *("forward", "backward", "setup_context", "train", "eval", "apply", "_apply", "to", "zero_grad", "requires_grad_"),
    *("state_dict", "load_state_dict", "_save_to_state_dict", "_load_from_state_dict", "parameters", "modules"),
    *("get_extra_state", "set_extra_state", "named_parameters", "buffers", "named_buffers", "named_modules", "step"),
    *("children", "named_children"),
)
"""Methods with which a class replaces those of PyTorch that it inherits; so it does with all that begin with `__`."""


@dataclass
class Symbol:
    """A part of a file.

    Attributes:
        kind: What it is.
        digest: 8 hex digits of its syntax, and of where the names come from that it loads.
        loads: What it loads by name.
        asks: What it names as the class that it asks an object for; what that class says is its objects' own matter.
        runs: What of that is called when the file is imported: decorators, default arguments, values.
        imports: Names that it imports, in a function of its own or for the file, by module and name there ("": the
            module itself).
        bases: Of a class.
        cached: Whether a function keeps its results, so that it is not executed each time that it is called.
        texts: What a class names as `module:name` in a text, as settings do of what is built from them.
        lines: First and last line of each of its statements.
    """

    kind: Kind
    digest: str = NO_SYMBOL
    loads: set[Chain] = field(default_factory=set)
    asks: set[Chain] = field(default_factory=set)
    runs: set[Chain] = field(default_factory=set)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    bases: tuple[Chain, ...] = ()
    cached: bool = False
    texts: set[tuple[str, str]] = field(default_factory=set)
    lines: list[tuple[int, int]] = field(default_factory=list)


def symbols_of(path: Path) -> dict[str, Symbol]:
    """The symbols of a file; none where there is no such file, or it does not parse. Reads it once in each state."""
    try:
        found = path.stat()
    except OSError:
        return {}
    return _read(path, (found.st_mtime_ns, found.st_size), path.parts[-3:-1] == ("benchmark", "config"))


@lru_cache(maxsize=1024)
def _read(path: Path, state: tuple[int, int], config: bool) -> dict[str, Symbol]:
    try:
        return read_symbols(path.read_text(encoding="utf-8"), config)
    except (OSError, ValueError, SyntaxError):
        return {}


def read_symbols(text: str, config: bool = False) -> dict[str, Symbol]:
    """The symbols of a source text by name.

    Args:
        text: the source.
        config: leave out the fields of config classes: a run's config holds their values.

    Raises:
        SyntaxError: it does not parse.
    """
    parts: dict[str, list[ast.stmt]] = {}
    rest: list[ast.stmt] = []
    symbols: dict[str, Symbol] = {}
    for statement in ast.parse(text).body:
        if _only_for_tools(statement):
            continue
        if isinstance(statement, ast.ClassDef):
            for item in statement.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    parts.setdefault(f"{statement.name}.{item.name}", []).append(item)
        names = list(_bound(statement))
        for name in names:
            parts.setdefault(name, []).append(statement)
        if not names:
            rest.append(statement)
    imported: dict[str, tuple[str, str]] = {}
    for name, statements in {**parts, MODULE: rest}.items():
        if statements:
            symbols[name] = _symbol(name, statements, config)
    for name, symbol in symbols.items():
        if symbol.kind == "import" or name == MODULE:
            imported |= symbol.imports
    for symbol in symbols.values():
        _finish(symbol, imported, symbols)
    return symbols


def _only_for_tools(statement: ast.stmt) -> bool:
    """Whether a statement at the top of a file, or in a body, says nothing: docstrings, `pass`, what is not run."""
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if not isinstance(statement, ast.If):
        return False
    test = statement.test
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
        return True
    return (test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")) == "TYPE_CHECKING"


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement gives a value, if that is all it does."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names if alias.name != "*")
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        nodes = [node for target in targets for node in ast.walk(target)]
        if all(isinstance(node, ast.Name | ast.Tuple | ast.List | ast.Starred | ast.expr_context) for node in nodes):
            yield from (node.id for node in nodes if isinstance(node, ast.Name))


def _symbol(name: str, statements: Sequence[ast.stmt], config: bool) -> Symbol:
    last = statements[-1]
    kinds: dict[type[ast.stmt], Kind] = {
        **{ast.FunctionDef: "function", ast.AsyncFunctionDef: "function", ast.ClassDef: "class"},
        **{ast.Import: "import", ast.ImportFrom: "import"},
    }
    symbol = Symbol(kinds.get(type(last), "value"))
    reader = _Reader(symbol, config)
    texts = [reader.statement(node, name) for node in statements]
    symbol.digest = "\n".join(texts)
    symbol.lines = [(_first_line(node), node.end_lineno or node.lineno) for node in statements]
    return symbol


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])


def _finish(symbol: Symbol, imported: dict[str, tuple[str, str]], symbols: dict[str, Symbol]) -> None:
    """From a symbol's text to its digest: the text, and where the names come from that it loads."""
    roots = {chain[0] for chain in symbol.loads | symbol.asks}
    origins = {name: "import {}:{}".format(*imported[name]) for name in roots & imported.keys()}
    # A name of Python's own that the file takes for something else.
    origins |= {name: "own" for name in roots - imported.keys() if name in symbols and hasattr(builtins, name)}
    text = symbol.digest + "".join(f"\n{name}={origin}" for name, origin in sorted(origins.items()))
    symbol.digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    symbol.imports = {**imported, **symbol.imports}


class _Reader:
    """Writes syntax trees as text, and notes in a symbol what they load, call on import, and import."""

    def __init__(self, symbol: Symbol, config: bool) -> None:
        self.symbol, self.config = symbol, config

    def statement(self, node: ast.stmt, name: str) -> str:
        """The text of one of a symbol's statements."""
        if isinstance(node, ast.ClassDef):
            return self._class(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            self._runs([*node.decorator_list, *arguments.defaults, *(d for d in arguments.kw_defaults if d)])
            self._decorated(node)
        elif isinstance(node, ast.Import | ast.ImportFrom) and name != MODULE:
            self.text(node)
            return "import {}:{}".format(*self.symbol.imports[name])  # whatever else the statement imports
        else:
            self._runs([node])
        return self.text(node)

    def _class(self, node: ast.ClassDef) -> str:
        """A class without its methods, but for the names of those that replace others."""
        functions = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
        own = [item for item in node.body if item not in functions]
        if self.config:  # a description, or a setting more, changes no run
            own = [
                item for item in own if not isinstance(item, ast.AnnAssign) or "ClassVar" in ast.dump(item.annotation)
            ]
        replaced = sorted({f.name for f in functions if f.name in CALLED_BY_TORCH or f.name[:2] == "__"})
        self._runs([*node.decorator_list, *own])
        texts = (item.value for part in own for item in ast.walk(part) if isinstance(item, ast.Constant))
        named = [match.groups() for text in texts if isinstance(text, str) and (match := NAMED.fullmatch(text))]
        self.symbol.texts |= {(module, name) for module, name in named}
        self._decorated(node)
        self.symbol.bases += tuple(chain for base in node.bases if (chain := _chain(_unsubscripted(base))))
        return self._class_text(node, own) + ",".join(replaced)

    def _class_text(self, node: ast.ClassDef, body: Iterable[ast.stmt]) -> str:
        parts = [node.name, self.list(node.bases), self.list(node.keywords), self.list(node.decorator_list)]
        return f"Class({','.join([*parts, *(self._in_class(item) for item in body if not _only_for_tools(item))])})"

    def _in_class(self, item: ast.stmt) -> str:
        """A field is what its annotation says, too; what that names is not loaded."""
        if not isinstance(item, ast.AnnAssign):
            return self.text(item)
        annotation = _Reader(Symbol("value"), config=False).text(item.annotation)
        return f"Field({self.text(item.target)},{annotation},{self.text(item.value)})"

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        decorators = {chain for decorator in node.decorator_list if (chain := _chain(decorator))}
        self.symbol.runs |= decorators
        self.symbol.cached = self.symbol.cached or any(chain[-1] in CACHES for chain in decorators)

    def _runs(self, nodes: Iterable[ast.AST]) -> None:
        calls = (inner for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Call))
        self.symbol.runs |= {chain for call in calls if (chain := _chain(call.func))}

    def list(self, items: Iterable[object]) -> str:
        """The text of a field that holds several."""
        kept = [item for item in items if not (isinstance(item, ast.stmt) and _only_for_tools(item))]
        kept = [item for item in kept if not (isinstance(item, ast.AnnAssign) and item.value is None)]
        return "[" + ",".join(self.text(item) for item in kept) + "]"

    def text(self, node: object) -> str:
        """The text of a tree, a list of trees, or a value."""
        if isinstance(node, list):
            return self.list(node)
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Constant):
            return f"{type(node.value).__name__}:{node.value!r}"
        if isinstance(node, ast.AnnAssign):
            return f"Assign(targets=[{self.text(node.target)}],value={self.text(node.value)})"
        if isinstance(node, ast.ClassDef):
            return self._class_text(node, node.body)
        if isinstance(node, ast.JoinedStr):
            return self._formatted(node)
        if isinstance(node, ast.Call) and _chain(node.func) in (("isinstance",), ("issubclass",)):
            return self._question(node)
        self._note(node)
        skipped = (*SAYS_NOTHING, "annotation") if isinstance(node, ast.arg) else SAYS_NOTHING
        fields = [
            f"{name}={self.text(value)}"
            for name in sorted(node._fields)
            if name not in skipped and (value := getattr(node, name, None)) not in (None, [])
        ]
        return f"{type(node).__name__}({','.join(fields)})"

    def _question(self, node: ast.Call) -> str:
        within = _Reader(Symbol("value"), self.config)
        classes = within.list(node.args[1:])
        self.symbol.asks |= within.symbol.loads
        return f"Call({self.text(node.func)},{self.list(node.args[:1])},{classes})"

    def _formatted(self, node: ast.JoinedStr) -> str:
        """An f-string, with texts that stand side by side as one, which not all versions of Python do."""
        parts = [""]
        for value in node.values:
            if isinstance(value, ast.Constant):
                parts[-1] += str(value.value)
            else:
                parts += [self.text(value), ""]
        return f"JoinedStr({parts})"

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            if chain := _chain(node):
                self.symbol.loads.add(chain)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                bound, module = alias.asname or alias.name.partition(".")[0], alias.name
                self.symbol.imports[bound] = (module if alias.asname else bound, "")
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            self.symbol.imports |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _chain(node: ast.AST) -> Chain:
    """A name with its attributes; nothing for the attribute of anything else, or of what is called."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and not isinstance(node.value, ast.Call) and (chain := _chain(node.value)):
        return (*chain, node.attr)
    return ()
