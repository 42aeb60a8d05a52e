"""What two runs were made by, side by side: settings, code, versions, hardware, data, starting weights, starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmark.report.diff.recorded import Recorded
from benchmark.runs.key import dotted, keyed_settings

Symbols = Mapping[str, Mapping[str, str]]
COUNTED = ("num_clips", "missing_clips", "missing_training_clips", "unreadable_clips", "unreadable_training_clips")
"""Of result.json: how many clips a run had of its data."""
WEIGHTS = ("start", "flownet")
"""Fingerprints of what a run starts from; the others are of its data."""
PACKAGE = "benchmark/"


@dataclass(frozen=True)
class Difference:
    """One recorded fact that differs. `values` has it of run `a` and of run `b`; one that lacks it is left out."""

    what: str
    values: Mapping[str, Any]

    @property
    def of_both(self) -> bool:
        """Whether both runs have it recorded, so that it is known to differ."""
        return len(self.values) == 2


@dataclass(frozen=True)
class FileChange:
    """The symbols of a file that both runs executed and that differ, and those that one of them executed."""

    changed: tuple[str, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """How the code of two runs compares.

    Attributes:
        state: `same` and `differs` of what was executed; `verified` if `verify` found that it behaves alike though it
            differs. Where that is not recorded of both: `same`, if both were made by one commit and the same local
            changes, or else `unknown`.
        files: Where the symbols differ.
        missing: The runs (`A`, `B`) that have no code.json.
        commits: By run, of each start: the commit, and the digest of local changes after a `+`.
    """

    state: Literal["same", "differs", "verified", "unknown"]
    files: Mapping[str, FileChange] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    commits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Causes:
    """All that can have made two runs differ, as far as it is recorded; `unrecorded` says what is not, and of which."""

    settings: tuple[Difference, ...]
    code: Code
    versions: tuple[Difference, ...]
    hardware: tuple[Difference, ...]
    data: tuple[Difference, ...]
    weights: tuple[Difference, ...]
    starts: tuple[Difference, ...]
    unrecorded: tuple[str, ...]


def find_causes(a: Recorded, b: Recorded) -> Causes:
    """What differs between two runs of all that they were made by."""
    settings = _settings(a, b)
    versions, hardware = (differences(_by_stage(a, b, of), _by_stage(b, a, of)) for of in (_versions, _hardware))
    data, weights = (differences(of(a), of(b)) for of in (_data, _start))
    starts = differences(_starts(a), _starts(b))
    code = compare_code(a, b, settings_differ=bool(settings))
    return Causes(settings, code, versions, hardware, data, weights, starts, _unrecorded(a, b, code))


def _settings(a: Recorded, b: Recorded) -> tuple[Difference, ...]:
    """Settings that differ, those of both runs first; of what only one network has, those that are not its default."""
    found = differences(a.settings, b.settings)
    if a.config.model.name != b.config.model.name:
        set_there = {*dotted(keyed_settings(a.config)), *dotted(keyed_settings(b.config))}
        found = tuple(d for d in found if d.of_both or d.what in set_there)
    return tuple(sorted(found, key=lambda d: not d.of_both))


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The keys of either that are not in both with one value, in order."""
    missing = object()
    return tuple(
        Difference(key, {name: of[key] for name, of in (("a", a), ("b", b)) if key in of})
        for key in dict.fromkeys([*a, *b])
        if a.get(key, missing) != b.get(key, missing)
    )


def compare_code(a: Recorded, b: Recorded, settings_differ: bool) -> Code:
    """The code of two runs, by the symbols that they executed where these are recorded, else by their commits."""
    commits = {name: _commits(run) for name, run in (("a", a), ("b", b))}
    missing = tuple(name for name, run in (("A", a), ("B", b)) if run.symbols is None)
    if a.symbols is None or b.symbols is None:
        one = {*commits["a"], *commits["b"]}
        known = len(one) == 1 and all(commits.values()) and not next(iter(one)).startswith("no commit")
        return Code("same" if known else "unknown", {}, missing, commits)
    files = changes(a.symbols, b.symbols)
    # Of other settings, a run executes other code without any of it having changed.
    if not any(change.changed or (not settings_differ and change != FileChange()) for change in files.values()):
        return Code("same", files, (), commits)
    alike = any(
        one is not None and other is not None and not any(change.changed for change in changes(one, other).values())
        for one, other in ((a.verified, b.symbols), (a.symbols, b.verified), (a.verified, b.verified))
    )
    return Code("verified" if alike else "differs", files, (), commits)


