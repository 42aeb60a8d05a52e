"""The code that made a run: which parts of the sources, and whether they still say the same.

`code.json` of a run directory holds a digest of every symbol (`runs.syntax`) that its network, training, sampling and
evaluation use, by file:

* functions and methods that were executed in a miniature of the run (`launch.executed` traces them). A function that is
  only named, as one of several in a dict, does not count until it is executed; one that keeps its results does, since
  it may have been executed before;
* what these load by name, of this package or of the files beside the user's own: values such as constants and dicts,
  what values are made from, and what a class says beside its methods: its bases, decorators, attributes;
* what runs when a file is imported: decorators, default arguments, functions called for a value, loose statements;
* the classes of the run's settings, without their fields, whose values are in config.json;
* what the miniature goes without (`UNSEEN`).

Imports without torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import REPOSITORY
from benchmark.config.run import RunConfig
from benchmark.runs.syntax import MODULE, NO_SYMBOL, Chain, Symbol, symbols_of

PACKAGE = "benchmark/"
EDITED = "edited while the run was loaded"
"""In place of the digests of a file that may not be what was executed."""
Symbols = dict[str, dict[str, str]]
"""Digests by file and symbol; a file of this package from the repository's root, another as the config names it."""

LEFT_OUT = {
    "benchmark/config/datasets.py": "what data there are; the run's are known by version and fingerprint",
    "benchmark/config/folders.py": "where specs lie",
    "benchmark/config/source.py": "error messages of specs",
    "benchmark/data/embedded/": "makes clips, which are known by version and fingerprint",
    "benchmark/data/errors.py": "names of errors",
    "benchmark/data/flow/tvl1.py": "makes flow, which is known by fingerprint",
    "benchmark/data/indexing/": "finds clips, which are known by fingerprint",
    "benchmark/data/layouts/": "finds clips, which are known by fingerprint",
    "benchmark/data/limits.py": "how long a read may take",
    "benchmark/data/manifest.py": "where data lie, and their fingerprints",
    "benchmark/data/now_reading.py": "which clip is being read, for messages",
    "benchmark/data/parallel.py": "how many processes prepare data",
    "benchmark/data/roots.py": "where data lie",
    "benchmark/data/watchdog.py": "whether batches come in time, not what is in them",
    "benchmark/launch/behaviour.py": "the miniature itself: what it measures is what it calls",
    "benchmark/launch/few_clips.py": "the clips of the miniature",
    "benchmark/launch/env_file.py": "what env.json says",
    "benchmark/launch/executed.py": "the tracing itself",
    "benchmark/launch/heartbeat.py": "progress",
    "benchmark/launch/log.py": "messages",
    "benchmark/launch/queue.py": "asks SLURM",
    "benchmark/launch/recording.py": "what is recorded of the code",
    "benchmark/launch/unreadable.py": "names clips in messages, or ends the run",
    "benchmark/models/check.py": "tries a network before its run, which ends there or is as without",
    "benchmark/runs/": "keys, files and states of run directories; but `metrics.py` counts",
    "benchmark/train/checkpoint.py": "resumed runs are compared bit for bit with others",
    "benchmark/train/resumable.py": "whether a network can be resumed",
}
"""What runs beside a training and changes none of its numbers: files and folders, each with the reason."""
COUNTS_ALL_THE_SAME = ("benchmark/runs/metrics.py",)

UNSEEN = (("benchmark/launch/result.py", "write_predictions"), ("benchmark/runs/metrics.py", "all_metrics"))
"""Functions of a run that its miniature does not call; all that they name counts as executed."""
UNSEEN_OF_HELD_DATA = (
    ("benchmark/data/decode/video.py", "read_frames"),
    ("benchmark/data/frame_store.py", "FrameStore.read"),
)
"""Further ones, of data that a user holds: the miniature draws clips in their place."""
UNSEEN_OF_START = (("benchmark/models/weights.py", "take_over"),)
"""Further ones, of a run that starts from another one's weights."""