def changes(a: Symbols, b: Symbols) -> dict[str, FileChange]:
    """By file, the symbols whose digests differ and those that one side lacks; files that are equal are left out."""
    found = {}
    for file in sorted({*a, *b}):
        left, right = a.get(file, {}), b.get(file, {})
        found[file.removeprefix(PACKAGE)] = FileChange(
            tuple(sorted(name for name in left.keys() & right.keys() if left[name] != right[name])),
            tuple(sorted(left.keys() - right.keys())),
            tuple(sorted(right.keys() - left.keys())),
        )
    return {file: change for file, change in found.items() if change != FileChange()}


def _commits(run: Recorded) -> tuple[str, ...]:
    """What each start was made by, once each; the starts of a training that was taken over among them."""
    training = run.env.get("training") or {}
    starts = [*(training.get("starts") or ()), *run.env.get("starts", ())]
    texts = []
    for start in starts:
        changed = start.get("changes")
        texts.append((start.get("commit") or "no commit") + (f"+{changed}" if changed else ""))
    return tuple(dict.fromkeys(texts))


def _by_stage(run: Recorded, other: Recorded, of: Any) -> dict[str, Any]:
    """Facts of the environment; of training and evaluation apart where either run took over a training."""
    if "trained_by" not in run.env and "trained_by" not in other.env:
        return dict(of(run.env))
    stages = {"training": run.env.get("training") or run.env, "evaluation": run.env}
    return {f"{stage}, {key}": value for stage, env in stages.items() for key, value in of(env).items()}


def _versions(env: Mapping[str, Any]) -> dict[str, Any]:
    return dict(env.get("versions") or {})


def _hardware(env: Mapping[str, Any]) -> dict[str, Any]:
    starts = env.get("starts") or ()
    said = {
        "device": [env["device"]] if env.get("device") else [],
        "processor": [start["cpu"] for start in starts if start.get("cpu")],
        "frames cut by": [start["transforms"] for start in starts if start.get("transforms")],
    }
    return {what: ", then ".join(dict.fromkeys(values)) for what, values in said.items() if values}


def _data(run: Recorded) -> dict[str, Any]:
    prints = {f"fingerprint of {k}": v for k, v in run.env.get("fingerprints", {}).items() if k not in WEIGHTS}
    counts = {key.replace("_", " "): run.result[key] for key in COUNTED if key in run.result}
    return {"data set": run.config.data.dataset, **prints, **counts}


def _start(run: Recorded) -> dict[str, Any]:
    return {key: value for key, value in run.env.get("fingerprints", {}).items() if key in WEIGHTS}


def _starts(run: Recorded) -> dict[str, Any]:
    training = run.env.get("training") or {}
    return {"starts": len(training.get("starts") or run.env.get("starts", ()))}


def _unrecorded(a: Recorded, b: Recorded, code: Code) -> tuple[str, ...]:
    """What would have to be known of the runs to judge, and is not."""

    def without(what: str, lacking: Iterable[str]) -> list[str]:
        names = list(lacking)
        return [f"{what} of {' and '.join(names)}"] if names else []

    runs = (("A", a), ("B", b))
    return (
        *without("the code that was executed", code.missing if code.state == "unknown" else ()),
        *without("the kind of processor", (name for name, run in runs if "processor" not in _hardware(run.env))),
        *without("versions", (name for name, run in runs if not run.env.get("versions"))),
        *without("fingerprints of the data", (name for name, run in runs if not run.env.get("fingerprints"))),
    )