@dataclass(frozen=True)
class Executed:
    """A code object that was executed: its file, as in `Symbols`, its qualified name and its first line.

    `with_all_it_names`: what it calls is not among what was executed, and counts all the same.
    """

    file: str
    name: str
    line: int
    with_all_it_names: bool = False


def of_settings(config: RunConfig) -> list[Executed]:
    """What counts as executed by a run's settings: their classes, those of its network's parts, what is unseen."""
    model = config.model
    parts = [config, model, config.data, config.train, config.train.joint, config.eval]
    parts += [*getattr(model, "insert_configs", {}).values()]
    parts += [part for name in ("gate_config", "representation_config") if (part := getattr(model, name, None))]
    classes = [Executed(_file_of_module(type(part).__module__), type(part).__name__, 0) for part in parts]
    unseen = [*UNSEEN]
    unseen += [] if DATASETS[config.data.dataset].generated else UNSEEN_OF_HELD_DATA
    unseen += UNSEEN_OF_START if config.train.start_from else []
    return classes + [Executed(file, name, 0, with_all_it_names=True) for file, name in unseen]


def digests(used: Iterable[Executed], root: Path = REPOSITORY, since: float = math.inf) -> Symbols:
    """Digests, by the sources as they are now, of what was executed and of all that it rests on.

    Args:
        used: what was executed.
        root: the folder that holds `benchmark/`.
        since: when the code was loaded, in seconds since 1970; files that were edited later get no digests.
    """
    closure = _Closure(root)
    for entry in used:
        closure.executed(entry)
    closure.finish()
    later = {file for file in closure.found if _path(file, root).stat().st_mtime > since}
    return {
        file: dict.fromkeys(sorted(found), EDITED) if file in later else dict(sorted(found.items()))
        for file, found in sorted(closure.found.items())
    }


def changes(symbols: Mapping[str, Mapping[str, str]], root: Path = REPOSITORY) -> Symbols:
    """Those of some symbols that the sources no longer have as they were, by file, with their digests of then."""
    differing: Symbols = {}
    for file, then in symbols.items():
        now = symbols_of(_path(file, root))
        other = {
            name: digest for name, digest in then.items() if digest != (now[name].digest if name in now else NO_SYMBOL)
        }
        if other:
            differing[file] = other
    return differing


def left_out(file: str) -> bool:
    """Whether a file is one of `LEFT_OUT`."""
    return file not in COUNTS_ALL_THE_SAME and any(
        file == entry or (entry.endswith("/") and file.startswith(entry)) for entry in LEFT_OUT
    )


def _path(file: str, root: Path) -> Path:
    return root / file if file.startswith(PACKAGE) else Path(file)


def _file_of_module(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


Place = tuple[str, str]
"""A file and a symbol of it."""


@dataclass
class _Closure:
    """Symbols that count, and those of them that are still to be looked at, with whether they run unseen."""

    root: Path
    found: Symbols = field(default_factory=dict)
    waiting: list[tuple[Place, bool]] = field(default_factory=list)
    methods: dict[Place, list[str]] = field(default_factory=dict)
    bases: dict[Place, list[Place]] = field(default_factory=dict)
    seen: set[tuple[Place, bool]] = field(default_factory=set)

    def symbols(self, file: str) -> dict[str, Symbol]:
        return symbols_of(_path(file, self.root))

    def executed(self, entry: Executed) -> None:
        """Add what was executed; a lambda or a comprehension outside of functions is found by its line."""
        known = self.symbols(entry.file)
        parts = entry.name.split(".<locals>")[0].split(".")
        named = (name for name in (".".join(parts[:2]), parts[0]) if name in known)
        within = (name for name, s in known.items() if any(first <= entry.line <= last for first, last in s.lines))
        self.add(entry.file, next(named, None) or next(within, MODULE), entry.with_all_it_names)

    def add(self, file: str, name: str, unseen: bool = False) -> None:
        """Add a symbol, and later all that it rests on; what a function calls that runs unseen counts as executed."""
        step = ((file, name), unseen)
        if step not in self.seen and not left_out(file):
            self.seen.add(step)
            self.waiting.append(step)

    def finish(self) -> None:
        """Add all that the symbols rest on.

        A class has what it inherits, too, as not there, so that it is noticed when it gets its own.
        """
        while self.waiting:
            (file, name), unseen = self.waiting.pop()
            self._look_at(file, name, unseen)
        for file, name in self.bases:
            for place in self._ancestors(file, name):
                inherited = {f"{name}.{method}" for method in self.methods.get(place, ())}
                self.found[file] |= dict.fromkeys(inherited - self.symbols(file).keys(), NO_SYMBOL)

    def _look_at(self, file: str, name: str, unseen: bool) -> None:
        symbol = self.symbols(file).get(name)
        self.found.setdefault(file, {})[name] = NO_SYMBOL if symbol is None else symbol.digest
        self.add(file, MODULE)
        if symbol is None:
            return
        owner, _, method = name.rpartition(".")
        if owner:
            self.add(file, owner)
            self.methods.setdefault((file, owner), []).append(method)
        if symbol.kind == "class":
            self._add_class(file, name, symbol, unseen)
        for chain in symbol.loads | symbol.asks:
            runs = unseen or chain in symbol.runs
            for where, loaded in self.resolve(file, symbol, chain):
                target = self.symbols(where)[loaded]
                counts = target.kind in ("value", "import") or (target.kind == "class" and chain in symbol.loads)
                if counts or runs or target.cached:
                    self.add(where, loaded, target.cached or (runs and target.kind in ("function", "class")))

    def _add_class(self, file: str, name: str, symbol: Symbol, made_unseen: bool) -> None:
        """Of a class what it says of others, and of its methods those that run unseen."""
        run = dict.fromkeys(("__init__", "__new__", "__post_init__", "__call__"), True) if made_unseen else {}
        run["__init_subclass__"] = True
        # The backward pass of a function of one's own runs in a thread that not every version of Python can trace.
        if any(base[-1] == "Function" for base in symbol.bases):
            run |= dict.fromkeys(("forward", "backward", "setup_context"), made_unseen)
        for own, member in self.symbols(file).items():
            of, _, method = own.rpartition(".")
            if of == name and (member.cached or method in run):
                self.add(file, own, member.cached or run[method])
        self.bases[file, name] = [found for base in symbol.bases for found in self.resolve(file, symbol, base)]
        for module, named in symbol.texts:
            where = self.locate(file, module)
            target = self.symbols(where).get(named) if where else None
            if where and target and target.kind != "function":
                self.add(where, named)

    def _ancestors(self, file: str, name: str) -> Iterator[Place]:
        for base in self.bases.get((file, name), ()):
            yield base
            yield from self._ancestors(*base)

    def resolve(self, file: str, symbol: Symbol, chain: Chain) -> Iterator[Place]:
        """The symbol that a name stands for in a file, after the imports on the way to it; nothing outside of reach."""
        name, *attributes = chain
        if name not in symbol.imports:
            if name in self.symbols(file):
                yield file, name
            return
        module, imported = symbol.imports[name]
        path = [*([imported] if imported else []), *attributes]
        while path and self.locate(file, inner := module + "." * (module[-1:] != ".") + path[0]):
            module, path = inner, path[1:]
        here = self.locate(file, module)
        if path and here and path[0] in self.symbols(here):
            yield here, path[0]
            if (passed_on := self.symbols(here)[path[0]]).kind == "import":
                yield from self.resolve(here, passed_on, tuple(path))

    def locate(self, file: str, module: str) -> str | None:
        """The file of a module, seen from a file: of this package, or beside that file, or above it."""
        parts = [part for part in module.split(".") if part]
        level = len(module) - len(module.lstrip("."))
        if not level and parts[:1] == ["benchmark"]:
            folders = [Path()]
        elif file.startswith(PACKAGE):
            return None
        else:
            folders = list(Path(file).parents)
            folders = folders[level - 1 : level] if level else folders
        for folder in folders:
            for candidate in (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py")):
                if _path(str(candidate), self.root).is_file():
                    return str(candidate)
        return None
